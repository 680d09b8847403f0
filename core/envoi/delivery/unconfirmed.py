"""What a person does with messages of unknown outcome: send them again, or leave them.

By itself a run does what the company chose for the channel (`envoi.delivery.outcomes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, SmallInteger, func, or_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.blocks import BlockKey, look_soon, messages_of_run, new_block, rows
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.outcomes import move_again
from envoi.delivery.runs import RunSettings, finish_if_done, get_run
from envoi.delivery.states import RESENT, leave_unconfirmed, move
from envoi.errors import ConflictError
from envoi.jobs import Work, announce
from envoi.tenants.models import TenantSettings

_ENDED = (RunStatus.CANCELLED, RunStatus.FAILED)


def resends_by_itself(settings: TenantSettings, run: Run) -> bool:
    """Whether a run sends unconfirmed messages again without being asked."""
    contract = bool(run.settings.get("resends_unconfirmed", True))
    return settings.unconfirmed_resend.get(run.channel, contract)


def can_resend(run: Run, now: datetime) -> bool:
    """Whether anything of a run may still leave."""
    return run.status not in _ENDED and (run.expires_at is None or now < run.expires_at)


def resend(session: Session, tenant_id: int, run_id: int, due_at: datetime) -> int:
    """Let what is unconfirmed leave again from a moment on, and return how many messages.

    Until a sender has claimed them, `leave` takes it back. What has shown a sign of life since,
    an open for example, has arrived and is not sent again.

    Raises:
        ConflictError: The run was cancelled, or its messages' lifetime is over.
    """
    run = get_run(session, tenant_id, run_id, lock=True)
    if not can_resend(run, datetime.now(UTC)):
        raise ConflictError(
            "Nothing of this mailing can be sent any more: it was cancelled, or the lifetime of"
            " its messages is over. What is unconfirmed stays so."
        )
    session.execute(_arrived(run))
    found = _put_into_blocks(session, run, due_at)
    if found and run.status == RunStatus.SENT:
        run.status, run.finished_at = RunStatus.SENDING, None
    announce(session, tenant_id, Work.REPORT, run_id)
    return found


def leave(session: Session, tenant_id: int, run_id: int) -> int:
    """Take back what was to be sent again and has not been claimed; return how many messages."""
    run = get_run(session, tenant_id, run_id, lock=True)
    theirs, m, block = messages_of_run(run), table(Message).c, table(RunBlock)
    waiting = select(m.block).where(theirs, m.state == MessageState.READY, m.detail == RESENT)
    mine = (block.c.tenant_id == tenant_id, block.c.run_id == run_id)
    numbers = session.scalars(
        select(block.c.number)
        .where(*mine, block.c.state == BlockState.READY, block.c.number.in_(waiting))
        .with_for_update(skip_locked=True)
    ).all()
    left = leave_unconfirmed().where(theirs, m.block.in_(numbers)).returning(m.customer_id)
    found = len(session.execute(left).all())
    still = select(m.block).where(theirs, m.block.in_(numbers), m.state == MessageState.READY)
    empty = block.update().where(*mine, block.c.number.in_(numbers), block.c.number.not_in(still))
    done = empty.values(state=BlockState.DONE, **look_soon()).returning(block.c.moves_at)
    if any(session.scalars(done)):
        announce(session, tenant_id, Work.CASCADE, run_id)
    finish_if_done(session, tenant_id, run_id)
    announce(session, tenant_id, Work.REPORT, run_id)
    return found


def _arrived(run: Run) -> Any:
    """Whoever opened, clicked or unsubscribed has got the message."""
    m = table(Message).c
    signs = (m.delivered_at, m.bounced_at, m.opened_at, m.clicked_at, m.unsubscribed_at)
    at = func.least(*signs)
    taken = move(MessageState.UNCONFIRMED, MessageState.ACCEPTED, accepted_at=at)
    return taken.where(messages_of_run(run), or_(*(sign.is_not(None) for sign in signs)))


def _put_into_blocks(session: Session, run: Run, due_at: datetime) -> int:
    """Fill new blocks with all that is unconfirmed, whatever blocks it was in."""
    c = table(Message).c
    waiting = select(c.customer_id, c.step).where(
        messages_of_run(run), c.block.is_not(None), c.state == MessageState.UNCONFIRMED
    )
    in_order = waiting.order_by(c.step, c.block, c.customer_id)
    found = session.execute(in_order.with_for_update()).all()
    if not found:
        return 0
    theirs = rows(
        customer_id=([row.customer_id for row in found], BigInteger()),
        step=([row.step for row in found], SmallInteger()),
        block=(_new_blocks(session, run, [row.step for row in found], due_at), BigInteger()),
    )
    again = move_again(MessageState.UNCONFIRMED, detail=RESENT)
    again = again.values(block=theirs.c.block, due_at=due_at).where(
        messages_of_run(run), c.customer_id == theirs.c.customer_id, c.step == theirs.c.step
    )
    session.execute(again)
    announce(session, run.tenant_id, Work.SEND, run.id, due_at)
    return len(found)


def _new_blocks(session: Session, run: Run, steps: Sequence[int], due_at: datetime) -> list[int]:
    """Make as many blocks as messages of these steps fill, and return the number of each one's."""
    size = RunSettings.model_validate(run.settings).block_size
    numbers: list[int] = []
    for step, messages in sorted(Counter(steps).items()):
        key = BlockKey(run.tenant_id, run.id, 0, run.launched_on, step)
        for start in range(0, messages, size):
            count = min(size, messages - start)
            numbers += [new_block(session.connection(), key, count, due_at)] * count
    return numbers
