"""Blocks of a run: what waits, making new ones for what is sent later, cancelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    TableValuedAlias,
    and_,
    case,
    cast,
    column,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.types import TypeEngine

from envoi.db import table
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock
from envoi.delivery.pace import free_moment, pace_of
from envoi.delivery.states import leave_unconfirmed, move
from envoi.delivery.steps import has_next

CANCEL_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class BlockKey:
    """Names a block; `launched_on` leads to the partition of its messages, all of one step."""

    tenant_id: int
    run_id: int
    number: int
    launched_on: date
    step: int = 1


def messages_of(key: BlockKey) -> ColumnElement[bool]:
    """The condition on `message` that means a block's rows."""
    c = table(Message).c
    return and_(
        c.tenant_id == key.tenant_id,
        c.run_id == key.run_id,
        c.launched_on == key.launched_on,
        c.block == key.number,
    )


def messages_of_run(run: Run) -> ColumnElement[bool]:
    """The condition on `message` that means a run's rows, with their partition."""
    c = table(Message).c
    return and_(c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on)


def block_row(key: BlockKey) -> ColumnElement[bool]:
    """The condition on `run_block` that means one block."""
    c = table(RunBlock).c
    return and_(c.tenant_id == key.tenant_id, c.run_id == key.run_id, c.number == key.number)


def rows(**columns: tuple[Sequence[Any], TypeEngine[Any]]) -> TableValuedAlias:
    """Values as a table, one array a column: a statement for any number of rows."""
    arrays = [cast(literal(list(v), ARRAY(t)), ARRAY(t)) for v, t in columns.values()]
    names = [column(name, kind) for name, (_, kind) in columns.items()]
    return func.unnest(*arrays).table_valued(*names).render_derived()


def new_block(connection: Connection, key: BlockKey, size: int, due_at: datetime) -> int:
    """Make a block for messages that leave another one, and return its number.

    It is of the step of `key`. The run's row is locked, so that two senders do not choose the
    same number, and so that nobody ends the run meanwhile. Where the run has a limit per minute,
    the block waits for a moment at which it fits.
    """
    run, block = table(Run).c, table(RunBlock)
    mine = (run.tenant_id == key.tenant_id, run.id == key.run_id)
    settings = (run.settings[name].as_integer() for name in ("limit_per_minute", "block_size"))
    moves_at = case((has_next(literal(key.step)), run.expires_at))
    locked = select(moves_at, *settings).where(*mine).with_for_update(key_share=True)
    looked_at, *limits = connection.execute(locked).one()
    if (pace := pace_of(*limits)) is not None:
        due_at = free_moment(connection, key.tenant_id, key.run_id, due_at, pace)
    last = select(func.max(block.c.number)).where(
        block.c.tenant_id == key.tenant_id, block.c.run_id == key.run_id
    )
    number = 1 + (connection.scalar(last) or 0)
    values = {"tenant_id": key.tenant_id, "run_id": key.run_id, "launched_on": key.launched_on}
    course = {"step": key.step, "due_at": due_at, "moves_at": looked_at}
    connection.execute(insert(block).values(**values, number=number, size=size, **course))
    return number


def look_soon() -> dict[str, Any]:
    """The change of `run_block` after which its messages are looked at, where any may move on."""
    moves_at = table(RunBlock).c.moves_at
    return {"moves_at": case((moves_at.is_not(None), func.now()))}


def next_due(
    connection: Connection,
    tenant_id: int,
    run_id: int,
    not_before: Mapping[int, datetime] = MappingProxyType({}),
) -> datetime | None:
    """When the next waiting block may leave, if any waits; of some steps not before a moment."""
    c = table(RunBlock).c
    query = select(c.step, func.min(c.due_at)).where(
        c.tenant_id == tenant_id, c.run_id == run_id, c.state == BlockState.READY
    )
    found = connection.execute(query.group_by(c.step)).all()
    return min((max(at, not_before.get(step, at)) for step, at in found), default=None)


def steps_to_go(connection: Connection, tenant_id: int, run_id: int) -> set[int]:
    """Which steps of a run have messages that wait, or may get some that the one before had."""
    c = table(RunBlock).c
    may_follow = and_(c.state == BlockState.DONE, c.moves_at.is_not(None))
    step = case((may_follow, c.step + 1), else_=c.step)
    query = (
        select(step)
        .distinct()
        .where(
            c.tenant_id == tenant_id,
            c.run_id == run_id,
            or_(c.state != BlockState.DONE, may_follow),
        )
    )
    return set(connection.scalars(query))


def is_due(connection: Connection, tenant_id: int, run_id: int, step: int) -> bool:
    """Whether a block of a step waits and has fallen due."""
    c = table(RunBlock).c
    query = select(c.number).where(
        c.tenant_id == tenant_id,
        c.run_id == run_id,
        c.step == step,
        c.state == BlockState.READY,
        c.due_at <= func.now(),
    )
    return connection.scalar(query.limit(1)) is not None


def is_finished(connection: Connection, tenant_id: int, run_id: int) -> bool:
    """Whether no block waits or is being worked on."""
    c = table(RunBlock).c
    query = select(c.number).where(
        c.tenant_id == tenant_id, c.run_id == run_id, c.state != BlockState.DONE
    )
    return connection.scalar(query.limit(1)) is None


def cancel_waiting(connection: Connection, tenant_id: int, run_id: int, launched_on: date) -> bool:
    """Cancel the messages of the first blocks that wait; true when there may be more."""
    block, message = table(RunBlock).c, table(Message).c
    mine = (block.tenant_id == tenant_id, block.run_id == run_id)
    waiting = select(block.number).where(*mine, block.state == BlockState.READY)
    waiting = waiting.order_by(block.number).limit(CANCEL_BLOCKS)
    numbers = list(connection.scalars(waiting.with_for_update(skip_locked=True)))
    if not numbers:
        return False
    for step in (leave_unconfirmed(), move(MessageState.READY, MessageState.CANCELLED)):
        connection.execute(
            step.where(
                message.tenant_id == tenant_id,
                message.run_id == run_id,
                message.launched_on == launched_on,
                message.block.in_(numbers),
            )
        )
    done = table(RunBlock).update().where(*mine, block.number.in_(numbers))
    connection.execute(done.values(state=BlockState.DONE))
    return len(numbers) == CANCEL_BLOCKS
