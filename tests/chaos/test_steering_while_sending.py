"""Pausing, cancelling, opt-outs and changed segments while whole processes send."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import MessageState, Run, RunStatus
from envoi.delivery.runs import cancel_run, get_run, pause_run, resume_run
from envoi.installation import Installation
from envoi.settings import Settings
from factories.customers import customer_ids, make_customers, opt_out
from factories.delivery import a_run_through, states
from factories.workers import workers
from processes import wait_until
from smtp_sink import SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

PROCESSES, THREADS = 2, 2
PEOPLE = 1_000
STEPS = 8
OPT_OUT_SECONDS = 5.0


@pytest.fixture
def run(installation: Installation, tenant_id: int, sink: SmtpSink) -> Run:
    return a_run_through(installation, tenant_id, sink.port, PEOPLE, block_size=50)


def course(database: Database, run: Run) -> RunStatus:
    with database.tenant_session(run.tenant_id) as session:
        return RunStatus(get_run(session, run.tenant_id, run.id).status)


def on_the_wire(database: Database, run: Run) -> int:
    return Counter(states(database, run.tenant_id, run).values())[MessageState.CLAIMED]


def test_paused_and_resumed_at_random_nobody_gets_it_twice_and_cancelled_is_for_good(
    database: Database, run: Run, sink: SmtpSink, settings: Settings
) -> None:
    tenant_id, chance = run.tenant_id, random.Random(run.id)
    with workers(settings, PROCESSES, THREADS):
        wait_until(lambda: len(sink.recipients) > 20, seconds=40, what="sending")
        for _ in range(STEPS):
            with database.tenant_session(tenant_id) as session:
                pause_run(session, tenant_id, run.id, "A person paused it.")
            before = len(sink.recipients)
            wait_until(lambda: on_the_wire(database, run) == 0, what="the wire to be empty")
            left = len(sink.recipients)
            assert left - before <= PROCESSES * THREADS * 50, "no more than the open blocks"
            time.sleep(chance.uniform(0, 0.3))
            assert len(sink.recipients) == left, "nothing leaves while it is paused"
            with database.tenant_session(tenant_id) as session:
                resume_run(session, tenant_id, run.id)
            time.sleep(chance.uniform(0, 0.3))
        with database.tenant_session(tenant_id) as session:
            cancel_run(session, tenant_id, run.id)
        wait_until(lambda: on_the_wire(database, run) == 0, what="the wire to be empty")
    sent = len(sink.recipients)
    with workers(settings, PROCESSES, THREADS):
        time.sleep(4)
    assert course(database, run) == RunStatus.CANCELLED
    assert len(sink.recipients) == len(set(sink.recipients)) == sent < PEOPLE
    ended = Counter(states(database, tenant_id, run).values())
    assert ended == {MessageState.ACCEPTED: sent, MessageState.CANCELLED: PEOPLE - sent}


def test_whoever_opted_out_is_not_sent_to_five_seconds_later(
    installation: Installation, settings: Settings, tenant_id: int, sink: SmtpSink
) -> None:
    database, limit = installation.database, {"limit_per_minute": 6_000}
    run = a_run_through(installation, tenant_id, sink.port, 1_000, block_size=100, **limit)
    with database.tenant_session(tenant_id) as session:
        everybody = customer_ids(session, tenant_id)
        names = {customer: f"C-{place + 1}" for place, customer in enumerate(everybody)}
    chance, gone = random.Random(run.id), dict[int, float]()
    with workers(settings, PROCESSES, THREADS):
        wait_until(lambda: len(sink.recipients) > 5, seconds=40, what="sending")
        waiting = chance.sample(everybody, 300)
        while waiting and course(database, run) == RunStatus.SENDING:
            some, waiting = waiting[:20], waiting[20:]
            with database.tenant_session(tenant_id) as session:
                opt_out(session, tenant_id, *(names[customer] for customer in some))
                # Whoever joins now is in the segment, and not in the run.
                make_customers(session, tenant_id, 5, prefix=f"late{len(waiting)}")
            gone |= dict.fromkeys(some, time.time())
        wait_until(lambda: course(database, run) == RunStatus.SENT, seconds=60, what="the run")
    address = _addresses(database, tenant_id)
    sent_at = {one.rcpt: one.at for one in sink.received}
    assert len(sent_at) == len(sink.received)
    assert not {rcpt for rcpt in sent_at if rcpt.startswith("late")}
    late = {c for c, at in gone.items() if sent_at.get(address[c], 0) > at + OPT_OUT_SECONDS}
    assert not late
    ended = states(database, tenant_id, run)
    assert Counter(ended.values())[MessageState.BLOCKED] > 0
    assert set(ended) == set(everybody)
    for customer, state in ended.items():
        assert (state == MessageState.ACCEPTED) == (address[customer] in sent_at)


def _addresses(database: Database, tenant_id: int) -> dict[int, str]:
    with database.tenant_session(tenant_id) as session:
        found = session.execute(
            text("SELECT id, email FROM customer WHERE tenant_id = :tenant"), {"tenant": tenant_id}
        )
        return {row.id: row.email for row in found}
