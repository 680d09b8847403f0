"""A database restored from a backup sends nothing until an operator says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from envoi.cli.checks import _restored
from envoi.db import Database, connect
from envoi.delivery.models import MessageState, Run
from envoi.delivery.restored import at_stake, may_send, settle_in
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.embedded import EmbeddedPostgres
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi.tenants.service import create_tenant
from factories.delivery import a_run_through, an_installation, states
from smtp_sink import SmtpSink


@pytest.fixture
def original(postgres: EmbeddedPostgres, worker_id: str) -> Iterator[str]:
    """The name of a migrated database of its own."""
    name = f"envoi_original_{worker_id}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    database = connect(postgres.database_url(name))
    migrate(database.engine)
    database.engine.dispose()
    yield name
    with postgres.connect() as connection:
        connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def leave(engine: Engine) -> None:
    """Let go of everything: plugins that observe deliveries use the database a moment longer."""
    assert engine.observers.settle(10)
    engine.connections.close_idle(0)


def send(database: Database, plugins: Plugins, data_dir: Path, run: Run) -> None:
    installation = an_installation(database, plugins, data_dir)
    with SenderSession(database, data_dir, 1) as sender:
        engine = Engine(installation, sender)
        engine.send_run(run.tenant_id, run.id, lambda: False, 5)
        leave(engine)


def test_a_restored_copy_waits_and_then_sends_what_the_backup_does_not_know_as_accepted(
    postgres: EmbeddedPostgres, original: str, plugins: Plugins, tmp_path: Path
) -> None:
    database = connect(postgres.database_url(original))
    tenant_id = create_tenant(database, slug="shop", name="Shop").id
    installation = an_installation(database, plugins, tmp_path)
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 30, block_size=10)
        with SenderSession(database, tmp_path, 1) as sender:
            engine = Engine(installation, sender)
            engine.send_run(tenant_id, run.id, lambda: len(sink.recipients) >= 10, 5)
            leave(engine)
        known = len(sink.recipients)
        assert 10 <= known < 30
        database.engine.dispose()
        copy = f"{original}_copy"
        with postgres.connect() as connection:
            statement = sql.SQL("create database {} template {}")
            connection.execute(statement.format(sql.Identifier(copy), sql.Identifier(original)))
        restored = connect(postgres.database_url(copy))
        try:
            send(restored, plugins, tmp_path / "elsewhere", run)
            assert len(sink.recipients) == known
            with restored.system_session() as session:
                assert not may_send(session)
            [found] = _restored(an_installation(restored, plugins, tmp_path))
            assert not found.ok
            assert f"{30 - known} messages wait" in found.found
            assert [(r.run_id, r.waiting) for r in at_stake(restored)] == [(run.id, 30 - known)]
            settle_in(restored)
            send(restored, plugins, tmp_path / "elsewhere", run)
            assert len(sink.recipients) == len(set(sink.recipients)) == 30
            assert set(states(restored, tenant_id, run).values()) == {MessageState.ACCEPTED}
        finally:
            restored.engine.dispose()
            with postgres.connect() as connection:
                connection.execute(sql.SQL("drop database {}").format(sql.Identifier(copy)))
