"""What was clicked in a message, and at what time of day it was opened."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, extract, func, select, true
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Link, Run
from envoi.tenants.service import tenant_settings
from envoi.tracking.models import EventCounter, EventKind, MessageEvent


@dataclass(frozen=True, kw_only=True)
class LinkClicks:
    """A link of the message: how many customers followed it, and how often."""

    target: str
    customers: int
    clicks: int


def links_of(session: Session, run: Run, *, with_machines: bool) -> tuple[LinkClicks, ...]:
    """List every link of a run, most followed first, also those that nobody followed.

    The same target in two variants is one line: a customer has one variant, so the customers
    add up.
    """
    link, event = table(Link).c, table(MessageEvent).c
    clicked = (
        select(
            event.variant,
            event.link,
            func.count(event.customer_id.distinct()).label("customers"),
            func.count().label("clicks"),
        )
        .where(
            event.tenant_id == run.tenant_id,
            event.run_id == run.id,
            event.launched_on == run.launched_on,
            event.kind == int(EventKind.CLICK),
            _whose(event.machine, with_machines),
        )
        .group_by(event.variant, event.link)
        .subquery()
    )
    customers = func.coalesce(func.sum(clicked.c.customers), 0)
    clicks = func.coalesce(func.sum(clicked.c.clicks), 0)
    same = and_(clicked.c.variant == link.variant, clicked.c.link == link.number)
    query = (
        select(link.target, customers.label("customers"), clicks.label("clicks"))
        .select_from(table(Link).outerjoin(clicked, same))
        .where(link.tenant_id == run.tenant_id, link.run_id == run.id)
        .group_by(link.target)
        .order_by(customers.desc(), clicks.desc(), func.min(link.number), link.target)
    )
    return tuple(
        LinkClicks(target=row.target, customers=int(row.customers), clicks=int(row.clicks))
        for row in session.execute(query)
    )


def opens_by_hour(session: Session, run: Run, *, with_machines: bool) -> tuple[int, ...]:
    """Count opens by hour of the company's day; 24 numbers from midnight on."""
    counter = table(EventCounter).c
    zone = tenant_settings(session, run.tenant_id).time_zone
    hour = extract("hour", func.timezone(zone, counter.hour)).label("hour_of_day")
    query = (
        select(hour, func.sum(counter.hits).label("opens"))
        .where(
            counter.tenant_id == run.tenant_id,
            counter.run_id == run.id,
            counter.kind == int(EventKind.OPEN),
            _whose(counter.machine, with_machines),
        )
        .group_by(hour)
    )
    found = {int(row.hour_of_day): int(row.opens) for row in session.execute(query)}
    return tuple(found.get(number, 0) for number in range(24))


def _whose(machine: ColumnElement[bool], with_machines: bool) -> ColumnElement[bool]:
    return true() if with_machines else ~machine
