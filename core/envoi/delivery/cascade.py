"""Moving on: the message of the next step, where the one before failed or nobody got it in time.

A message of unknown outcome is never followed, nor one whose provider goes on by itself
(`envoi.delivery.handover`). Every block of a step that has another one
behind it knows when to look at its messages again (`run_block.moves_at`), so a look reads no
more of the ledger than it must. The run's row is locked meanwhile, and the ledger's key allows
one message for each step: whatever happens twice, or half, happens once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Row,
    SmallInteger,
    and_,
    case,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.blocks import BlockKey, messages_of_run, new_block, rows
from envoi.delivery.claim import Recheck, Verdict
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunStatus, Stage
from envoi.delivery.runs import RunSettings, get_run
from envoi.delivery.states import OPEN_STATES, leave_unconfirmed, move
from envoi.delivery.steps import StepContent, has_next
from envoi.failpoints import Place, hit
from envoi.jobs import Work, announce, withdraw
from envoi.tracking.tokens import MessageRef

REACHED = "reached"
"""In `message.detail`: it did not leave, because an earlier step's message arrived first."""

MOST_BLOCKS = 100
"""So many blocks are looked at in one transaction."""


def move_on(database: Database, tenant_id: int, run_id: int) -> int:
    """Do the due work of `Work.CASCADE`; return how many messages follow now."""
    followed = 0
    more = True
    while more:
        with database.tenant_session(tenant_id) as session:
            count, more = move_some(session, tenant_id, run_id, datetime.now(UTC))
            hit(Place.BEFORE_MOVE_COMMIT)
        followed += count
    hit(Place.AFTER_MOVE_COMMIT)
    return followed


def move_some(session: Session, tenant_id: int, run_id: int, now: datetime) -> tuple[int, bool]:
    """Look at the blocks whose time has come; tell how many follow and whether there are more.

    A paused run moves on when it is resumed, and nothing follows beyond its lifetime.
    """
    run = get_run(session, tenant_id, run_id, lock=True)
    # Whoever announces it from here on waits for us, and is heard afterwards.
    withdraw(session, tenant_id, Work.CASCADE, run_id)
    if run.status != RunStatus.SENDING:
        return 0, False
    if run.expires_at and run.expires_at <= now:
        announce(session, tenant_id, Work.SEND, run_id)
        return 0, False
    frozen = RunSettings.model_validate(run.settings)
    blocks = _due_blocks(session, run, now)
    followed = 0
    for place, then in enumerate(frozen.steps, start=1):
        numbers = [block.number for block in blocks if block.step == place]
        found = _to_follow(session, run, frozen.steps[:place], numbers, now)
        _let_follow(session, run, place + 1, found, frozen.block_size)
        _look_again(session, run, then, numbers, now)
        followed += len(found)
    _announce(session, run)
    return followed, len(blocks) == MOST_BLOCKS


def unless_reached(run: Run, step: int, recheck: Recheck) -> Recheck:
    """Return a re-check that first lets go whom an earlier step has reached after all.

    A message may wait for long before it leaves, for the night to end for example.
    """
    steps = RunSettings.model_validate(run.settings).steps[: step - 1]
    m = table(Message).c
    reached = (messages_of_run(run), m.step == step, _is_reached(run, steps))
    needless = move(MessageState.READY, MessageState.CANCELLED, detail=REACHED).where(*reached)
    needless = needless.returning(m.customer_id)

    def asked(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
        these = m.customer_id.in_(customer_ids)
        connection.execute(leave_unconfirmed().where(*reached, these))
        gone = set(connection.scalars(needless.where(these)))
        left = [number for number in customer_ids if number not in gone]
        return [*(Verdict(number, None, None, None) for number in gone), *recheck(connection, left)]

    return asked


def _is_reached(run: Run, steps: Sequence[StepContent]) -> ColumnElement[bool]:
    """Whether one of a customer's messages made the step after it needless."""
    m, earlier = table(Message).c, table(Message).alias("earlier")
    e = earlier.c
    successes = [and_(e.step == n, s.succeeded(earlier)) for n, s in enumerate(steps, start=1)]
    query = select(literal(1)).where(
        e.tenant_id == run.tenant_id,
        e.run_id == run.id,
        e.launched_on == run.launched_on,
        e.customer_id == m.customer_id,
        or_(*successes),
    )
    return query.exists()


def look_again(session: Session, ref: MessageRef) -> None:
    """Look at once whether another message follows one of which failure was reported."""
    m, run, block = table(Message).c, table(Run).c, table(RunBlock)
    number = select(m.block).where(
        m.tenant_id == ref.tenant_id,
        m.run_id == ref.run_id,
        m.customer_id == ref.customer_id,
        m.step == ref.step,
        m.launched_on == ref.launched_on,
        ~m.handed_over,
    )
    chained = select(literal(1)).where(
        run.tenant_id == ref.tenant_id,
        run.id == ref.run_id,
        run.finished_at.is_(None),
        has_next(literal(ref.step, SmallInteger)),
    )
    theirs = (block.c.tenant_id == ref.tenant_id, block.c.run_id == ref.run_id)
    soon = block.update().where(*theirs, block.c.number == number.scalar_subquery())
    soon = soon.where(chained.exists()).values(moves_at=func.now())
    if session.execute(soon.returning(block.c.number)).first():
        announce(session, ref.tenant_id, Work.CASCADE, ref.run_id)


def _due_blocks(session: Session, run: Run, now: datetime) -> Sequence[Row[int, int]]:
    """Blocks to look at; one that somebody is writing to is looked at when they have."""
    c = table(RunBlock).c
    query = select(c.number, c.step).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.moves_at <= now
    )
    chosen = query.order_by(c.moves_at).limit(MOST_BLOCKS)
    return session.execute(chosen.with_for_update(skip_locked=True)).all()


def _out() -> ColumnElement[bool]:
    """Whether a provider has a message and does not go on from it by itself."""
    m = table(Message).c
    return and_(m.state == MessageState.ACCEPTED, ~m.handed_over)


def _failed() -> ColumnElement[bool]:
    """Whether a message will not arrive; a policy speaks for the next step as well."""
    m = table(Message).c
    kept_out = and_(m.state == MessageState.BLOCKED, m.stage != Stage.POLICY)
    reported = and_(_out(), m.bounced_at.is_not(None))
    return or_(m.state == MessageState.FAILED, reported, kept_out)


def _to_follow(
    session: Session, run: Run, steps: Sequence[StepContent], numbers: list[int], now: datetime
) -> Sequence[Row[int, int | None]]:
    """Customers of these blocks whose message of the last of these steps is due."""
    if not numbers:
        return []
    step, then = len(steps), steps[-1]
    m, next_one = table(Message).c, table(Message).alias("next_one").c
    overdue = and_(_out(), literal(then.is_reported), m.accepted_at <= now - then.wait)
    follows = select(literal(1)).where(
        next_one.tenant_id == run.tenant_id,
        next_one.run_id == run.id,
        next_one.launched_on == run.launched_on,
        next_one.customer_id == m.customer_id,
        next_one.step == step + 1,
    )
    query = select(m.customer_id, m.variant).where(
        messages_of_run(run),
        m.block.in_(numbers),
        m.step == step,
        or_(_failed(), overdue),
        ~_is_reached(run, steps),
        ~follows.exists(),
    )
    return session.execute(query.order_by(m.customer_id)).all()


def _let_follow(
    session: Session,
    run: Run,
    step: int,
    people: Sequence[Row[int, int | None]],
    size: int,
) -> None:
    key = BlockKey(run.tenant_id, run.id, 0, run.launched_on, step)
    now = datetime.now(UTC)
    for start in range(0, len(people), size):
        some = people[start : start + size]
        number = new_block(session.connection(), key, len(some), now)
        _insert(session, key, number, some, now)
    if people:
        announce(session, run.tenant_id, Work.SEND, run.id)


def _insert(
    session: Session,
    key: BlockKey,
    number: int,
    people: Sequence[Row[int, int | None]],
    due_at: datetime,
) -> None:
    new = rows(
        customer_id=([one.customer_id for one in people], BigInteger()),
        variant=([one.variant for one in people], SmallInteger()),
    )
    values: dict[str, ColumnElement[Any]] = {
        "tenant_id": literal(key.tenant_id, Integer),
        "run_id": literal(key.run_id, BigInteger),
        "launched_on": literal(key.launched_on),
        "customer_id": new.c.customer_id,
        "variant": new.c.variant,
        "step": literal(key.step, SmallInteger),
        "follows": literal(True),
        "state": literal(MessageState.READY.value, SmallInteger),
        "due_at": literal(due_at, DateTime(timezone=True)),
        "block": literal(number, Integer),
    }
    session.execute(
        insert(table(Message)).from_select(
            list(values), select(*values.values()), include_defaults=False
        )
    )


def _look_again(
    session: Session, run: Run, then: StepContent, numbers: list[int], now: datetime
) -> None:
    """Write down when the next of a block's messages may be followed; never, where none may.

    An unknown outcome is waited for as long as an answer: a report may still tell it.
    """
    m, block = table(Message).c, table(RunBlock)
    in_time = and_(_out(), m.bounced_at.is_(None), ~then.succeeded())
    unknown = and_(m.state == MessageState.UNCONFIRMED, ~m.handed_over)
    at = case(
        (m.state.in_(sorted(OPEN_STATES)), run.expires_at),
        (in_time, m.accepted_at + then.wait),
        (unknown, block.c.claimed_at + then.wait),
    )
    next_at = select(func.min(at).filter(at > now)).where(
        messages_of_run(run), m.block == block.c.number
    )
    theirs = (block.c.tenant_id == run.tenant_id, block.c.run_id == run.id)
    looked_at = block.update().where(*theirs, block.c.number.in_(numbers))
    session.execute(looked_at.values(moves_at=next_at.scalar_subquery()))


def _announce(session: Session, run: Run) -> None:
    """Say when to look next; where nothing may move any more, let the run be ended."""
    c = table(RunBlock).c
    query = select(func.min(c.moves_at)).where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    next_at = session.scalar(query)
    kind = Work.SEND if next_at is None else Work.CASCADE
    announce(session, run.tenant_id, kind, run.id, next_at)
