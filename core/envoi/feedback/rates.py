"""Pauses a mailing by itself when too much of it bounces or too many complain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunStatus
from envoi.delivery.run_traffic import Counted, counted_of
from envoi.delivery.runs import get_run, pause_run
from envoi.feedback.contacts import CHANNEL
from envoi.feedback.models import Bounce
from envoi.jobs import Work, withdraw
from envoi.tenants.models import TenantSettings
from envoi.tracking.models import EventCounter, EventKind

TWICE = 2
"""After a person has gone on, only so many times the share pauses the run again."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What came back of a run, in percent of what providers took or refused."""

    accepted: int
    tried: int
    bounces: int
    complaints: int

    @property
    def bounce_share(self) -> float:
        """Bounces, refusals at hand-over included."""
        return 100 * self.bounces / self.tried if self.tried else 0.0

    @property
    def complaint_share(self) -> float:
        """Complaints."""
        return 100 * self.complaints / self.accepted if self.accepted else 0.0


@dataclass(frozen=True, slots=True)
class Excess:
    """A share that is too high, the column of the run that it is noted in, and why it pauses."""

    noted_in: str
    share: float
    reason: str


def look_at_rates(database: Database, tenant_id: int, run_id: int) -> bool:
    """Do the due work of `Work.RATES`: pause the run if its rates are too high."""
    with database.tenant_session(tenant_id) as session:
        withdraw(session, tenant_id, Work.RATES, run_id)
        run = get_run(session, tenant_id, run_id, lock=True)
        if run.status not in (RunStatus.COLLECTING, RunStatus.SENDING):
            return False
        excesses = excesses_of(session, run)
        for excess in excesses:
            setattr(run, excess.noted_in, excess.share)
        if excesses:
            pause_run(session, tenant_id, run_id, excesses[0].reason)
        return bool(excesses)


def excesses_of(session: Session, run: Run) -> list[Excess]:
    """What pauses a run: the shares of it that are too high at this moment.

    Of other channels many messages fail without anybody's fault: telephones are switched off.
    """
    if run.channel != CHANNEL:
        return []
    limits = session.get(TenantSettings, run.tenant_id) or TenantSettings(tenant_id=run.tenant_id)
    if not _may_be_too_high(session, run, limits):
        return []
    rates = rates_of(session, run)
    return _excesses(run, limits, rates) if rates.accepted >= limits.pause_after else []


def rates_of(session: Session, run: Run) -> Rates:
    """Count what came back of a run."""
    m = table(Message).c
    mine = (m.tenant_id == run.tenant_id, m.run_id == run.id, m.launched_on == run.launched_on)
    taken = m.state.in_((MessageState.ACCEPTED, MessageState.FAILED))
    row = session.execute(
        select(
            func.count().filter(m.state == MessageState.ACCEPTED).label("accepted"),
            func.count().filter(taken).label("tried"),
            func.count(m.complained_at).label("complaints"),
        ).where(*mine, or_(taken, m.complained_at.is_not(None)))
    ).one()
    return Rates(
        accepted=row.accepted,
        tried=row.tried,
        bounces=_bounces(session, run),
        complaints=row.complaints,
    )


def _may_be_too_high(session: Session, run: Run, limits: TenantSettings) -> bool:
    """Whether the ledger is worth reading: counters never show a share below the true one.

    A large run gets bounces all the time, and a million messages are not counted for each.
    """
    e, now = table(EventCounter).c, datetime.now(UTC)
    counted = counted_of(session, run.tenant_id, [run.id], now).get(run.id, Counted())
    complaints = select(func.sum(e.hits)).where(
        e.tenant_id == run.tenant_id, e.run_id == run.id, e.kind == EventKind.COMPLAINT
    )
    least = max(1, counted.accepted)
    highest = Rates(
        accepted=least,
        tried=least,
        bounces=_bounces(session, run),
        complaints=session.scalar(complaints) or 0,
    )
    bounce_limit = _limit(limits.pause_bounce_share, run.paused_bounce_share)
    complaint_limit = _limit(limits.pause_complaint_share, run.paused_complaint_share)
    return highest.bounce_share >= bounce_limit or highest.complaint_share >= complaint_limit


def _bounces(session: Session, run: Run) -> int:
    b = table(Bounce).c
    mine = select(func.count()).where(b.tenant_id == run.tenant_id, b.run_id == run.id)
    return session.scalar(mine) or 0


def _excesses(run: Run, limits: TenantSettings, rates: Rates) -> list[Excess]:
    found = []
    if rates.bounce_share >= _limit(limits.pause_bounce_share, run.paused_bounce_share):
        share, bounces, tried = f"{rates.bounce_share:.1f}", rates.bounces, rates.tried
        reason = (
            f"{share} percent of the messages bounced ({bounces} of {tried}). See in the"
            " report why, then resume or cancel."
        )
        found.append(Excess("paused_bounce_share", rates.bounce_share, reason))
    if rates.complaint_share >= _limit(limits.pause_complaint_share, run.paused_complaint_share):
        share = f"{rates.complaint_share:.2f}"
        complaints, accepted = rates.complaints, rates.accepted
        reason = (
            f"{share} percent of the recipients reported the mailing as spam ({complaints} of"
            f" {accepted}). Ask who gets it and why, then resume or cancel."
        )
        found.append(Excess("paused_complaint_share", rates.complaint_share, reason))
    return found


def _limit(share: float, paused_at: float | None) -> float:
    """The share that pauses; 0 never does."""
    if not share:
        return float("inf")
    return share if paused_at is None else max(share, TWICE * paused_at)
