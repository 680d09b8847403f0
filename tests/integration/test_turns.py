"""Tenants and runs take turns: nobody waits for a million messages of somebody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import select, text

from envoi.db import Database, connect, table
from envoi.delivery.models import Run, RunStatus
from envoi.delivery.runs import get_run, pause_run, resume_run, settle
from envoi.embedded import EmbeddedPostgres
from envoi.installation import open_installation
from envoi.jobs import Work, announce, due, withdraw
from envoi.plugins import Plugins
from envoi.schema import migrate
from envoi.tenants.models import DueWork
from envoi.tenants.service import create_tenant
from envoi_workers.scheduler import Scheduler
from envoi_workers.turns import Turns
from factories.customers import customer_ids
from factories.delivery import a_run, an_installation, smtp_gateway
from factories.workers import worker_settings, workers
from processes import wait_until
from smtp_sink import Script, SmtpSink


@pytest.fixture(scope="module")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A database of its own: whole workers do whatever they find in theirs."""
    name = f"envoi_turns_{uuid4().hex[:12]}"
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


def put(database: Database, tenant_id: int, *refs: int, urgent: bool = False) -> None:
    with database.tenant_session(tenant_id) as session:
        for ref in refs:
            announce(session, tenant_id, Work.SEND, ref, urgent=urgent)


def a_company(database: Database) -> int:
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id


def test_due_work_of_one_hides_nobodys(database: Database) -> None:
    put(database, 1, *range(100, 400))
    put(database, 2, 7)
    put(database, 1, 500, urgent=True)
    with database.system_session() as session:
        found = due(session, [Work.SEND], 5)
    assert found[:2] == [(1, "send", 500), (2, "send", 7)], "the urgent first, then the other"
    assert {tenant for tenant, _, _ in found[2:]} == {1}


def test_what_was_urgent_stays_so(database: Database) -> None:
    put(database, 1, 7, urgent=True)
    put(database, 1, 6, 7)
    with database.system_session() as session:
        assert [ref for _, _, ref in due(session, [Work.SEND])] == [7, 6]


def test_the_tenant_with_the_fewest_threads_goes_first(database: Database) -> None:
    put(database, 1, 10, 11, 12)
    put(database, 2, 20)
    turns = Turns(database)
    first = turns.next()
    assert first is not None
    with turns.taken(first):
        second = turns.next()
        assert second is not None
        assert {first[0], second[0]} == {1, 2}
        with turns.taken(second):
            assert turns.next() is not None, "two threads may send one run"
    turns.drop((2, 20))
    with turns.taken((1, 10)):
        assert turns.next() in {(1, 11), (1, 12)}, "of a tenant's runs as well"


def test_many_runs_go_round(database: Database) -> None:
    put(database, 1, *range(20))
    turns = Turns(database)
    seen = []
    for _ in range(40):
        run = turns.next()
        assert run is not None
        with turns.taken(run):
            seen.append(run)
    assert len(set(seen[:20])) == len(set(seen[20:])) == 20


def test_an_urgent_run_is_next(database: Database) -> None:
    put(database, 1, 10)
    turns = Turns(database)
    assert turns.next() == (1, 10)
    put(database, 1, 11, urgent=True)
    assert turns.next((1, 11)) == (1, 11), "a hint is reason to look anew"
    with turns.taken((1, 11)), turns.taken((1, 11)):
        assert turns.next() == (1, 11), "all threads are for it"
    with database.tenant_session(1) as session:
        withdraw(session, 1, Work.SEND, 11)
    turns.drop((1, 11))
    assert turns.next() == (1, 10)


def test_who_sends_the_last_block_comes_back(database: Database) -> None:
    """Another thread has found nothing left and put the run off; its end is still to be seen."""
    put(database, 1, 10)
    turns = Turns(database)
    with turns.taken((1, 10)):
        with database.tenant_session(1) as session:
            withdraw(session, 1, Work.SEND, 10)
        turns.drop((1, 10))
    turns.keep((1, 10))
    assert turns.next() == (1, 10)
    turns.drop((1, 10))
    assert turns.next() is None


def urgent_runs(database: Database, tenant_id: int) -> list[int]:
    c = table(DueWork).c
    query = select(c.ref).where(c.tenant_id == tenant_id, c.kind == "send", c.urgent)
    with database.system_session() as session:
        return list(session.scalars(query))


def test_service_messages_go_before_the_companys_others(
    database: Database, plugins: Plugins, tmp_path: Path
) -> None:
    company, factory = a_company(database), an_installation(database, plugins, tmp_path)
    with SmtpSink() as sink, database.tenant_session(company) as session:
        gateway = smtp_gateway(session, factory, company, sink.port)
        mass = a_run(session, company, gateway, 10)
        people = customer_ids(session, company)
        service = a_run(session, company, gateway, people, is_service=True)
    turns = Turns(database)
    assert turns.next() == (company, service.id)
    with turns.taken((company, service.id)):
        assert turns.next() == (company, service.id), "a second thread helps with it"
    with database.tenant_session(company) as session:
        pause_run(session, company, service.id, "Lunch")
    assert Turns(database).next() == (company, mass.id)
    with database.tenant_session(company) as session:
        resume_run(session, company, service.id)
    assert urgent_runs(database, company) == [service.id]
    with database.tenant_session(company) as session:
        settle(session, company, service.id)
    assert urgent_runs(database, company) == [service.id], "whatever it is announced for"


def is_sent(database: Database, tenant_id: int, run: Run) -> bool:
    with database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run.id).status == RunStatus.SENT


def test_a_small_mailing_passes_a_large_one(
    database: Database,
    plugins: Plugins,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    large, small = a_company(database), a_company(database)
    installation = open_installation(worker_settings(postgres_url, redis_url, tmp_path))
    factory = an_installation(database, plugins, tmp_path)
    stopping = threading.Event()
    scheduler = threading.Thread(target=Scheduler(installation).run, args=(stopping,))
    with SmtpSink(Script(delay_ms=(20, 20), keep_data=False)) as sink:

        def start(tenant_id: int, people: int) -> Run:
            with database.tenant_session(tenant_id) as session:
                gateway = smtp_gateway(session, factory, tenant_id, sink.port)
                return a_run(session, tenant_id, gateway, people)

        first = start(large, 3_000)
        scheduler.start()
        with workers(postgres_url, redis_url, tmp_path, 1, 2):
            wait_until(lambda: len(sink.recipients) > 50, seconds=40, what="the large one")
            second = start(small, 100)
            wait_until(lambda: is_sent(database, small, second), seconds=30, what="the small one")
            assert not is_sent(database, large, first)
        stopping.set()
        scheduler.join()
    installation.database.engine.dispose()
