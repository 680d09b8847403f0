"""What tests of whole worker processes begin with: a database, settings and an installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import text

from envoi.db import Database, connect
from envoi.embedded import EmbeddedPostgres
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi.settings import Settings
from factories.delivery import an_installation
from factories.workers import worker_settings
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


@pytest.fixture
def only_ours(database: Database) -> None:
    """Take away due work and senders that the test before left."""
    with database.system_session() as session:
        session.execute(text("DELETE FROM due_work"))
        session.execute(text("UPDATE sender SET ended_at = now()"))


@pytest.fixture
def settings(postgres_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """The settings of workers."""
    return worker_settings(postgres_url, redis_url, tmp_path)


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    """The installation they work for, without a queue; a start cannot be undone for long."""
    return an_installation(database, plugins, tmp_path, undo_seconds=0)


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    """A server that takes a while for each message, so that a run lasts some seconds."""
    with SmtpSink(Script(delay_ms=(5, 15))) as found:
        yield found
