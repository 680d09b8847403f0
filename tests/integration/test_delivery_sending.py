"""Sending a run to a real SMTP server: what leaves, what is recorded, what stops it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.circuit import BackOff
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.runs import cancel_run, get_run, pause_run, progress, resume_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.tenants.service import tenant_settings
from factories.customers import opt_out
from factories.delivery import (
    a_run,
    a_run_through,
    an_installation,
    email_content,
    smtp_gateway,
    states,
)
from smtp_sink import Script, SmtpSink


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


@contextmanager
def an_engine(installation: Installation, threads: int = 2) -> Iterator[Engine]:
    data_dir = installation.settings.data_dir
    with SenderSession(installation.database, data_dir, threads) as sender:
        engine = Engine(installation, sender, BackOff(first=0.01))
        yield engine
        engine.connections.close_idle(0)


def send(installation: Installation, tenant_id: int, run: Run, threads: int = 1) -> None:
    """Send until nothing is due, with so many threads."""
    with an_engine(installation, threads) as engine:
        work = [
            threading.Thread(target=engine.send_run, args=(tenant_id, run.id, lambda: False))
            for _ in range(threads)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()


def make_due(database: Database, tenant_id: int, run: Run) -> None:
    """Let time pass until every waiting block is due."""
    c = table(RunBlock).c
    later = update(table(RunBlock)).where(c.tenant_id == tenant_id, c.run_id == run.id)
    with database.tenant_session(tenant_id) as session:
        session.execute(later.values(due_at=func.now()))


def hold(session: Session, tenant_id: int) -> None:
    """Let the tenant choose to hold what is unconfirmed."""
    tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}


def course(database: Database, tenant_id: int, run: Run) -> RunStatus:
    with database.tenant_session(tenant_id) as session:
        return RunStatus(get_run(session, tenant_id, run.id).status)


def test_everybody_gets_it_once_and_the_run_ends(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 120, block_size=25)
        send(installation, tenant_id, run, threads=4)
        assert Counter(sink.recipients) == {f"c-{n}@mail{n % 10}.test": 1 for n in range(1, 121)}
        assert sink.connections <= 4
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}
    assert course(database, tenant_id, run) == RunStatus.SENT
    with database.tenant_session(tenant_id) as session:
        counted = progress(session, tenant_id, run.id)
    assert (counted.accepted, counted.recipients, counted.done) == (120, 120, 120)


def test_a_block_that_was_asked_about_too_long_ago_is_asked_about_again(
    installation: Installation,
    database: Database,
    tenant_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SmtpSink() as sink, an_engine(installation) as engine:
        run = a_run_through(installation, tenant_id, sink.port, 5)
        with monkeypatch.context() as late:
            late.setattr("envoi.delivery.sending.FRESH_SECONDS", 0.0)
            assert engine.send_run(tenant_id, run.id, lambda: False, seconds=0.2), "more is due"
        assert sink.recipients == []
        assert set(states(database, tenant_id, run).values()) == {MessageState.READY}
        engine.send_run(tenant_id, run.id, lambda: False)
        assert len(sink.recipients) == 5


def test_refusals_fail_for_good_or_are_tried_again(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    rules = (("c-1@", "550 5.1.1 unknown"), ("c-2@", "final 451 4.3.0 later"))
    with SmtpSink(Script(rules=rules)) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 5)
        send(installation, tenant_id, run)
        found = list(states(database, tenant_id, run).values())
        assert found[0] == MessageState.FAILED
        assert found[1] == MessageState.READY
        assert found[2:] == [MessageState.ACCEPTED] * 3
        assert course(database, tenant_id, run) == RunStatus.SENDING
        sink.script = Script()
        send(installation, tenant_id, run)
        assert sink.recipients.count("c-2@mail2.test") == 0, "it waits for its time"
        make_due(database, tenant_id, run)
        send(installation, tenant_id, run)
        assert sink.recipients.count("c-2@mail2.test") == 1
    assert course(database, tenant_id, run) == RunStatus.SENT
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        query = select(c.code, c.detail, c.attempt).where(
            c.tenant_id == tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
        )
        rows = session.execute(query.order_by(c.customer_id)).all()
    assert (rows[0].code, rows[0].detail) == (550, "550 5.1.1 unknown")
    assert (rows[1].code, rows[1].attempt) == (250, 1)


def test_a_lost_reply_is_unconfirmed_and_held_or_sent_again(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(rules=(("c-2@", "drop_after"),))) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 4)
            hold(session, tenant_id)
        send(installation, tenant_id, run)
        found = states(database, tenant_id, run)
    assert list(found.values()).count(MessageState.ACCEPTED) == 3
    assert list(found.values())[1] == MessageState.UNCONFIRMED
    assert course(database, tenant_id, run) == RunStatus.SENT


def test_what_may_arrive_twice_is_marked(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(rules=(("c-2@", "drop_after"),))) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 4)
        send(installation, tenant_id, run)
        twice = sink.recipients.count("c-2@mail2.test")
    assert twice == 6, "the first time and five more, then it is held"
    found = states(database, tenant_id, run)
    assert list(found.values())[1] == MessageState.UNCONFIRMED
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        query = select(c.detail).where(c.tenant_id == tenant_id, c.state == 7)
        assert session.scalars(query.where(c.launched_on == run.launched_on)).all()


def test_a_template_that_fails_for_one_customer_fails_alone(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    body = "<p>{{ 1 / (client.properties.external_id | replace('C-', '') | round - 2) }}</p>"
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 3, content=email_content(body))
        send(installation, tenant_id, run)
    found = list(states(database, tenant_id, run).values())
    assert found == [MessageState.ACCEPTED, MessageState.FAILED, MessageState.ACCEPTED]


def test_a_dead_gateway_pauses_the_run_and_burns_no_attempt(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
        run = a_run(session, tenant_id, gateway, 10)
    with an_engine(installation) as engine:
        for _ in range(100):
            engine.send_run(tenant_id, run.id, lambda: False)
            make_due(database, tenant_id, run)
            if course(database, tenant_id, run) == RunStatus.PAUSED:
                break
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        paused = get_run(session, tenant_id, run.id)
        assert paused.status == RunStatus.PAUSED
        assert str(free_port) in paused.pause_reason
        attempts = session.scalar(select(func.max(c.attempt)).where(c.tenant_id == tenant_id))
    assert attempts == 0
    assert set(states(database, tenant_id, run).values()) == {MessageState.READY}
    with SmtpSink(port=free_port) as sink:
        with database.tenant_session(tenant_id) as session:
            resume_run(session, tenant_id, run.id)
        send(installation, tenant_id, run)
        assert len(set(sink.recipients)) == len(sink.recipients) == 10


def test_pause_resume_and_cancel(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(delay_ms=(5, 5))) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 60, block_size=10)

        def steer_after(count: int, steer) -> None:  # type: ignore[no-untyped-def]
            with an_engine(installation) as engine:
                work = threading.Thread(
                    target=engine.send_run, args=(tenant_id, run.id, lambda: False)
                )
                work.start()
                while len(sink.recipients) < count:
                    work.join(0.005)
                with database.tenant_session(tenant_id) as session:
                    steer(session)
                at_the_time = len(sink.recipients)
                work.join()
                assert len(sink.recipients) - at_the_time <= 10, "one block at most"

        steer_after(15, lambda s: pause_run(s, tenant_id, run.id, "by hand"))
        with database.tenant_session(tenant_id) as session:
            stopped = progress(session, tenant_id, run.id)
            assert get_run(session, tenant_id, run.id).pause_reason == "by hand"
            assert (stopped.ready + stopped.accepted, stopped.claimed) == (60, 0)
            resume_run(session, tenant_id, run.id)
        steer_after(stopped.accepted + 5, lambda s: cancel_run(s, tenant_id, run.id))
        with database.tenant_session(tenant_id) as session:
            ended = progress(session, tenant_id, run.id)
            assert get_run(session, tenant_id, run.id).status == RunStatus.CANCELLED
            assert get_run(session, tenant_id, run.id).finished_at is not None
        assert ended.accepted == len(sink.recipients) == len(set(sink.recipients))
        assert ended.accepted + ended.cancelled == 60


def test_an_opt_out_after_collection_is_asked_again(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 5)
            opt_out(session, tenant_id, "C-3")
        send(installation, tenant_id, run)
        assert "c-3@mail3.test" not in sink.recipients
    found = list(states(database, tenant_id, run).values())
    assert found.count(MessageState.ACCEPTED) == 4
    assert found[2] == MessageState.BLOCKED


def test_a_run_whose_lifetime_is_over_expires(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 5)
            run.expires_at = run.created_at
        send(installation, tenant_id, run)
        assert sink.recipients == []
    assert set(states(database, tenant_id, run).values()) == {MessageState.EXPIRED}
    assert course(database, tenant_id, run) == RunStatus.SENT


def test_a_server_that_throttles_gets_everything_in_the_end(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(close_after=7)) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 50, block_size=20)
        send(installation, tenant_id, run, threads=2)
        assert len(sink.recipients) == len(set(sink.recipients)) == 50
    assert course(database, tenant_id, run) == RunStatus.SENT


def test_a_server_that_hangs_after_the_dot_leaves_it_unconfirmed(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(rules=(("c-3@", "hang_after"),))) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port, final_timeout=0.5)
            run = a_run(session, tenant_id, gateway, 5)
            hold(session, tenant_id)
        send(installation, tenant_id, run)
    found = list(states(database, tenant_id, run).values())
    assert found[2] == MessageState.UNCONFIRMED
    assert found.count(MessageState.ACCEPTED) == 4


def test_content_that_cannot_be_compiled_pauses_the_run_with_the_reason(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = a_run_through(
            installation, tenant_id, sink.port, 2, content=email_content("{% if %}")
        )
        send(installation, tenant_id, run)
        assert sink.recipients == []
    with database.tenant_session(tenant_id) as session:
        paused = get_run(session, tenant_id, run.id)
    assert paused.status == RunStatus.PAUSED
    assert "Line 1" in paused.pause_reason
