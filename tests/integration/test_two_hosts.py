"""Hosts with data folders of their own: what is known of a host that is gone, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import select

from envoi.customers.models import Customer, Quality
from envoi.db import Database, connect, table
from envoi.delivery.models import MessageState
from envoi.delivery.reconcile import reconcile
from envoi.embedded import EmbeddedPostgres
from envoi.failpoints import Place
from envoi.feedback.models import Bounce
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi.tenants.service import tenant_settings
from factories.delivery import a_run, an_installation, smtp_gateway, states
from factories.workers import die_at, worker_settings
from smtp_sink import Script, SmtpSink

BLOCK = 20


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A database of its own: whole workers do whatever they find in theirs."""
    name = f"envoi_hosts_{uuid4().hex[:12]}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return postgres.database_url(name)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """That database, migrated."""
    found = connect(postgres_url)
    migrate(found.engine)
    yield found
    found.engine.dispose()


@pytest.mark.parametrize("comes_back", [True, False])
def test_only_the_host_itself_or_time_tells_what_was_on_the_wire(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    comes_back: bool,
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    installation = an_installation(database, plugins, mine)
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 50, block_size=BLOCK)
        victim = die_at(Place.AFTER_250, worker_settings(postgres_url, redis_url, mine))
        victim.join(60)
    assert victim.exitcode == -9
    assert reconcile(database, other) == 0, "its session has not expired"
    assert Counter(states(database, tenant_id, run).values())[MessageState.CLAIMED] == BLOCK
    if comes_back:
        assert reconcile(database, mine) == 1
    else:
        assert reconcile(database, other, gone_after=timedelta(0)) == 1
    ended = Counter(states(database, tenant_id, run).values())
    assert ended[MessageState.UNCONFIRMED] == (1 if comes_back else BLOCK)
    assert ended[MessageState.READY] == 50 - ended[MessageState.UNCONFIRMED]


def test_a_refusal_that_only_the_recorder_knows_is_held_against_the_address(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    installation = an_installation(database, plugins, tmp_path)
    replies = (("c-1@", "550 5.1.1 no such user"), ("c-2@", "554 5.7.1 policy"))
    with SmtpSink(Script(rules=replies)) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 3, block_size=BLOCK)
        victim = die_at(Place.BEFORE_RECORD, worker_settings(postgres_url, redis_url, tmp_path))
        victim.join(60)
    assert victim.exitcode == -9
    assert reconcile(database, tmp_path) == 1
    ended = Counter(states(database, tenant_id, run).values())
    assert ended == {MessageState.FAILED: 2, MessageState.ACCEPTED: 1}
    c, b = table(Customer).c, table(Bounce).c
    with database.tenant_session(tenant_id) as session:
        qualities = select(c.email_quality).where(c.tenant_id == tenant_id).order_by(c.id)
        assert session.scalars(qualities).all() == [Quality.NOT_EXISTING, 0, 0]
        answers = select(b.answer).where(b.tenant_id == tenant_id)
        assert {"no such user" in a for a in session.scalars(answers)} == {True, False}
