"""Tenants and runs take turns: nobody waits for a million messages of somebody else."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from sqlalchemy import select

from envoi.db import Database, table
from envoi.delivery.runs import pause_run, resume_run, settle
from envoi.installation import Installation, open_installation
from envoi.jobs import Work, announce, due, withdraw
from envoi.settings import Settings
from envoi.tenants.models import DueWork
from envoi.tenants.service import create_tenant
from envoi_workers.scheduler import Scheduler
from envoi_workers.turns import Turns
from factories.customers import customer_ids
from factories.delivery import a_run, a_run_through, is_sent, smtp_gateway
from factories.workers import workers
from processes import wait_until
from smtp_sink import Script, SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")


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
    database: Database, installation: Installation
) -> None:
    company = a_company(database)
    with SmtpSink() as sink, database.tenant_session(company) as session:
        gateway = smtp_gateway(session, installation, company, sink.port)
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


def test_a_small_mailing_passes_a_large_one(
    database: Database, installation: Installation, settings: Settings
) -> None:
    large, small = a_company(database), a_company(database)
    running = open_installation(settings)
    stopping = threading.Event()
    scheduler = threading.Thread(target=Scheduler(running).run, args=(stopping,))
    with SmtpSink(Script(delay_ms=(20, 20), keep_data=False)) as sink:
        first = a_run_through(installation, large, sink.port, 3_000)
        scheduler.start()
        with workers(settings, 1, 2):
            wait_until(lambda: len(sink.recipients) > 50, seconds=40, what="the large one")
            second = a_run_through(installation, small, sink.port, 100)
            wait_until(lambda: is_sent(database, second), seconds=30, what="the small one")
            assert not is_sent(database, first)
        stopping.set()
        scheduler.join()
    running.database.engine.dispose()
