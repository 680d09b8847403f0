"""What each step of a cascade came to; its messages, not its people, are counted here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import messages_of_run
from envoi.delivery.models import Message, MessageState, Run, RunCost
from envoi.delivery.states import RECIPIENT_STATES
from envoi.delivery.steps import channels_of


@dataclass(frozen=True, kw_only=True)
class StepFigures:
    """The messages of a step.

    `followed` is after how many of them the next step's message followed; `amount` what they
    have cost, in 1/10,000 of the currency's unit.
    """

    step: int
    channel: str
    messages: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    followed: int = 0
    amount: int = 0


def steps_of(session: Session, run: Run) -> tuple[StepFigures, ...]:
    """Count the messages of each step; nothing for a run of one channel."""
    channels = channels_of(run)
    if len(channels) == 1:
        return ()
    m = table(Message).c
    arrived = or_(m.delivered_at.is_not(None), m.opened_at.is_not(None))
    failed = or_(m.state == MessageState.FAILED, m.bounced_at.is_not(None))
    query = (
        select(
            m.step,
            func.count().label("messages"),
            func.count().filter(m.state == MessageState.ACCEPTED).label("sent"),
            func.count().filter(arrived).label("delivered"),
            func.count(m.opened_at).label("read"),
            func.count().filter(failed).label("failed"),
            func.count().filter(m.follows).label("follows"),
        )
        .where(messages_of_run(run), m.state.in_(sorted(RECIPIENT_STATES)))
        .group_by(m.step)
    )
    counted = {row["step"]: dict(row) for row in session.execute(query).mappings()}
    follow = Counter({step: row.pop("follows") for step, row in counted.items()})
    amounts = _amounts(session, run)
    return tuple(
        StepFigures(
            channel=channel,
            followed=follow[step + 1],
            amount=amounts[step],
            **counted.get(step, {"step": step}),
        )
        for step, channel in enumerate(channels, start=1)
    )


def _amounts(session: Session, run: Run) -> Counter[int]:
    c = table(RunCost).c
    query = select(c.step, func.sum(c.amount)).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id
    )
    return Counter({step: int(amount) for step, amount in session.execute(query.group_by(c.step))})
