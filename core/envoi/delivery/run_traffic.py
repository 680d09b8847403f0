"""What a run's messages have come to and how fast they leave: one row, counted with each block."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import SmallInteger, case, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import BlockKey
from envoi.delivery.models import MessageState, Run, RunTraffic
from envoi.delivery.steps import channel_at

A_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a run's messages have come to so far; unconfirmed ones may have been resent since."""

    accepted: int = 0
    refused: int = 0
    unconfirmed: int = 0
    per_second: float = 0.0


def note_outcomes(session: Session, key: BlockKey, states: Collection[MessageState]) -> str:
    """Count what became of a block; return the channel of its run.

    Said after everything else of the block, since all senders of a run meet here.
    """
    counts = {
        "accepted": sum(state is MessageState.ACCEPTED for state in states),
        "unconfirmed": sum(state is MessageState.UNCONFIRMED for state in states),
    }
    counts["refused"] = len(states) - sum(counts.values())
    minute = func.date_trunc("minute", func.now())
    row = insert(table(RunTraffic)).values(
        tenant_id=key.tenant_id,
        run_id=key.run_id,
        minute=minute,
        this_minute=counts["accepted"],
        **counts,
    )
    old, new = table(RunTraffic).c, row.excluded
    same = old.minute == new.minute
    follows = old.minute == new.minute - A_MINUTE
    run = table(Run).c
    channel = select(channel_at(literal(key.step, SmallInteger)))
    channel = channel.where(run.tenant_id == key.tenant_id, run.id == key.run_id)
    counted = row.on_conflict_do_update(
        index_elements=["tenant_id", "run_id"],
        set_={
            "minute": new.minute,
            "this_minute": new.this_minute + case((same, old.this_minute), else_=0),
            "last_minute": case((same, old.last_minute), (follows, old.this_minute), else_=0),
            **{name: old[name] + new[name] for name in counts},
        },
    )
    return session.scalars(counted.returning(channel.scalar_subquery())).one() or ""


def counted_of(
    session: Session, tenant_id: int, run_ids: Collection[int], now: datetime
) -> dict[int, Counted]:
    """Return what these runs have come to, by number; of those that have sent anything."""
    c = table(RunTraffic).c
    query = select(RunTraffic).where(c.tenant_id == tenant_id, c.run_id.in_(run_ids))
    return {
        row.run_id: Counted(
            accepted=row.accepted,
            refused=row.refused,
            unconfirmed=row.unconfirmed,
            per_second=rate_of(row.minute, row.this_minute, row.last_minute, now),
        )
        for row in session.scalars(query)
    }


def rate_of(minute: datetime, this_minute: int, last_minute: int, now: datetime) -> float:
    """Messages a second of the last sixty: of the earlier minute only what they still cover.

    Args:
        minute: When `this_minute` began; it may be over.
        this_minute: What left in it.
        last_minute: What left in the minute before.
        now: When the rate is asked for.
    """
    into = (now - minute).total_seconds()
    if into < 0 or into >= 120:
        return 0.0
    if into >= 60:
        return this_minute * (120 - into) / 60 / 60
    return (this_minute + last_minute * (60 - into) / 60) / 60
