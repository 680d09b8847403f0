"""The limit per minute: blocks so small and so far apart that no minute has more than it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Interval,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
)

from envoi.db import table
from envoi.delivery.models import BlockState, RunBlock

_A_MINUTE = timedelta(minutes=1)
_BLOCKS_A_MINUTE = 6
"""A minute's messages are spread over so many blocks, where there are enough."""
_MOMENT = DateTime(timezone=True)
_LATE = timedelta(seconds=1)
"""A block that waits longer than this, and than the pace, stands in a jam."""


@dataclass(frozen=True)
class Pace:
    """How a limit is kept: blocks of at most `size`, each `apart` from the one before."""

    size: int
    apart: timedelta

    @property
    def per_minute(self) -> float:
        """How many messages a minute leave at most."""
        return self.size * (_A_MINUTE / self.apart)

    def starts(self, due_at: ColumnElement[Any], place: ColumnElement[int]) -> ColumnElement[Any]:
        """Return when the block at a place (from 0) may start: due, and `apart` from the others.

        Every block waits for its own moment and for those before it, like a queue at a counter.
        """
        waited = place * literal(self.apart, Interval)
        last: ColumnElement[Any] = func.max(due_at - waited, type_=_MOMENT).over(order_by=place)
        return last + waited


def pace_of(limit: int | None, block_size: int) -> Pace | None:
    """Return the pace that keeps a limit per minute; None without a limit."""
    if limit is None:
        return None
    size = max(1, min(block_size, limit // _BLOCKS_A_MINUTE))
    # Rounded up, so that a minute never holds one block more.
    return Pace(size, -(-_A_MINUTE // max(1, limit // size)))


def free_moment(
    connection: Connection, tenant_id: int, run_id: int, due_at: datetime, pace: Pace
) -> datetime:
    """Return the first moment from `due_at` on at which one more block keeps the pace."""
    c = table(RunBlock).c
    near = and_(
        c.tenant_id == tenant_id,
        c.run_id == run_id,
        c.state == BlockState.READY,
        c.due_at > due_at - pace.apart,
    )
    following = func.lead(c.due_at).over(order_by=c.due_at)
    waiting = select(c.due_at, following.label("next")).where(near).subquery().c
    gap = or_(waiting.next.is_(None), waiting.next - waiting.due_at >= 2 * pace.apart)
    first = connection.scalar(select(func.min(waiting.due_at)))
    if first is None or first >= due_at + pace.apart:
        return due_at
    after: datetime = connection.scalar(select(func.min(waiting.due_at)).where(gap))
    return max(due_at, after + pace.apart)


def clear_jam(connection: Connection, tenant_id: int, run_id: int, pace: Pace) -> None:
    """Spread anew what has fallen due together while nobody could send.

    One sender does it; the others find the blocks locked and come back when they are due.
    """
    c = table(RunBlock).c
    late = select(c.number).where(
        c.tenant_id == tenant_id,
        c.run_id == run_id,
        c.state == BlockState.READY,
        c.due_at < func.now() - bindparam("late", max(pace.apart, _LATE), Interval),
    )
    if connection.scalar(late.limit(1)) is None:
        return
    alone = func.pg_try_advisory_xact_lock(func.hashtextextended("envoi pace", run_id))
    if connection.scalar(select(alone)):
        keep_pace(connection, tenant_id, run_id, pace)


def keep_pace(connection: Connection, tenant_id: int, run_id: int, pace: Pace) -> None:
    """Spread anew what waits, after a time in which blocks have fallen due together."""
    block = table(RunBlock)
    c = block.c
    waiting = (c.tenant_id == tenant_id, c.run_id == run_id, c.state == BlockState.READY)
    place = func.row_number().over(order_by=(c.due_at, c.number)) - 1
    due_at = func.greatest(c.due_at, func.now(), type_=_MOMENT)
    queue = select(c.number, due_at.label("due_at"), place.label("place")).where(*waiting)
    rows = queue.subquery().c
    spread = select(rows.number, pace.starts(rows.due_at, rows.place).label("starts")).subquery().c
    connection.execute(
        block.update().where(*waiting, c.number == spread.number).values(due_at=spread.starts)
    )
