"""Moments at which work could be lost: two at once, a session at its end, a commit in doubt."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection, event, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi import hookimpl
from envoi.audience.collection import collect
from envoi.db import Database, table
from envoi.delivery.claim import Verdict, claim_block
from envoi.delivery.models import (
    BlockState,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunKind,
    RunStatus,
    Sender,
)
from envoi.delivery.outcomes import Outcome, record
from envoi.delivery.reconcile import reconcile
from envoi.delivery.run_traffic import note_outcomes
from envoi.delivery.runs import (
    RunSettings,
    VariantContent,
    cancel_run,
    create_run,
    get_run,
    settle,
)
from envoi.delivery.sender import SenderEndedError, SenderSession
from envoi.delivery.sending import Engine
from envoi.jobs import Work, announce, due, withdraw
from envoi.plugins import Plugins, load_plugins
from envoi.sql import Membership, SourceColumns
from envoi.types import SegmentSourceSpec
from factories.customers import make_customers
from factories.delivery import a_run, a_run_through, an_installation, states
from smtp_sink import SmtpSink


def nobody(connection: Connection, customer_ids: Any) -> list[Verdict]:
    """Keep nobody back."""
    return []


def is_due(database: Database, tenant_id: int, run: Run) -> bool:
    with database.system_session() as session:
        return (tenant_id, Work.SEND.value, run.id) in due(session, [Work.SEND], 10_000)


def wait_for_a_lock(database: Database) -> None:
    """Return as soon as somebody waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with database.engine.connect() as connection:
        while not connection.scalar(waiting):
            connection.rollback()


def test_a_reconciler_and_a_sender_never_wait_for_each_other(
    database: Database, tenant_id: int, tmp_path: Path
) -> None:
    """A sender's record holds the run first, what the run has come to last."""
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 10, block_size=5)
    with database.system_session() as session:
        session.add(gone := Sender(host="gone", pid=1, recorder="gone.rec"))
        session.flush()
        sender_id = gone.id
    with database.tenant_connection(tenant_id) as connection:
        first = claim_block(connection, tenant_id, run.id, sender_id, nobody)
        second = claim_block(connection, tenant_id, run.id, sender_id, nobody)
        assert first is not None
        assert second is not None
        m = table(Message).c
        mine = (m.tenant_id == tenant_id, m.run_id == run.id, m.launched_on == run.launched_on)
        sent = update(table(Message)).where(*mine, m.block == first.key.number)
        connection.execute(sent.values(state=MessageState.ACCEPTED))
    thread = threading.Thread(target=reconcile, args=(database, tmp_path, timedelta(0)))
    with database.tenant_session(tenant_id) as session:
        get_run(session, tenant_id, run.id, lock=True)
        thread.start()
        wait_for_a_lock(database)
        note_outcomes(session, first.key, [])
    thread.join()
    block = table(RunBlock).c
    held = select(func.count()).where(block.tenant_id == tenant_id, block.sender_id == sender_id)
    with database.tenant_session(tenant_id) as session:
        assert session.scalar(held.where(block.state == BlockState.CLAIMED)) == 0


def test_a_block_given_back_while_another_settles_is_due_at_once(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 10, block_size=5)
    with database.tenant_connection(tenant_id) as connection:
        first = claim_block(connection, tenant_id, run.id, 1, nobody)
        second = claim_block(connection, tenant_id, run.id, 1, nobody)
    assert first is not None
    assert second is not None
    again = [Outcome(m.customer_id, m.step, MessageState.READY) for m in first.messages]
    with database.tenant_session(tenant_id) as session:
        record(session, 1, first.key, again)

    def look() -> None:
        with database.tenant_session(tenant_id) as other:
            settle(other, tenant_id, run.id)

    thread = threading.Thread(target=look)
    with database.tenant_session(tenant_id) as session:
        record(session, 1, second.key, [], rest_due_at=datetime.now(UTC))
        thread.start()
        wait_for_a_lock(database)
    thread.join()
    assert is_due(database, tenant_id, run)


def defer_all(session: Session, tenant_id: int, run: Run) -> None:
    c = table(RunBlock).c
    later = update(table(RunBlock)).where(c.tenant_id == tenant_id, c.run_id == run.id)
    session.execute(later.values(due_at=datetime.now(UTC) + timedelta(days=2)))


def test_many_deferred_messages_are_cancelled_without_waiting_for_their_time(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 450, block_size=1)
        defer_all(session, tenant_id, run)
        cancel_run(session, tenant_id, run.id)
    for _ in range(2):
        assert is_due(database, tenant_id, run)
        with database.tenant_session(tenant_id) as session:
            settle(session, tenant_id, run.id)
    assert set(states(database, tenant_id, run).values()) == {MessageState.CANCELLED}
    with database.tenant_session(tenant_id) as session:
        assert get_run(session, tenant_id, run.id).finished_at is not None
    assert not is_due(database, tenant_id, run)


def test_a_late_announcement_of_a_run_that_has_ended_is_taken_back(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 1)
        cancel_run(session, tenant_id, run.id)
        announce(session, tenant_id, Work.SEND, run.id)
    with database.tenant_session(tenant_id) as session:
        settle(session, tenant_id, run.id)
    assert not is_due(database, tenant_id, run)


def test_a_message_deferred_beyond_its_lifetime_comes_back_at_the_end_of_it(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, 1)
    later = datetime.now(UTC) + timedelta(days=30)

    def recheck(connection: Connection, customer_ids: Any) -> list[Verdict]:
        return [Verdict(number, None, "cap", later) for number in customer_ids]

    with database.tenant_connection(tenant_id) as connection:
        claim_block(connection, tenant_id, run.id, 1, recheck)
        c = table(RunBlock).c
        mine = (c.tenant_id == tenant_id, c.run_id == run.id)
        assert connection.scalar(select(func.max(c.due_at)).where(*mine)) == run.expires_at


def test_a_session_at_its_end_claims_nothing(database: Database, tmp_path: Path) -> None:
    with SenderSession(database, tmp_path, 1) as sender, sender.slot() as slot:
        pass
    with pytest.raises(SenderEndedError), sender.unrecorded(slot):
        pass


def test_a_sender_that_cannot_know_whether_its_claim_was_committed_ends(
    database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path
) -> None:
    installation = an_installation(database, plugins, tmp_path)
    run = a_run_through(installation, tenant_id, 1, 3)
    claiming: set[int] = set()

    def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE run_block"):
            claiming.add(id(connection))

    def break_off(connection: Connection) -> None:
        if id(connection) in claiming:
            driver: Any = connection.connection.driver_connection
            with database.engine.connect() as other:
                other.execute(select(func.pg_terminate_backend(driver.info.backend_pid, 5000)))

    event.listen(database.engine, "after_cursor_execute", note)
    event.listen(database.engine, "commit", break_off)
    try:
        with SenderSession(database, tmp_path, 1) as sender:
            with pytest.raises(OperationalError):
                Engine(installation, sender).send_run(tenant_id, run.id, lambda: False)
            assert sender.has_ended
    finally:
        event.remove(database.engine, "after_cursor_execute", note)
        event.remove(database.engine, "commit", break_off)


def test_each_message_is_accepted_at_the_moment_of_its_own_answer(
    database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path
) -> None:
    installation = an_installation(database, plugins, tmp_path)
    with SmtpSink() as sink, SenderSession(database, tmp_path, 1) as sender:
        run = a_run_through(installation, tenant_id, sink.port, 5)
        engine = Engine(installation, sender)
        engine.send_run(tenant_id, run.id, lambda: False)
        engine.connections.close_idle(0)
    c = table(Message).c
    mine = (c.tenant_id == tenant_id, c.run_id == run.id, c.launched_on == run.launched_on)
    with database.tenant_session(tenant_id) as session:
        times = session.scalars(select(c.accepted_at).where(*mine)).all()
        assert get_run(session, tenant_id, run.id).status == RunStatus.SENT
    assert len(set(times)) == 5


class Nothing(BaseModel):
    """No settings."""


def _divides(settings: Nothing, columns: SourceColumns) -> Membership:
    return 1 / (columns.customers.c.bucket * 0) > 1


def test_a_segment_that_fails_in_the_database_pauses_the_run(
    database: Database, tenant_id: int
) -> None:
    spec = SegmentSourceSpec(name="divides", label="Divides", settings=Nothing, select=_divides)
    brings = SimpleNamespace(register_segment_sources=hookimpl(lambda: [spec]))
    plugins = load_plugins(extra=[("partner", brings)])
    frozen = RunSettings(
        tree={"all": [{"source": "divides", "settings": {}}]},
        variants=[VariantContent(number=1, content={})],
    )
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        run = create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel="email",
            gateway_id=None,
            settings=frozen,
            now=datetime.now(UTC),
        )
    assert collect(database, plugins, tenant_id, run.id) is None
    with database.tenant_session(tenant_id) as session:
        found = get_run(session, tenant_id, run.id)
        assert found.status == RunStatus.PAUSED
        assert "division by zero" in found.pause_reason


def test_many_runs_that_are_being_sent_hide_no_launch(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        for run_id in range(120):
            announce(session, tenant_id, Work.SEND, run_id)
        announce(session, tenant_id, Work.LAUNCH, 1)
    with database.tenant_session(tenant_id) as session:
        assert (tenant_id, "launch", 1) in due(session, [Work.LAUNCH])
        for run_id in range(120):
            withdraw(session, tenant_id, Work.SEND, run_id)
        withdraw(session, tenant_id, Work.LAUNCH, 1)
