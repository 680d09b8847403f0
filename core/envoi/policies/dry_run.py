"""What a policy would have done to the mailings of the last month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_policy
from envoi.audience.statement import run_statement
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins

LOOKS_BACK = timedelta(days=30)
MOST_RUNS = 50
"""The latest so many mailings are asked; a dry run answers within the patience of a person."""

SAMPLED_ABOVE = 300_000
"""With more messages than this a tenth of the customers stands for all."""

_TENTH = 1_000
_LEFT = (MessageState.ACCEPTED, MessageState.FAILED, MessageState.UNCONFIRMED)


@dataclass(frozen=True)
class PastMailing:
    """A mailing as the policy would have treated it; `reasons` counts the blocked by reason."""

    mailing_id: int
    name: str
    sent_at: datetime
    messages: int
    blocked: int
    deferred: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class DryRun:
    """The answer for all mailings, the latest first; not exact where a sample was asked."""

    mailings: tuple[PastMailing, ...]
    exact: bool

    @property
    def messages(self) -> int:
        """How many messages were sent."""
        return sum(mailing.messages for mailing in self.mailings)

    @property
    def blocked(self) -> int:
        """How many of them the policy would have blocked."""
        return sum(mailing.blocked for mailing in self.mailings)

    @property
    def deferred(self) -> int:
        """How many would have been sent later."""
        return sum(mailing.deferred for mailing in self.mailings)


def dry_run(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    rules: Sequence[Mapping[str, Any]],
    now: datetime,
) -> DryRun:
    """Ask rules about every message of the last 30 days, at the moment its mailing began.

    Each mailing is judged against what had really been sent before it: what an earlier mailing
    would have lost under the policy still counts.

    Raises:
        PluginError: A rule's plugin is gone, or its rule fails.
    """
    past = session.execute(_runs(tenant_id, now)).all()
    # What a channel sent whose plugin is off or gone meanwhile cannot be judged any more.
    runs = [run for run in past if run.channel in plugins.channels]
    exact = sum(run.messages for run in runs) <= SAMPLED_ABOVE
    found = [_judged(session, plugins, tenant_id, rules, run, exact) for run in runs]
    return DryRun(tuple(found), exact)


def _runs(tenant_id: int, now: datetime) -> Select[Any]:
    run, mailing = table(Run), table(Mailing)
    messages = run.c.volume["recipients"].as_integer()
    return (
        select(
            *(run.c.id, run.c.channel, run.c.launched_on, run.c.collected_at),
            *(mailing.c.id.label("mailing_id"), mailing.c.name, messages.label("messages")),
        )
        .join_from(
            run,
            mailing,
            (mailing.c.tenant_id == run.c.tenant_id) & (mailing.c.id == run.c.mailing_id),
        )
        .where(run.c.tenant_id == tenant_id, run.c.kind == RunKind.MAILING)
        .where(run.c.collected_at > now - LOOKS_BACK, run.c.collected_at <= now)
        .order_by(run.c.collected_at.desc())
        .limit(MOST_RUNS)
    )


def _judged(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    rules: Sequence[Mapping[str, Any]],
    run: Row[Any],
    exact: bool,
) -> PastMailing:
    request = AudienceRequest(
        tenant_id=tenant_id,
        channel=run.channel,
        address_kind=plugins.channels[run.channel].address_kind,
        now=run.collected_at,
        rules=tuple(rules),
        exclude_run=run.id,
        past=True,
    )
    rows = judge_policy(plugins, request, _sent_to(tenant_id, run, exact)).subquery("rows").c
    later = func.count(rows.deferred_until).filter(~rows.blocked)
    query = select(rows.blocked, rows.reason, func.count().label("messages"), later.label("later"))
    answers = run_statement(
        session.connection(), plugins, request, query.group_by(rows.blocked, rows.reason)
    )
    scale = 1 if exact else 10
    blocked = {a.reason: scale * a.messages for a in answers if a.blocked}
    return PastMailing(
        mailing_id=run.mailing_id,
        name=run.name,
        sent_at=run.collected_at,
        messages=scale * sum(a.messages for a in answers),
        blocked=sum(blocked.values()),
        deferred=scale * sum(a.later for a in answers),
        reasons=blocked,
    )


def _sent_to(tenant_id: int, run: Row[Any], exact: bool) -> Select[Any]:
    message, customer = table(Message), table(Customer)
    query = select(message.c.customer_id).where(
        message.c.tenant_id == tenant_id,
        message.c.run_id == run.id,
        message.c.launched_on == run.launched_on,
        message.c.state.in_(_LEFT),
        ~message.c.follows,
    )
    if exact:
        return query
    same = (customer.c.tenant_id == tenant_id) & (customer.c.id == message.c.customer_id)
    return query.join(customer, same).where(customer.c.bucket < _TENTH)
