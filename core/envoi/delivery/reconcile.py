"""Putting right what dead senders left: what was acknowledged, on the wire, and not begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.blocks import BlockKey, messages_of
from envoi.delivery.models import BlockState, Message, MessageState, RunBlock, Sender
from envoi.delivery.outcomes import Outcome, record
from envoi.delivery.recorder import (
    Acknowledged,
    RecorderUnreadableError,
    Trace,
    dead_recorder,
)
from envoi.delivery.sender import recorder_folder
from envoi.delivery.submissions import unpacked
from envoi.failpoints import Place, hit
from envoi.tenants.service import tenant_ids

log = structlog.get_logger()

GONE_AFTER = timedelta(seconds=90)
"""A session whose recorder cannot be read is taken for dead after so long without a heartbeat;
longer than a sender sends without one."""


def reconcile(database: Database, data_dir: Path, gone_after: timedelta = GONE_AFTER) -> int:
    """Settle the affairs of every dead sender, and return how many there were.

    A free lock on a recorder tells at once that its process is dead. Where the file cannot
    be read (another machine's, or lost), the heartbeat tells, and whatever the sender had
    claimed is unconfirmed.
    """
    c = table(Sender).c
    with database.system_session() as session:
        open_ones = session.execute(select(c.id, c.recorder).where(c.ended_at.is_(None))).all()
    folder = recorder_folder(data_dir)
    return sum(_settle(database, o.id, folder / o.recorder, gone_after) for o in open_ones)


def _settle(database: Database, sender_id: int, path: Path, gone_after: timedelta) -> bool:
    with _locked(database, sender_id) as heartbeat_at:
        if heartbeat_at is None:
            return False
        hit(Place.RECONCILER_LOCKED)
        try:
            with dead_recorder(path) as traces:
                if traces is None:
                    return False
                hit(Place.RECONCILER_READ)
                _restore_everywhere(database, sender_id, traces)
        except RecorderUnreadableError as error:
            if datetime.now(UTC) - heartbeat_at < gone_after:
                return False
            log.warning("recorder_lost", sender=sender_id, error=str(error))
            _restore_everywhere(database, sender_id, None)
        hit(Place.RECONCILED)
        _end(database, sender_id)
    hit(Place.RECONCILER_ENDED)
    path.unlink(missing_ok=True)
    return True


@contextmanager
def _locked(database: Database, sender_id: int) -> Iterator[datetime | None]:
    """Hold a sender's row, so that one reconciler works on it; None when another one does."""
    key = func.hashtextextended("envoi.sender", sender_id)
    c = table(Sender).c
    query = select(c.heartbeat_at).where(c.id == sender_id, c.ended_at.is_(None))
    with database.system_session() as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(key))):
            yield None
            return
        yield session.scalar(query)


def _end(database: Database, sender_id: int) -> None:
    with database.system_session() as session:
        mine = table(Sender).c.id == sender_id
        session.execute(table(Sender).update().where(mine).values(ended_at=func.now()))
    log.info("sender_reconciled", sender=sender_id)


def _restore_everywhere(database: Database, sender_id: int, traces: Sequence[Trace] | None) -> None:
    """Settle a dead sender's blocks of all tenants; without traces nothing of them is known."""
    for tenant_id in tenant_ids(database):
        with database.tenant_session(tenant_id) as session:
            claimed = _claimed_blocks(session, tenant_id, sender_id)
        for key, claimed_at in claimed:
            # Each alone, as senders do: two blocks in one transaction could wait for a sender
            # that waits for us.
            with database.tenant_session(tenant_id) as session:
                if traces is None:
                    record(session, sender_id, key, _unknown(session, key))
                else:
                    _restore(session, sender_id, key, traces, claimed_at)
                hit(Place.BEFORE_RECONCILE_COMMIT)


def _restore(
    session: Session,
    sender_id: int,
    key: BlockKey,
    traces: Sequence[Trace],
    claimed_at: datetime,
) -> None:
    place = (key.tenant_id, key.run_id, key.number)
    mine = [t for t in traces if (t.tenant_id, t.run_id, t.block) == place]
    record(
        session,
        sender_id,
        key,
        _known(mine, claimed_at),
        gateway_id=next((t.gateway_id for t in mine), 0),
        rest_due_at=datetime.now(UTC),
    )


def _claimed_blocks(
    session: Session, tenant_id: int, sender_id: int
) -> Sequence[tuple[BlockKey, datetime]]:
    c = table(RunBlock).c
    query = select(c.tenant_id, c.run_id, c.number, c.launched_on, c.step, c.claimed_at).where(
        c.tenant_id == tenant_id, c.sender_id == sender_id, c.state == BlockState.CLAIMED
    )
    return [(BlockKey(*key), claimed_at) for *key, claimed_at in session.execute(query)]


def _known(traces: Sequence[Trace], claimed_at: datetime) -> Sequence[Outcome]:
    """What the recorder knows of a block; a block it does not name had not been begun.

    The recorder keeps no times. A block is soon sent, so the claim is close to every answer
    in it, while the process may have been found dead much later.
    """
    unknown = MessageState.UNCONFIRMED
    on_wire = [
        Outcome(m.customer_id, m.step, unknown, parts=m.parts, amount=m.amount)
        for trace in traces
        for m in trace.on_wire
    ]
    return on_wire + [_outcome(one, claimed_at) for trace in traces for one in trace.outcomes]


def _outcome(one: Acknowledged, claimed_at: datetime) -> Outcome:
    return Outcome(
        one.customer_id,
        one.step,
        MessageState(one.status),
        one.code,
        one.words or None,
        claimed_at,
        one.parts,
        one.amount,
        unpacked(one.submissions),
    )


def _unknown(session: Session, key: BlockKey) -> Sequence[Outcome]:
    c = table(Message).c
    query = select(c.customer_id, c.step).where(messages_of(key), c.state == MessageState.CLAIMED)
    return [Outcome(*row, MessageState.UNCONFIRMED) for row in session.execute(query)]
