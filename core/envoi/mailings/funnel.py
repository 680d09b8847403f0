"""How far the messages of a run came: from the segment to the purchase, counted from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import MessageState, Run, Stage
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import OPEN_STATES, RECIPIENT_STATES, RESENT
from envoi.tracking.models import EventCounter, EventKind, MessageEvent


@dataclass(frozen=True, kw_only=True)
class StageCount:
    """How many customers of the segment a stage took away."""

    stage: Stage
    count: int


@dataclass(frozen=True, kw_only=True)
class ReportVolume:
    """From the segment to the recipients, by counting rows."""

    customers: int
    stages: tuple[StageCount, ...]
    control: int
    recipients: int

    @property
    def good(self) -> int:
        """Those whom no stage took away."""
        return self.control + self.recipients


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """How far the messages came; the states add up to the recipients.

    `resent` were sent once more after an attempt of unknown outcome, so they may have arrived
    twice; `resending` wait to be.
    """

    states: dict[MessageState, int]
    delivered: int
    opened: int
    clicked: int
    bought: int
    unsubscribed: int
    complained: int
    bounced: int
    opens: int
    clicks: int
    machine_opens: int
    machine_clicks: int
    resent: int = 0
    resending: int = 0

    @property
    def recipients(self) -> int:
        """Everybody who was to get a message."""
        return sum(self.states.values())

    @property
    def sent(self) -> int:
        """Those whose message the gateway has accepted."""
        return self.states[MessageState.ACCEPTED]

    @property
    def failed(self) -> int:
        """Those whose message the gateway, or the content, refused for good."""
        return self.states[MessageState.FAILED]

    @property
    def unconfirmed(self) -> int:
        """Those of whom it is not known whether the gateway accepted the message."""
        return self.states[MessageState.UNCONFIRMED]

    @property
    def waiting(self) -> int:
        """Those whose turn has not come, and those on the wire."""
        return self.states[MessageState.READY] + self.states[MessageState.CLAIMED]

    @property
    def not_sent(self) -> int:
        """Those who will not get it, or of whom it is not known."""
        return self.recipients - self.sent - self.waiting


def hits_of(run: Run) -> ColumnElement[bool]:
    """The condition for the hits on a run's messages, with their partition."""
    event = table(MessageEvent).c
    return and_(
        event.tenant_id == run.tenant_id,
        event.run_id == run.id,
        event.launched_on == run.launched_on,
    )


def counts_of(session: Session, run: Run) -> list[Row[Any]]:
    """Count a run's customers by state and stage, in one look at the ledger."""
    m = people_of(run).c
    query = (
        select(
            m.state,
            m.stage,
            func.count().label("customers"),
            func.count(m.bounced_at).label("bounced"),
            func.count(m.opened_at).label("opened"),
            func.count(m.clicked_at).label("clicked"),
            func.count(m.unsubscribed_at).label("unsubscribed"),
            func.count(m.complained_at).label("complained"),
            func.count().filter(m.detail == RESENT).label("resent"),
        )
        .where(of_run(run))
        .group_by(m.state, m.stage)
    )
    return list(session.execute(query))


def volume_of(counts: list[Row[Any]]) -> ReportVolume:
    """Add up what every stage took away, and what was left."""

    def count(state: MessageState, stage: Stage | None = None) -> int:
        return sum(
            row.customers
            for row in counts
            if row.state == state and (stage is None or row.stage == stage)
        )

    return ReportVolume(
        customers=sum(row.customers for row in counts),
        stages=tuple(
            StageCount(stage=stage, count=count(MessageState.EXCLUDED, stage)) for stage in Stage
        ),
        control=count(MessageState.CONTROL),
        recipients=sum(count(state) for state in RECIPIENT_STATES),
    )


def funnel_of(session: Session, run: Run, counts: list[Row[Any]], bought: int) -> Funnel:
    """Add up how far the messages came; opened and clicked are people's."""
    mine = [row for row in counts if row.state in RECIPIENT_STATES]
    states = {
        state: sum(row.customers for row in mine if row.state == state)
        for state in sorted(RECIPIENT_STATES)
    }
    accepted = [row for row in mine if row.state == MessageState.ACCEPTED]
    facts = ("opened", "clicked", "unsubscribed", "complained", "bounced")
    hits = _hits(session, run)
    resending = sum(row.resent for row in mine if row.state in OPEN_STATES)
    return Funnel(
        states=states,
        delivered=sum(row.customers - row.bounced for row in accepted),
        bought=bought,
        **{fact: sum(getattr(row, fact) for row in mine) for fact in facts},
        opens=hits.get((EventKind.OPEN, False), 0),
        clicks=hits.get((EventKind.CLICK, False), 0),
        machine_opens=hits.get((EventKind.OPEN, True), 0),
        machine_clicks=hits.get((EventKind.CLICK, True), 0),
        resent=sum(row.resent for row in mine) - resending,
        resending=resending,
    )


def _hits(session: Session, run: Run) -> dict[tuple[int, bool], int]:
    counter = table(EventCounter).c
    query = (
        select(counter.kind, counter.machine, func.sum(counter.hits).label("hits"))
        .where(counter.tenant_id == run.tenant_id, counter.run_id == run.id)
        .group_by(counter.kind, counter.machine)
    )
    return {(row.kind, row.machine): int(row.hits) for row in session.execute(query)}


def seen_by_anybody(session: Session, run: Run) -> tuple[int, int]:
    """Customers with any open and with any click; a click implies an open here as well."""
    event = table(MessageEvent).c
    customers = func.count(event.customer_id.distinct())
    clicked = event.kind == int(EventKind.CLICK)
    query = select(customers.label("opened"), customers.filter(clicked).label("clicked")).where(
        hits_of(run),
        event.kind.in_([int(EventKind.OPEN), int(EventKind.CLICK)]),
    )
    row = session.execute(query).one()
    return row.opened, row.clicked
