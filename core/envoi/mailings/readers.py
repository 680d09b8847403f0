"""Who received and who read a run's messages: domains of addresses, mail programs, devices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import and_, case, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import MessageState, Run
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import RECIPIENT_STATES
from envoi.mailings.funnel import hits_of
from envoi.plugins import Plugins
from envoi.tracking.agents import Device, reader_of
from envoi.tracking.models import EventKind, MessageEvent
from envoi.types import AddressKind

SHOWN_DOMAINS = 20
_MOST_AGENTS = 5_000
"""Agents that are looked at; the readers of rarer ones are not told apart."""

_FIGURES = ("recipients", "delivered", "bounced", "opened", "clicked")


@dataclass(frozen=True, kw_only=True)
class DomainFigures:
    """What became of the messages to a domain; an empty one stands for all others."""

    domain: str
    recipients: int
    delivered: int
    bounced: int
    opened: int
    clicked: int


@dataclass(frozen=True, kw_only=True)
class Readers:
    """How many people read last with a program on a device."""

    program: str
    device: Device
    customers: int


def domains_of(session: Session, plugins: Plugins, run: Run) -> tuple[DomainFigures, ...]:
    """Count the domains with most recipients, by the addresses that customers have now."""
    channel = plugins.channels.get(run.channel)
    if channel is None or channel.address_kind is not AddressKind.EMAIL:
        return ()
    m, customer = people_of(run).c, table(Customer).c
    accepted = m.state == int(MessageState.ACCEPTED)
    mine = and_(customer.tenant_id == m.tenant_id, customer.id == m.customer_id)
    by_domain = (
        select(
            func.coalesce(func.split_part(customer.email, "@", 2), "").label("domain"),
            func.count().label("recipients"),
            func.count().filter(accepted, m.bounced_at.is_(None)).label("delivered"),
            func.count(m.bounced_at).label("bounced"),
            func.count(m.opened_at).label("opened"),
            func.count(m.clicked_at).label("clicked"),
        )
        .select_from(people_of(run).outerjoin(table(Customer), mine))
        .where(of_run(run), m.state.in_(sorted(RECIPIENT_STATES)))
        .group_by("domain")
        .cte("by_domain")
    )
    named = by_domain.c.domain != ""
    place = func.row_number().over(order_by=(named.desc(), by_domain.c.recipients.desc()))
    ranked = select(by_domain, place.label("place")).subquery()
    domain = case((ranked.c.place <= SHOWN_DOMAINS, ranked.c.domain), else_="").label("shown")
    sums = [func.sum(ranked.c[name]).label(name) for name in _FIGURES]
    query = select(domain, *sums).group_by("shown").order_by(domain == "", sums[0].desc(), domain)
    return tuple(
        DomainFigures(domain=row["shown"], **{name: int(row[name]) for name in _FIGURES})
        for row in session.execute(query).mappings()
    )


def readers_of(session: Session, run: Run) -> tuple[Readers, ...]:
    """Count people by the program and device they were seen with last; they add up."""
    event = table(MessageEvent).c
    last = (
        select(event.customer_id, event.agent)
        .where(
            hits_of(run),
            event.kind.in_([int(EventKind.OPEN), int(EventKind.CLICK)]),
            ~event.machine,
        )
        .ext(distinct_on(event.customer_id))
        .order_by(event.customer_id, event.at.desc())
        .subquery()
    )
    people = func.count().label("people")
    query = select(last.c.agent, people).group_by(last.c.agent).order_by(people.desc())
    found: Counter[tuple[str, Device]] = Counter()
    for place, row in enumerate(session.execute(query)):
        reader = reader_of(row.agent if place < _MOST_AGENTS else "")
        found[reader.program, reader.device] += row.people
    return tuple(
        Readers(program=program, device=device, customers=count)
        for (program, device), count in found.most_common()
    )
