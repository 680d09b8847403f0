"""A company whose server is silent after each message keeps no other company waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from envoi.db import Database, connect
from envoi.delivery.models import MessageState
from envoi.embedded import EmbeddedPostgres
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi.tenants.service import create_tenant
from factories.delivery import a_run, an_installation, smtp_gateway, states
from factories.workers import workers
from processes import wait_until
from smtp_sink import Script, SmtpSink

THREADS = 2


@pytest.fixture(scope="module")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A database of its own: whole workers do whatever they find in theirs."""
    name = f"envoi_hangs_{uuid4().hex[:12]}"
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


def test_others_are_sent_meanwhile(
    database: Database, plugins: Plugins, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    factory = an_installation(database, plugins, tmp_path)
    companies = [
        create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Grocer").id for _ in "ab"
    ]
    silent = SmtpSink(Script(rules=((".*", "hang_after"),)))
    with silent, SmtpSink() as prompt, workers(postgres_url, redis_url, tmp_path, 1, THREADS):
        runs = []
        for tenant_id, sink, people in zip(companies, (silent, prompt), (50, 100), strict=True):
            with database.tenant_session(tenant_id) as session:
                gateway = smtp_gateway(session, factory, tenant_id, sink.port)
                runs.append(a_run(session, tenant_id, gateway, people, block_size=5))
            if sink is silent:
                wait_until(
                    lambda: len(silent.recipients) == THREADS, seconds=20, what="all to hang"
                )
        wait_until(lambda: len(prompt.recipients) == 100, seconds=30, what="the other company")
        assert len(silent.recipients) == THREADS, "it has no more threads than there are"
        assert len(set(prompt.recipients)) == 100
    found = list(states(database, companies[0], runs[0]).values())
    assert MessageState.ACCEPTED not in found
