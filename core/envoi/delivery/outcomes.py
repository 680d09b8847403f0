"""Recording what became of a block's messages, in sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    DateTime,
    Select,
    SmallInteger,
    TableValuedAlias,
    Text,
    Update,
    and_,
    case,
    cast,
    event,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import BlockKey, block_row, look_soon, messages_of, new_block, rows
from envoi.delivery.costs import note_cost
from envoi.delivery.handover import Later, note_handed_over
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.run_traffic import note_outcomes
from envoi.delivery.states import RESENT, move
from envoi.delivery.steps import channel_at, of_step
from envoi.delivery.submissions import note_submissions
from envoi.feedback.refusals import Refusal, note_refusals
from envoi.jobs import Work, announce
from envoi.operations.metrics import MESSAGES
from envoi.tenants.models import TenantSettings
from envoi.types import Submission

RETRY_MINUTES = (1, 5, 15, 30, 60)
"""Pauses after the first, second, ... temporary refusal; the last one repeats."""

MAX_RESENDS = 5
"""What stays unconfirmed over and over is held in the end, whatever the tenant chose."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claimed message: ACCEPTED, FAILED, UNCONFIRMED, or READY to try again.

    `accepted_at` is when the provider took it; without it, the moment of writing stands. `parts`
    and `amount` are what was taken of it and what that costs; `further` what its provider goes on
    to by itself.
    """

    customer_id: int
    step: int
    state: MessageState
    code: int = 0
    detail: str | None = None
    accepted_at: datetime | None = None
    parts: int = 0
    amount: int = 0
    submissions: tuple[Submission, ...] = ()
    further: tuple[Later, ...] = ()


def record(
    session: Session,
    sender_id: int,
    key: BlockKey,
    outcomes: Sequence[Outcome],
    *,
    gateway_id: int = 0,
    rest_due_at: datetime | None = None,
) -> bool:
    """Write down what became of a sender's block and give it up; false when it is not theirs.

    Nothing happens when the block is not this sender's any more, so recording is repeatable.

    Args:
        gateway_id: The gateway by which they left; 0 where nothing is known of that.
        rest_due_at: When the messages without an outcome fall due: they have not left and
            wait again in the same block, no attempt burned. None: there are none.
    """
    if not _is_still_ours(session, sender_id, key):
        return False
    final = [o for o in outcomes if o.state is not MessageState.READY]
    if final:
        _finish(session.connection(), key, final)
    if failed := [o for o in final if o.state is MessageState.FAILED]:
        _note_refusals(session, key, failed)
    if refused := [o for o in outcomes if o.state is MessageState.READY]:
        _try_again(session, key, refused)
    if unconfirmed := [o for o in final if o.state is MessageState.UNCONFIRMED]:
        _resend(session, key, unconfirmed)
    note_submissions(session, key, gateway_id, outcomes)
    _give_up(session, key, rest_due_at)
    note_handed_over(session, key, gateway_id, outcomes)
    note_cost(session, key.tenant_id, key.run_id, gateway_id, outcomes)
    _count(session, key, [o.state for o in outcomes])
    return True


def _count(session: Session, key: BlockKey, states: Sequence[MessageState]) -> None:
    channel = note_outcomes(session, key, states)

    def committed(_: Session) -> None:
        for state, count in Counter(states).items():
            MESSAGES.add(count, key.tenant_id, channel, state.name.lower())

    event.listen(session, "after_commit", committed, once=True)


def _note_refusals(session: Session, key: BlockKey, failed: Sequence[Outcome]) -> None:
    refusals = [
        Refusal(customer_id=o.customer_id, step=o.step, code=o.code, words=o.detail or "")
        for o in failed
    ]
    note_refusals(session, key.tenant_id, key.run_id, key.launched_on, refusals)


def _is_still_ours(session: Session, sender_id: int, key: BlockKey) -> bool:
    c = table(RunBlock).c
    ours = select(c.number).where(
        block_row(key), c.state == BlockState.CLAIMED, c.sender_id == sender_id
    )
    return session.scalar(ours.with_for_update()) is not None


def _finish(connection: Connection, key: BlockKey, outcomes: Sequence[Outcome]) -> None:
    new = rows(
        customer_id=([o.customer_id for o in outcomes], BigInteger()),
        step=([o.step for o in outcomes], SmallInteger()),
        state=([int(o.state) for o in outcomes], SmallInteger()),
        code=([o.code for o in outcomes], SmallInteger()),
        detail=([o.detail for o in outcomes], Text()),
        accepted_at=([o.accepted_at for o in outcomes], DateTime(timezone=True)),
    )
    accepted_at = func.coalesce(new.c.accepted_at, func.now())
    c = table(Message).c
    # A report may be faster than the answer, or come instead of it.
    facts = (c.delivered_at, c.bounced_at, c.opened_at, c.clicked_at)
    is_told = and_(new.c.state == MessageState.UNCONFIRMED, func.num_nonnulls(*facts) > 0)
    state = case((is_told, literal(MessageState.ACCEPTED, SmallInteger)), else_=new.c.state)
    update = move(
        MessageState.CLAIMED,
        state,
        code=new.c.code,
        detail=func.coalesce(new.c.detail, c.detail),
        accepted_at=case((state == MessageState.ACCEPTED, accepted_at)),
    )
    connection.execute(
        update.where(messages_of(key), c.customer_id == new.c.customer_id, c.step == new.c.step)
    )


def _try_again(session: Session, key: BlockKey, refused: Sequence[Outcome]) -> None:
    """Put temporary refusals into later blocks; past the lifetime's end they expire there."""
    connection = session.connection()
    c = table(Message).c
    by_attempt: dict[int, list[Outcome]] = defaultdict(list)
    theirs = _keys(refused)
    query = select(c.customer_id, c.step, c.attempt).where(
        messages_of(key), c.customer_id == theirs.c.customer_id, c.step == theirs.c.step
    )
    attempts = {(row.customer_id, row.step): row.attempt for row in connection.execute(query)}
    for outcome in refused:
        by_attempt[attempts.get((outcome.customer_id, outcome.step), 0)].append(outcome)
    for attempt, outcomes in by_attempt.items():
        pause = RETRY_MINUTES[min(attempt, len(RETRY_MINUTES) - 1)]
        due_at = _within_lifetime(connection, key, datetime.now(UTC) + timedelta(minutes=pause))
        move_to_block(session, key, move_again(MessageState.CLAIMED), outcomes, due_at)


def _resend(session: Session, key: BlockKey, unconfirmed: Sequence[Outcome]) -> None:
    """Let messages of unknown outcome leave again, where that is the rule and still of use."""
    if session.scalar(_is_resent(key)):
        again = move_again(MessageState.UNCONFIRMED, detail=RESENT)
        few = again.where(table(Message).c.attempt < MAX_RESENDS)
        move_to_block(session, key, few, unconfirmed, datetime.now(UTC))


def _is_resent(key: BlockKey) -> Select[bool]:
    """By the company's choice for the channel, or else the channel's own contract.

    Of a run that is cancelled or over, nothing leaves any more.
    """
    run, company = table(Run).c, table(TenantSettings).c
    step = literal(key.step, SmallInteger)
    chosen = company.unconfirmed_resend[channel_at(step)].as_boolean()
    contract = case(
        (step == 1, run.settings["resends_unconfirmed"].as_boolean()),
        else_=cast(of_step(step, "resends_unconfirmed"), Boolean),
    )
    return (
        select(func.coalesce(chosen, contract, true()))
        .select_from(table(Run))
        .outerjoin(table(TenantSettings), company.tenant_id == run.tenant_id)
        .where(run.tenant_id == key.tenant_id, run.id == key.run_id)
        .where(run.status != RunStatus.CANCELLED)
        .where(func.coalesce(run.expires_at > func.now(), true()))
    )


def move_again(from_: MessageState, **changes: str) -> Update:
    """Begin the UPDATE of messages that are tried once more, for `move_to_block`."""
    attempt = table(Message).c.attempt + 1
    return move(from_, MessageState.READY, attempt=attempt, **changes)


def move_to_block(
    session: Session, key: BlockKey, again: Update, messages: Sequence[Outcome], due_at: datetime
) -> None:
    """Put messages of a block into a new one that falls due at a moment."""
    number = new_block(session.connection(), key, len(messages), due_at)
    c, theirs = table(Message).c, _keys(messages)
    session.execute(
        again.values(block=number, due_at=due_at).where(
            messages_of(key), c.customer_id == theirs.c.customer_id, c.step == theirs.c.step
        )
    )
    announce(session, key.tenant_id, Work.SEND, key.run_id, due_at)


def _within_lifetime(connection: Connection, key: BlockKey, due_at: datetime) -> datetime:
    c = table(Run).c
    query = select(c.expires_at).where(c.tenant_id == key.tenant_id, c.id == key.run_id)
    expires_at: datetime | None = connection.scalar(query)
    return min(due_at, expires_at) if expires_at else due_at


def _give_up(session: Session, key: BlockKey, due_at: datetime | None) -> None:
    """Give the block back, to be claimed again if messages of it have not left."""
    block = (
        table(RunBlock)
        .update()
        .where(block_row(key), table(RunBlock).c.state == BlockState.CLAIMED)
    )
    left = 0
    if due_at is not None:
        unsent = move(MessageState.CLAIMED, MessageState.READY, due_at=due_at)
        left = session.connection().execute(unsent.where(messages_of(key))).rowcount
    course: dict[str, Any] = {"state": BlockState.DONE}
    if left:
        course = {"state": BlockState.READY, "sender_id": None, "size": left, "due_at": due_at}
    given_up = block.values(**course, **look_soon()).returning(table(RunBlock).c.moves_at)
    if session.scalar(given_up):
        announce(session, key.tenant_id, Work.CASCADE, key.run_id)
    if left:
        # After the cascade's, as who moves on does: else each could wait for the other.
        announce(session, key.tenant_id, Work.SEND, key.run_id, due_at)


def _keys(outcomes: Sequence[Outcome]) -> TableValuedAlias:
    return rows(
        customer_id=([o.customer_id for o in outcomes], BigInteger()),
        step=([o.step for o in outcomes], SmallInteger()),
    )
