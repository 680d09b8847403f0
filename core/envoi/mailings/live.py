"""A run while it is being sent: how far, how fast, who confirmed it, through which gateway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.delivery.glimpses import glimpse
from envoi.delivery.models import Gateway, MessageState, Run
from envoi.delivery.people import of_run, people_of
from envoi.delivery.routes import GatewayInUse, gateway_in_use
from envoi.delivery.runs import Progress
from envoi.delivery.states import OPEN_STATES, RECIPIENT_STATES, RESENT
from envoi.mailings.models import Mailing
from envoi.mailings.report import Reason, reasons_not_sent
from envoi.plugins import Plugins


@dataclass(frozen=True, kw_only=True)
class LiveFigures:
    """A run at a moment; `minutes` are the messages that the gateway took in each minute.

    `wrong` is why messages did not leave; `resending` of those that wait have left once, with an
    outcome that nobody knows.
    """

    progress: Progress
    delivered: int
    opened: int
    last_minute: int
    minutes: dict[datetime, int]
    resending: int = 0
    wrong: tuple[Reason, ...] = ()


def live_figures(session: Session, plugins: Plugins, run: Run, now: datetime) -> LiveFigures:
    """Look at a run; however many do so, its ledger is counted once in a while (`glimpse`)."""

    def count() -> LiveFigures:
        found = _counted(session, run, now)
        if found.progress.done == found.progress.accepted:
            return found
        return replace(found, wrong=reasons_not_sent(session, plugins, run))

    key = ("live", run.tenant_id, run.id, run.status, run.finished_at)
    return glimpse(session, key, count)


def _counted(session: Session, run: Run, now: datetime) -> LiveFigures:
    """Count a run's recipients in one look at the ledger."""
    m = people_of(run).c
    minute = func.date_trunc("minute", m.accepted_at).label("minute")
    just_now = m.accepted_at > now - timedelta(minutes=1)
    query = (
        select(
            m.state,
            minute,
            func.count().label("messages"),
            func.count(m.bounced_at).label("bounced"),
            func.count(m.opened_at).label("opened"),
            func.count().filter(just_now).label("just_now"),
            func.count().filter(m.detail == RESENT).label("resent"),
        )
        .where(of_run(run), m.state.in_(sorted(RECIPIENT_STATES)))
        .group_by(m.state, minute)
    )
    rows = list(session.execute(query))
    accepted = [row for row in rows if row.state == MessageState.ACCEPTED]
    states: Counter[str] = Counter()
    minutes: Counter[datetime] = Counter()
    for row in rows:
        states[MessageState(row.state).name.lower()] += row.messages
    for row in accepted:
        minutes[row.minute] += row.messages
    return LiveFigures(
        progress=Progress(**states),
        delivered=sum(row.messages - row.bounced for row in accepted),
        opened=sum(row.opened for row in rows),
        last_minute=sum(row.just_now for row in accepted),
        minutes=dict(sorted(minutes.items())),
        resending=sum(row.resent for row in rows if row.state in OPEN_STATES),
    )


def confirmed_by(session: Session, mailing: Mailing) -> str:
    """The name of whoever confirmed a mailing; empty where nobody did."""
    account = session.get(Account, mailing.confirmed_by) if mailing.confirmed_by else None
    return (account.name or account.email) if account else ""


def gateway_of(session: Session, run: Run) -> GatewayInUse:
    """The gateway that a run goes through now, or belonged to; no name where it was deleted."""
    if run.finished_at is None:
        return gateway_in_use(session, run.tenant_id, run.id)
    gateway = session.get(Gateway, (run.tenant_id, run.gateway_id)) if run.gateway_id else None
    return GatewayInUse(gateway.name if gateway else "")
