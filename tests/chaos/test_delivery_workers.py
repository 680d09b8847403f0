"""Whole worker processes: with hints, without a queue, restarted in the middle."""

from __future__ import annotations

import threading

import pytest
from pydantic import SecretStr

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.installation import Installation, open_installation
from envoi.jobs import Work, due, withdraw
from envoi.settings import Settings
from envoi_workers.scheduler import Scheduler
from factories.delivery import a_run_through, is_sent, states
from factories.workers import workers
from processes import wait_until
from smtp_sink import Script, SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")


BLOCK = 20


def announced(installation: Installation) -> list[tuple[int, str, int]]:
    with installation.database.system_session() as session:
        return due(session)


def test_without_a_queue_senders_find_the_work_themselves(
    installation: Installation, settings: Settings, tenant_id: int, free_port: int
) -> None:
    nowhere = SecretStr(f"redis://127.0.0.1:{free_port}")
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 60, block_size=BLOCK)
        with workers(settings.model_copy(update={"redis_url": nowhere}), 1, 2):
            wait_until(lambda: is_sent(installation.database, run), seconds=40, what="the run")
        assert len(sink.recipients) == len(set(sink.recipients)) == 60
    assert list((settings.data_dir / "senders").iterdir()) == [], "a clean end leaves no recorder"


def test_the_scheduler_wakes_senders_and_finds_lost_work(
    database: Database, installation: Installation, settings: Settings, tenant_id: int
) -> None:
    running = open_installation(settings)
    scheduler = Scheduler(running)
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 60, block_size=BLOCK)
        with database.tenant_session(tenant_id) as session:
            withdraw(session, tenant_id, Work.SEND, run.id)
        scheduler.sweep()
        assert (tenant_id, Work.SEND.value, run.id) in announced(running)
        stopping = threading.Event()
        thread = threading.Thread(target=scheduler.run, args=(stopping,))
        thread.start()
        with workers(settings, 1, 2):
            wait_until(lambda: is_sent(database, run), seconds=40, what="the run")
        stopping.set()
        thread.join()
        assert len(sink.recipients) == len(set(sink.recipients)) == 60
    running.database.engine.dispose()


def test_a_restart_in_the_middle_sends_nothing_twice(
    database: Database, installation: Installation, settings: Settings, tenant_id: int
) -> None:
    with SmtpSink(Script(delay_ms=(5, 15))) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 200, block_size=BLOCK)
        with workers(settings, 1, 2):
            wait_until(lambda: len(sink.recipients) > 30, seconds=40, what="sending")
        assert len(sink.recipients) < 200
        assert list((settings.data_dir / "senders").iterdir()) == []
        assert MessageState.CLAIMED not in states(database, tenant_id, run).values()
        with workers(settings, 1, 2):
            wait_until(lambda: is_sent(database, run), seconds=40, what="the run")
        assert len(sink.recipients) == len(set(sink.recipients)) == 200
