"""Processes that die at the worst places, one by one; the SMTP server's record is the witness."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from threading import Event, Thread

import pytest
from sqlalchemy import func, select

from chaos.processes import SCHEDULER, start
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.failpoints import Place
from envoi.installation import Installation, open_installation
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import estimate_mailing
from envoi.segments.service import create_segment
from envoi.settings import Settings
from envoi_workers.scheduler import Scheduler
from factories.customers import make_customers
from factories.delivery import (
    a_run_through,
    email_content,
    is_sent,
    smtp_gateway,
    states,
)
from factories.workers import workers
from processes import wait_until
from smtp_sink import SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

PEOPLE = 40
BLOCK = 20

SENDER = {
    Place.BEFORE_CLAIM_COMMIT: 0,
    Place.AFTER_CLAIM: 0,
    Place.AFTER_CONNECT: 0,
    Place.AFTER_250: 1,
    Place.BEFORE_RECORD: 0,
    Place.BEFORE_RECORD_COMMIT: 0,
    Place.AFTER_RECORD_COMMIT: 0,
    Place.BEFORE_SETTLE_COMMIT: 0,
}
"""How many messages may come twice when a sender with one connection dies there."""

DIALOGUE = {"mail": {0}, "rcpt": {0}, "data": {0}, "body": {0, 1}, "dot": {1}}
"""The same for what the server has read of a message when its client dies; when the body has
begun, the rest of it may be on the wire as well."""

RECONCILER = [
    Place.RECONCILER_LOCKED,
    Place.RECONCILER_READ,
    Place.BEFORE_RECONCILE_COMMIT,
    Place.RECONCILED,
    Place.RECONCILER_ENDED,
]
START = [
    Place.BEFORE_LAUNCH_COMMIT,
    Place.AFTER_LAUNCH_COMMIT,
    Place.BEFORE_COLLECT_COMMIT,
    Place.AFTER_COLLECT_COMMIT,
]
SCHEDULING = [Place.SCHEDULER_TICK, Place.HINT_GIVEN]
MOVING = [Place.BEFORE_MOVE_COMMIT, Place.AFTER_MOVE_COMMIT]
"""Tried in `test_cascade_moves`."""


def prepared(installation: Installation, tenant_id: int, port: int) -> Run:
    return a_run_through(installation, tenant_id, port, PEOPLE, block_size=BLOCK)


def has_died(victim: BaseProcess) -> bool:
    victim.join(40)
    return victim.exitcode == -signal.SIGKILL


@contextmanager
def survivors(settings: Settings, *queues: str) -> Iterator[None]:
    """A worker that does not die."""
    with workers(settings, 1, 2, queues or ("send",)):
        yield


def resent(database: Database, tenant_id: int, run: Run) -> int:
    """How many messages the ledger says may have come twice."""
    c = table(Message).c
    query = select(func.count()).where(
        c.tenant_id == tenant_id, c.launched_on == run.launched_on, c.detail == "resent"
    )
    with database.tenant_session(tenant_id) as session:
        return session.scalar(query.where(c.run_id == run.id)) or 0


def finish(settings: Settings, database: Database, tenant_id: int, run: Run) -> None:
    """Let a survivor end the run, long before a session without a sign of life expires."""
    with survivors(settings):
        wait_until(lambda: is_sent(database, run), seconds=40, what="the run")
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}


@pytest.mark.parametrize("place", SENDER)
def test_a_sender_dies(
    installation: Installation, settings: Settings, tenant_id: int, place: Place
) -> None:
    with SmtpSink() as sink:
        run = prepared(installation, tenant_id, sink.port)
        assert has_died(start(settings, ("send",), place=place))
        finish(settings, installation.database, tenant_id, run)
        served = Counter(sink.recipients)
    assert len(served) == PEOPLE
    assert served.total() - PEOPLE == SENDER[place]
    assert resent(installation.database, tenant_id, run) == SENDER[place]


@pytest.mark.parametrize("stage", DIALOGUE)
def test_a_sender_dies_in_the_dialogue(
    installation: Installation, settings: Settings, tenant_id: int, stage: str
) -> None:
    """The server ends its client with its eighth message, before it answers."""
    victim: list[BaseProcess] = []

    def watch(now: str) -> None:
        if now == stage and victim and len(sink.received) >= 7:
            os.kill(victim.pop().pid or 0, signal.SIGKILL)

    with SmtpSink(watch=watch) as sink:
        run = prepared(installation, tenant_id, sink.port)
        dying = start(settings, ("send",))
        victim.append(dying)
        assert has_died(dying)
        finish(settings, installation.database, tenant_id, run)
        served = Counter(sink.recipients)
    assert len(served) == PEOPLE
    assert served.total() - PEOPLE in DIALOGUE[stage]
    assert resent(installation.database, tenant_id, run) == 1, "nobody can know whether it left"


@pytest.mark.parametrize("place", RECONCILER)
def test_a_reconciler_dies_as_well(
    installation: Installation, settings: Settings, tenant_id: int, place: Place
) -> None:
    with SmtpSink() as sink:
        run = prepared(installation, tenant_id, sink.port)
        assert has_died(start(settings, ("send",), place=Place.AFTER_250))
        assert has_died(start(settings, ("send",), place=place))
        finish(settings, installation.database, tenant_id, run)
        served = Counter(sink.recipients)
    assert len(served) == PEOPLE
    assert served.total() - PEOPLE == 1 == resent(installation.database, tenant_id, run)


def confirmed(installation: Installation, tenant_id: int, port: int) -> int:
    """A mailing that is to start now."""
    plugins = installation.plugins
    with installation.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, PEOPLE)
        smtp_gateway(session, installation, tenant_id, port)
        tree = {"all": [{"source": "all_customers", "settings": {}}]}
        segment = create_segment(session, tenant_id, name="All", tree=tree, plugins=plugins)
        made = service.create_draft(
            session, tenant_id, channel="email", name="Coffee", segment_id=segment.id
        )
        variants.save_content(session, tenant_id, made.id, made.version, email_content())
        found = estimate_mailing(session, plugins, tenant_id, made.id).recipients
        launch.confirm(
            session, plugins, installation.settings, tenant_id, made.id, recipients=found
        )
    assert found == PEOPLE
    return made.id


def only_run(database: Database, tenant_id: int) -> Run | None:
    """The mailing's run; there is never a second one."""
    c = table(Run).c
    with database.tenant_session(tenant_id) as session:
        query = select(Run).where(c.tenant_id == tenant_id, c.kind == RunKind.MAILING)
        return session.scalars(query).one_or_none()


@pytest.mark.parametrize("place", START)
def test_a_start_dies(
    installation: Installation, settings: Settings, tenant_id: int, place: Place
) -> None:
    database = installation.database
    with SmtpSink() as sink:
        confirmed(installation, tenant_id, sink.port)
        if place in (Place.BEFORE_COLLECT_COMMIT, Place.AFTER_COLLECT_COMMIT):
            assert has_died(start(settings, ("quick", "bulk"), place=place))
        else:
            assert has_died(start(settings, ("quick",), place=place))
        with survivors(settings, "quick", "bulk", "send"):

            def is_over() -> bool:
                run = only_run(database, tenant_id)
                return run is not None and is_sent(database, run)

            wait_until(is_over, seconds=40, what="the mailing")
        assert sorted(Counter(sink.recipients).values()) == [1] * PEOPLE


@pytest.mark.parametrize("place", SCHEDULING)
def test_a_scheduler_dies(
    installation: Installation, settings: Settings, tenant_id: int, place: Place
) -> None:
    """The next one takes its lock and goes on."""
    running = open_installation(settings)
    stopping = Event()
    scheduler = Thread(target=Scheduler(running).run, args=(stopping,))
    with SmtpSink() as sink:
        run = prepared(installation, tenant_id, sink.port)
        assert has_died(start(settings, (SCHEDULER,), place=place))
        scheduler.start()
        with survivors(settings):
            wait_until(
                lambda: is_sent(installation.database, run),
                seconds=40,
                what="the run",
            )
        stopping.set()
        scheduler.join()
        assert sorted(Counter(sink.recipients).values()) == [1] * PEOPLE
    running.database.engine.dispose()


def test_every_place_is_tried() -> None:
    assert {*SENDER, *RECONCILER, *START, *SCHEDULING, *MOVING} == set(Place)
