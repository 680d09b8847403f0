"""The report of a launched mailing, counted from the rows of its run.

Every number is a count of customers unless it says otherwise, and the parts add up to the
whole by construction: each message row is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, null, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, Stage
from envoi.delivery.states import RECIPIENT_STATES
from envoi.errors import ConflictError
from envoi.mailings import service
from envoi.mailings.comparison import Comparison, comparison_of
from envoi.mailings.engagement import LinkClicks, links_of, opens_by_hour
from envoi.mailings.lift import Lift, lift_of
from envoi.plugins import Plugins
from envoi.receipts.models import Attribution
from envoi.subscriptions.models import ConsentLog
from envoi.target_audiences.models import TargetAudience
from envoi.tracking.models import EventCounter, EventKind, MessageEvent

_MOST_REASONS = 100


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
    """How far the messages came; the states add up to the recipients."""

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


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why messages did not go out; `text` is a sentence or the gateway's own words, as a sample."""

    state: MessageState
    stage: Stage | None
    code: int
    detail: str
    text: str
    count: int


@dataclass(frozen=True, kw_only=True)
class DaySales:
    """Attributed receipts of a day in the company's zone; money in minor units."""

    day: date
    receipts: int
    amount: int


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Receipts attributed to the mailing."""

    receipts: int
    amount: int
    buyers: int
    days: tuple[DaySales, ...]


@dataclass(frozen=True, kw_only=True)
class MailingReport:
    """Everything the report page shows, and `envoi mailing report` prints.

    `control_audience` names the target audience that was the control group, where it was not
    drawn by share; `strata` is how many strata the draw was made over.
    """

    mailing_id: int
    run_id: int
    name: str
    channel: str
    launched_at: datetime
    finished_at: datetime | None
    as_of: datetime
    attribution_days: int
    control_share: float
    control_audience: str
    strata: int
    with_machines: bool
    volume: ReportVolume
    funnel: Funnel
    not_sent: tuple[Reason, ...]
    not_delivered: tuple[Reason, ...]
    unsubscribed: dict[str, int]
    sales: Sales
    lift: Lift
    comparison: Comparison
    links: tuple[LinkClicks, ...]
    opens_by_hour: tuple[int, ...]


def report_of_mailing(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    mailing_id: int,
    *,
    now: datetime | None = None,
    with_machines: bool = False,
    lift: Lift | None = None,
) -> MailingReport:
    """Make the report of a mailing that was launched.

    Args:
        session: An open transaction of the tenant.
        plugins: For the sentences of policies' reasons.
        tenant_id: The tenant.
        mailing_id: The mailing.
        now: The moment the report is for.
        with_machines: Count openers and clickers of which only machines were seen, too.
        lift: The lift, where it was counted already and cannot have changed.

    Raises:
        NotFoundError: There is no such mailing.
        ConflictError: It was not launched yet, so there is nothing to report.
    """
    mailing = service.get_mailing(session, tenant_id, mailing_id)
    run = service.get_run(session, mailing)
    if run is None:
        raise ConflictError("This mailing has not started, so there is nothing to report yet.")
    now = now or datetime.now(UTC)
    counts = _counts(session, run)
    sales = _sales(session, run)
    return MailingReport(
        mailing_id=mailing_id,
        run_id=run.id,
        name=mailing.name,
        channel=run.channel,
        launched_at=run.created_at,
        finished_at=run.finished_at,
        as_of=now,
        attribution_days=int(run.settings.get("attribution_days") or 0),
        control_share=float(run.settings.get("control_share") or 0),
        control_audience=_control_audience(session, run),
        strata=len((run.volume or {}).get("strata", ())),
        with_machines=with_machines,
        volume=_volume(counts),
        funnel=_funnel(session, run, counts, sales.buyers, with_machines=with_machines),
        not_sent=reasons_not_sent(session, plugins, run),
        not_delivered=_reasons(session, plugins, run, _bounced()),
        unsubscribed=_unsubscribed(session, run, sum(row.unsubscribed for row in counts)),
        sales=sales,
        lift=lift or lift_of(session, run, now),
        comparison=comparison_of(session, run),
        links=links_of(session, run, with_machines=with_machines),
        opens_by_hour=opens_by_hour(session, run, with_machines=with_machines),
    )


def _control_audience(session: Session, run: Run) -> str:
    number = run.settings.get("control_audience_id")
    audience = session.get(TargetAudience, (run.tenant_id, number)) if number else None
    return audience.name if audience else ""


def messages_of(run: Run) -> ColumnElement[bool]:
    """The condition for a run's rows, one for each customer, with its partition."""
    m = table(Message).c
    return and_(
        m.tenant_id == run.tenant_id,
        m.run_id == run.id,
        m.launched_on == run.launched_on,
        m.step == 1,
    )


def _counts(session: Session, run: Run) -> list[Row[Any]]:
    m = table(Message).c
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
        )
        .where(messages_of(run))
        .group_by(m.state, m.stage)
    )
    return list(session.execute(query))


def _volume(counts: list[Row[Any]]) -> ReportVolume:
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


def _funnel(
    session: Session, run: Run, counts: list[Row[Any]], bought: int, *, with_machines: bool
) -> Funnel:
    mine = [row for row in counts if row.state in RECIPIENT_STATES]
    states = {
        state: sum(row.customers for row in mine if row.state == state)
        for state in sorted(RECIPIENT_STATES)
    }
    accepted = [row for row in mine if row.state == MessageState.ACCEPTED]
    opened, clicked = sum(row.opened for row in mine), sum(row.clicked for row in mine)
    if with_machines:
        opened, clicked = _seen_by_anybody(session, run)
    hits = _hits(session, run)
    return Funnel(
        states=states,
        delivered=sum(row.customers - row.bounced for row in accepted),
        opened=opened,
        clicked=clicked,
        bought=bought,
        unsubscribed=sum(row.unsubscribed for row in mine),
        complained=sum(row.complained for row in mine),
        bounced=sum(row.bounced for row in mine),
        opens=hits.get((EventKind.OPEN, False), 0),
        clicks=hits.get((EventKind.CLICK, False), 0),
        machine_opens=hits.get((EventKind.OPEN, True), 0),
        machine_clicks=hits.get((EventKind.CLICK, True), 0),
    )


def _hits(session: Session, run: Run) -> dict[tuple[int, bool], int]:
    counter = table(EventCounter).c
    query = (
        select(counter.kind, counter.machine, func.sum(counter.hits).label("hits"))
        .where(counter.tenant_id == run.tenant_id, counter.run_id == run.id)
        .group_by(counter.kind, counter.machine)
    )
    return {(row.kind, row.machine): int(row.hits) for row in session.execute(query)}


def _seen_by_anybody(session: Session, run: Run) -> tuple[int, int]:
    """Customers with any open and with any click; a click implies an open here as well."""
    event = table(MessageEvent).c
    customers = func.count(event.customer_id.distinct())
    clicked = event.kind == int(EventKind.CLICK)
    query = select(customers.label("opened"), customers.filter(clicked).label("clicked")).where(
        event.tenant_id == run.tenant_id,
        event.run_id == run.id,
        event.launched_on == run.launched_on,
        event.kind.in_([int(EventKind.OPEN), int(EventKind.CLICK)]),
    )
    row = session.execute(query).one()
    return row.opened, row.clicked


def _held() -> ColumnElement[bool]:
    gone = RECIPIENT_STATES - {MessageState.ACCEPTED, MessageState.READY, MessageState.CLAIMED}
    return table(Message).c.state.in_(sorted(gone))


def _bounced() -> ColumnElement[bool]:
    m = table(Message).c
    return and_(m.state == int(MessageState.ACCEPTED), m.bounced_at.is_not(None))


def reasons_not_sent(session: Session, plugins: Plugins, run: Run) -> tuple[Reason, ...]:
    """Why messages of a run did not go out, the most frequent reason first."""
    return _reasons(session, plugins, run, _held())


def _reasons(
    session: Session, plugins: Plugins, run: Run, which: ColumnElement[bool]
) -> tuple[Reason, ...]:
    """Group by state, stage and code; a gateway's words differ from message to message."""
    m = table(Message).c
    blocked = case((m.state == int(MessageState.BLOCKED), m.detail), else_=null())
    columns = (m.state, m.stage, func.coalesce(m.code, 0).label("code"), blocked.label("detail"))
    query = (
        select(*columns, func.count().label("customers"), func.min(m.detail).label("sample"))
        .where(messages_of(run), which)
        .group_by(*(c.element if hasattr(c, "element") else c for c in columns))
        .order_by(func.count().desc())
        .limit(_MOST_REASONS)
    )
    sentences = {
        code: text for kind in plugins.rule_kinds.values() for code, text in kind.reasons.items()
    }
    return tuple(
        Reason(
            state=MessageState(row.state),
            stage=Stage(row.stage) if row.stage else None,
            code=row.code,
            detail=row.detail or "",
            text=sentences.get(row.detail or "", row.sample or ""),
            count=row.customers,
        )
        for row in session.execute(query)
    )


def _unsubscribed(session: Session, run: Run, total: int) -> dict[str, int]:
    """Reasons by code, most frequent first; who gave none stands under an empty one."""
    log = table(ConsentLog).c
    customers = func.count(log.customer_id.distinct())
    query = (
        select(log.reason, customers.label("customers"))
        .where(
            log.tenant_id == run.tenant_id,
            log.run_id == run.id,
            log.action == "opt_out",
            log.reason != "",
        )
        .group_by(log.reason)
        .order_by(customers.desc(), log.reason)
    )
    found = {row.reason: row.customers for row in session.execute(query)}
    silent = total - sum(found.values())
    return found | ({"": silent} if silent > 0 else {})


def _sales(session: Session, run: Run) -> Sales:
    a = table(Attribution).c
    mine = (a.tenant_id == run.tenant_id, a.run_id == run.id)
    by_day = (
        select(a.on_day, func.count().label("receipts"), func.sum(a.amount).label("amount"))
        .where(*mine)
        .group_by(a.on_day)
        .order_by(a.on_day)
    )
    days = tuple(
        DaySales(day=row.on_day, receipts=row.receipts, amount=int(row.amount))
        for row in session.execute(by_day)
    )
    buyers = session.scalar(select(func.count(a.customer_id.distinct())).where(*mine))
    return Sales(
        receipts=sum(day.receipts for day in days),
        amount=sum(day.amount for day in days),
        buyers=buyers or 0,
        days=days,
    )
