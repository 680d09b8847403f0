"""Claiming a block: checked again, marked as ours and committed before a byte leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Protocol

from sqlalchemy import BigInteger, Connection, SmallInteger, Text, func, literal, select

from envoi.db import table
from envoi.delivery.blocks import BlockKey, block_row, look_soon, messages_of, new_block, rows
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.pace import Pace, clear_jam
from envoi.delivery.restored import is_at_home
from envoi.delivery.states import leave_unconfirmed, move
from envoi.jobs import Work, announce


class Recheck(Protocol):
    """Asks the row stages again for some customers."""

    def __call__(self, connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
        """Return a verdict for each customer who is not to be sent to now."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a customer is not sent to: blocked at a stage, or else deferred."""

    customer_id: int
    stage: int | None
    detail: str | None
    deferred_until: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this process alone may send."""

    customer_id: int
    step: int
    variant: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A block that is ours; `messages` may be empty when nobody of it is to be sent to.

    None of them may leave at or after `expires_at`; `began_at` is before they were checked.
    """

    key: BlockKey
    messages: Sequence[ClaimedMessage]
    expires_at: datetime | None
    began_at: datetime

    def seconds_left(self) -> float:
        """How long the messages may still leave."""
        if self.expires_at is None:
            return inf
        return (self.expires_at - datetime.now(UTC)).total_seconds()


def claim_block(
    connection: Connection,
    tenant_id: int,
    run_id: int,
    sender_id: int,
    recheck: Recheck,
    pace: Pace | None = None,
    step: int = 1,
    *,
    handed_over: bool = False,
) -> Claim | None:
    """Take the longest due block of a step, or None when none is due or the run does not send.

    Messages whose lifetime is over expire, those excluded meanwhile are blocked, deferred
    ones go to a later block. With a `pace` no more blocks are taken than it allows, also after
    a time in which nobody could send. With `handed_over` the gateway goes on to the further steps
    by itself, so these messages are never followed by us. The caller commits before it sends.
    """
    began_at = datetime.now(UTC)
    if pace is not None:
        clear_jam(connection, tenant_id, run_id, pace)
    found = connection.execute(_take(tenant_id, run_id, step, sender_id)).one_or_none()
    if found is None:
        return None
    key = BlockKey(tenant_id, run_id, found.number, found.launched_on, step)
    if found.expires_at and found.expires_at <= datetime.now(UTC):
        for change in (leave_unconfirmed(), move(MessageState.READY, MessageState.EXPIRED)):
            connection.execute(change.where(messages_of(key)))
    else:
        verdicts = recheck(connection, _waiting(connection, key))
        _sort_out(connection, key, verdicts, found.expires_at)
    c = table(Message).c
    claimed = move(MessageState.READY, MessageState.CLAIMED, handed_over=handed_over)
    claimed = claimed.where(messages_of(key))
    returned = connection.execute(claimed.returning(c.customer_id, c.step, c.variant, c.attempt))
    messages = [ClaimedMessage(*row) for row in returned]
    if not messages:
        _end(connection, key)
    return Claim(key, messages, found.expires_at, began_at)


def _end(connection: Connection, key: BlockKey) -> None:
    block = table(RunBlock)
    done = block.update().where(block_row(key)).values(state=BlockState.DONE, **look_soon())
    if connection.scalar(done.returning(block.c.moves_at)):
        announce(connection, key.tenant_id, Work.CASCADE, key.run_id)


def _take(tenant_id: int, run_id: int, step: int, sender_id: int) -> Any:
    block, run = table(RunBlock), table(Run).c
    c = block.c
    mine = (c.tenant_id == tenant_id, c.run_id == run_id)
    sending = select(literal(1)).where(
        run.tenant_id == tenant_id, run.id == run_id, run.status == RunStatus.SENDING
    )
    due = select(c.number).where(
        *mine, c.state == BlockState.READY, c.due_at <= func.now(), sending.exists()
    )
    due = due.where(c.step == step)
    due = due.where(is_at_home())
    first = due.order_by(c.due_at).limit(1).with_for_update(skip_locked=True)
    expires = select(run.expires_at).where(run.tenant_id == tenant_id, run.id == run_id)
    return (
        block.update()
        .where(*mine, c.number == first.scalar_subquery())
        .values(state=BlockState.CLAIMED, sender_id=sender_id, claimed_at=func.now())
        .returning(c.number, c.launched_on, expires.scalar_subquery().label("expires_at"))
    )


def _waiting(connection: Connection, key: BlockKey) -> Sequence[int]:
    c = table(Message).c
    query = select(c.customer_id).where(messages_of(key), c.state == MessageState.READY)
    return connection.scalars(query).all()


def _sort_out(
    connection: Connection, key: BlockKey, verdicts: Sequence[Verdict], expires_at: datetime | None
) -> None:
    """Block or defer; what would be due after the lifetime comes back at its end and expires."""
    blocked = [v for v in verdicts if v.stage is not None]
    later: dict[datetime, list[int]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.stage is None and verdict.deferred_until is not None:
            due_at = min(verdict.deferred_until, expires_at or verdict.deferred_until)
            later[due_at].append(verdict.customer_id)
    if blocked:
        _block(connection, key, blocked)
    for due_at, customer_ids in later.items():
        _defer(connection, key, customer_ids, due_at)


def _block(connection: Connection, key: BlockKey, verdicts: Sequence[Verdict]) -> None:
    why = rows(
        customer_id=([v.customer_id for v in verdicts], BigInteger()),
        stage=([v.stage for v in verdicts], SmallInteger()),
        detail=([v.detail for v in verdicts], Text()),
    )
    theirs = (messages_of(key), table(Message).c.customer_id == why.c.customer_id)
    update = move(MessageState.READY, MessageState.BLOCKED, stage=why.c.stage, detail=why.c.detail)
    for step in (leave_unconfirmed(), update):
        connection.execute(step.where(*theirs))


def _defer(
    connection: Connection, key: BlockKey, customer_ids: list[int], due_at: datetime
) -> None:
    c = table(Message).c
    number = new_block(connection, key, len(customer_ids), due_at)
    later = table(Message).update().where(messages_of(key), c.state == MessageState.READY)
    later = later.where(c.customer_id.in_(customer_ids))
    connection.execute(later.values(block=number, due_at=due_at))
