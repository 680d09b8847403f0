"""Whole worker processes: with hints, without a queue, restarted in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import text

from envoi.db import Database, connect
from envoi.delivery.models import MessageState, Run, RunStatus
from envoi.delivery.runs import get_run
from envoi.embedded import EmbeddedPostgres
from envoi.installation import Installation, open_installation
from envoi.jobs import Work, due, withdraw
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi_workers.scheduler import Scheduler
from factories.delivery import a_run, an_installation, smtp_gateway, states
from factories.workers import worker_settings, workers
from processes import wait_until
from smtp_sink import Script, SmtpSink


@pytest.fixture(scope="module")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A database of its own: whole workers do whatever they find in theirs."""
    name = f"envoi_workers_{uuid4().hex[:12]}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return postgres.database_url(name)


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[Database]:
    """That database, migrated."""
    found = connect(postgres_url)
    migrate(found.engine)
    yield found
    found.engine.dispose()


@pytest.fixture(autouse=True)
def only_ours(database: Database) -> None:
    """Take away due work and senders that the test before left."""
    with database.system_session() as session:
        session.execute(text("DELETE FROM due_work"))
        session.execute(text("UPDATE sender SET ended_at = now()"))


def announced(installation: Installation) -> list[tuple[int, str, int]]:
    with installation.database.system_session() as session:
        return due(session)


def is_sent(database: Database, tenant_id: int, run: Run) -> bool:
    with database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run.id).status == RunStatus.SENT


def prepared(
    database: Database, plugins: Plugins, tenant_id: int, data_dir: Path, port: int, people: int
) -> Run:
    installation = an_installation(database, plugins, data_dir)
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, port)
        return a_run(session, tenant_id, gateway, people, block_size=20)


def test_without_a_queue_senders_find_the_work_themselves(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    tmp_path: Path,
    free_port: int,
) -> None:
    with SmtpSink() as sink:
        run = prepared(database, plugins, tenant_id, tmp_path, sink.port, 60)
        with workers(postgres_url, f"redis://127.0.0.1:{free_port}", tmp_path, 1, 2):
            wait_until(lambda: is_sent(database, tenant_id, run), seconds=40, what="the run")
        assert len(sink.recipients) == len(set(sink.recipients)) == 60
    assert list((tmp_path / "senders").iterdir()) == [], "a clean end leaves no recorder"


def test_the_scheduler_wakes_senders_and_finds_lost_work(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    installation = open_installation(worker_settings(postgres_url, redis_url, tmp_path))
    scheduler = Scheduler(installation)
    with SmtpSink() as sink:
        run = prepared(database, plugins, tenant_id, tmp_path, sink.port, 60)
        with database.tenant_session(tenant_id) as session:
            withdraw(session, tenant_id, Work.SEND, run.id)
        scheduler.sweep()
        assert (tenant_id, Work.SEND.value, run.id) in announced(installation)
        stopping = threading.Event()
        thread = threading.Thread(target=scheduler.run, args=(stopping,))
        thread.start()
        with workers(postgres_url, redis_url, tmp_path, 1, 2):
            wait_until(lambda: is_sent(database, tenant_id, run), seconds=40, what="the run")
        stopping.set()
        thread.join()
        assert len(sink.recipients) == len(set(sink.recipients)) == 60
    installation.database.engine.dispose()


def test_a_restart_in_the_middle_sends_nothing_twice(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    with SmtpSink(Script(delay_ms=(5, 15))) as sink:
        run = prepared(database, plugins, tenant_id, tmp_path, sink.port, 200)
        with workers(postgres_url, redis_url, tmp_path, 1, 2):
            wait_until(lambda: len(sink.recipients) > 30, seconds=40, what="sending")
        assert len(sink.recipients) < 200
        assert list((tmp_path / "senders").iterdir()) == []
        assert MessageState.CLAIMED not in states(database, tenant_id, run).values()
        with workers(postgres_url, redis_url, tmp_path, 1, 2):
            wait_until(lambda: is_sent(database, tenant_id, run), seconds=40, what="the run")
        assert len(sink.recipients) == len(set(sink.recipients)) == 200
