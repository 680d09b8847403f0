"""The report of a launched mailing, counted from the rows of its run.

Every number is a count of customers unless it says otherwise, and the parts add up to the
whole by construction: each message row is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, and_, case, func, null, select, text
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import MessageState, Run, Stage
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import RECIPIENT_STATES
from envoi.errors import ConflictError
from envoi.mailings import service
from envoi.mailings.comparison import Comparison, comparison_of
from envoi.mailings.engagement import HourOpens, LinkClicks, links_of, opens_of
from envoi.mailings.funnel import (
    Funnel,
    ReportVolume,
    counts_of,
    funnel_of,
    seen_by_anybody,
    volume_of,
)
from envoi.mailings.lift import Lift, lift_of
from envoi.mailings.readers import DomainFigures, Readers, domains_of, readers_of
from envoi.mailings.steps import StepFigures, steps_of
from envoi.plugins import Plugins
from envoi.receipts.models import Attribution
from envoi.subscriptions.models import ConsentLog
from envoi.target_audiences.models import TargetAudience

_MOST_REASONS = 100


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
    opens: tuple[HourOpens, ...]
    readers: tuple[Readers, ...]
    domains: tuple[DomainFigures, ...]
    steps: tuple[StepFigures, ...] = ()


def report_of_mailing(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    mailing_id: int,
    *,
    now: datetime | None = None,
    with_machines: bool = False,
) -> MailingReport:
    """Make the report of a mailing that was launched.

    Args:
        session: An open transaction of the tenant.
        plugins: For the sentences of policies' reasons.
        tenant_id: The tenant.
        mailing_id: The mailing.
        now: The moment the report is for.
        with_machines: Count openers and clickers of which only machines were seen, too.

    Raises:
        NotFoundError: There is no such mailing.
        ConflictError: It was not launched yet, so there is nothing to report.
    """
    mailing = service.get_mailing(session, tenant_id, mailing_id)
    run = service.get_run(session, mailing)
    if run is None:
        raise ConflictError("This mailing has not started, so there is nothing to report yet.")
    report = _counted(session, plugins, run, mailing.name, now or datetime.now(UTC))
    return and_machines(session, run, report) if with_machines else report


def and_machines(session: Session, run: Run, report: MailingReport) -> MailingReport:
    """Return the same report with machines among those who opened and clicked."""
    opened, clicked = seen_by_anybody(session, run)
    return replace(
        report,
        with_machines=True,
        funnel=replace(report.funnel, opened=opened, clicked=clicked),
        links=links_of(session, run, with_machines=True),
        opens=opens_of(session, run, with_machines=True),
    )


def _counted(
    session: Session, plugins: Plugins, run: Run, name: str, now: datetime
) -> MailingReport:
    # A million customers are added up in memory; by default they would go through the disk.
    session.execute(text("SET LOCAL work_mem = '128MB'"))
    counts, sales = counts_of(session, run), _sales(session, run)
    return MailingReport(
        mailing_id=run.mailing_id or 0,
        run_id=run.id,
        name=name,
        channel=run.channel,
        launched_at=run.created_at,
        finished_at=run.finished_at,
        as_of=now,
        attribution_days=int(run.settings.get("attribution_days") or 0),
        control_share=float(run.settings.get("control_share") or 0),
        control_audience=_control_audience(session, run),
        strata=len((run.volume or {}).get("strata", ())),
        with_machines=False,
        volume=volume_of(counts),
        funnel=funnel_of(session, run, counts, sales.buyers),
        not_sent=reasons_not_sent(session, plugins, run),
        not_delivered=_reasons(session, plugins, run, _bounced(run)),
        unsubscribed=_unsubscribed(session, run, sum(row.unsubscribed for row in counts)),
        sales=sales,
        lift=lift_of(session, run, now),
        comparison=comparison_of(session, run),
        links=links_of(session, run, with_machines=False),
        opens=opens_of(session, run, with_machines=False),
        readers=readers_of(session, run),
        domains=domains_of(session, plugins, run),
        steps=steps_of(session, run),
    )


def _control_audience(session: Session, run: Run) -> str:
    number = run.settings.get("control_audience_id")
    audience = session.get(TargetAudience, (run.tenant_id, number)) if number else None
    return audience.name if audience else ""


def _held(run: Run) -> ColumnElement[bool]:
    gone = RECIPIENT_STATES - {MessageState.ACCEPTED, MessageState.READY, MessageState.CLAIMED}
    return people_of(run).c.state.in_(sorted(gone))


def _bounced(run: Run) -> ColumnElement[bool]:
    m = people_of(run).c
    return and_(m.state == int(MessageState.ACCEPTED), m.bounced_at.is_not(None))


def reasons_not_sent(session: Session, plugins: Plugins, run: Run) -> tuple[Reason, ...]:
    """Why messages of a run did not go out, the most frequent reason first."""
    return _reasons(session, plugins, run, _held(run))


def _reasons(
    session: Session, plugins: Plugins, run: Run, which: ColumnElement[bool]
) -> tuple[Reason, ...]:
    """Group by state, stage and code; a gateway's words differ from message to message."""
    m = people_of(run).c
    blocked = case((m.state == int(MessageState.BLOCKED), m.detail), else_=null())
    columns = (m.state, m.stage, func.coalesce(m.code, 0).label("code"), blocked.label("detail"))
    query = (
        select(*columns, func.count().label("customers"), func.min(m.detail).label("sample"))
        .where(of_run(run), which)
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
