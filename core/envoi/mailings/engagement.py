"""What was clicked in a message, and when it was opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, Date, and_, cast, extract, func, select, true
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Link, Run
from envoi.mailings.funnel import hits_of
from envoi.tenants.service import tenant_settings
from envoi.tracking.models import EventCounter, EventKind, MessageEvent


@dataclass(frozen=True, kw_only=True)
class LinkClicks:
    """A link at its place in a message: how many customers followed it, and how often."""

    step: int = 1
    variant: int
    number: int
    target: str
    customers: int
    clicks: int


@dataclass(frozen=True, kw_only=True)
class TargetClicks:
    """A target wherever it stands.

    A customer has one variant, so the customers of variants add up.
    """

    target: str
    customers: int
    clicks: int


@dataclass(frozen=True, kw_only=True)
class HourOpens:
    """Opens within an hour of a day, both the company's."""

    day: date
    hour: int
    opens: int


def links_of(session: Session, run: Run, *, with_machines: bool) -> tuple[LinkClicks, ...]:
    """List every link of a run in the order of the message, also those that nobody followed."""
    link, event = table(Link).c, table(MessageEvent).c
    clicked = (
        select(
            event.step,
            event.variant,
            event.link,
            func.count(event.customer_id.distinct()).label("customers"),
            func.count().label("clicks"),
        )
        .where(
            hits_of(run),
            event.kind == int(EventKind.CLICK),
            _whose(event.machine, with_machines),
        )
        .group_by(event.step, event.variant, event.link)
        .subquery()
    )
    same = and_(
        clicked.c.step == link.step,
        clicked.c.variant == link.variant,
        clicked.c.link == link.number,
    )
    counted = (func.coalesce(clicked.c[name], 0).label(name) for name in ("customers", "clicks"))
    query = (
        select(link.step, link.variant, link.number, link.target, *counted)
        .select_from(table(Link).outerjoin(clicked, same))
        .where(link.tenant_id == run.tenant_id, link.run_id == run.id)
        .order_by(link.step, link.variant, link.number)
    )
    return tuple(LinkClicks(**row) for row in session.execute(query).mappings())


def by_target(links: Iterable[LinkClicks]) -> list[TargetClicks]:
    """Add up the places of each target, most followed first."""
    found: dict[str, tuple[int, int]] = {}
    for link in links:
        customers, clicks = found.get(link.target, (0, 0))
        found[link.target] = customers + link.customers, clicks + link.clicks
    rows = (TargetClicks(target=t, customers=n, clicks=m) for t, (n, m) in found.items())
    return sorted(rows, key=lambda row: (-row.customers, -row.clicks))


def opens_of(session: Session, run: Run, *, with_machines: bool) -> tuple[HourOpens, ...]:
    """Count opens by day and hour, each as the company's clocks show it."""
    counter = table(EventCounter).c
    local = func.timezone(tenant_settings(session, run.tenant_id).time_zone, counter.hour)
    day, hour = cast(local, Date).label("day"), extract("hour", local).label("hour_of_day")
    query = (
        select(day, hour, func.sum(counter.hits).label("opens"))
        .where(
            counter.tenant_id == run.tenant_id,
            counter.run_id == run.id,
            counter.kind == int(EventKind.OPEN),
            _whose(counter.machine, with_machines),
        )
        .group_by(day, hour)
        .order_by(day, hour)
    )
    return tuple(
        HourOpens(day=row.day, hour=int(row.hour_of_day), opens=int(row.opens))
        for row in session.execute(query)
    )


def _whose(machine: ColumnElement[bool], with_machines: bool) -> ColumnElement[bool]:
    return true() if with_machines else ~machine
