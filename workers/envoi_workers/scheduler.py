"""The scheduler: turns due work into hints, settles dead senders, makes months ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import structlog
from dramatiq.brokers.redis import RedisBroker
from redis.exceptions import RedisError
from sqlalchemy import Connection, func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from envoi.db import Database
from envoi.delivery.reconcile import reconcile
from envoi.delivery.submissions import forget_old
from envoi.failpoints import Place, hit
from envoi.feedback.cleaning import clean
from envoi.installation import Installation
from envoi.jobs import QUEUES, Work, announce, due, hint, hints_in
from envoi.operations.chores import SIGN_SECONDS, note_chore
from envoi.schema import make_months
from envoi.tenants.service import tenant_ids
from envoi.tracking.judging import announce_outdated
from envoi_workers.lost import lost_work
from envoi_workers.watch import settle_last_calls

log = structlog.get_logger()

TICK_SECONDS = 0.5
RECONCILE_SECONDS = 5.0
SWEEP_SECONDS = 60.0
MONTHS_SECONDS = 3600.0
JUDGE_SECONDS = 3600.0
OTHER_HINTS = 4
"""Hints that may wait in a queue other than `send`."""


class Scheduler:
    """One of them works at a time; others wait for its advisory lock."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._database = installation.database
        self._chores: list[_Chore] = [
            _Chore(self._database, TICK_SECONDS, self.give_hints),
            _Chore(self._database, RECONCILE_SECONDS, self.reconcile),
            _Chore(self._database, SWEEP_SECONDS, self.sweep),
            _Chore(self._database, MONTHS_SECONDS, self.make_months),
            _Chore(self._database, MONTHS_SECONDS, self.clean),
            _Chore(self._database, JUDGE_SECONDS, self.judge_again),
        ]

    def run(self, stopping: threading.Event) -> None:
        """Work until asked to stop, whatever fails meanwhile."""
        while not stopping.is_set():
            try:
                with self._only_one() as lock:
                    while lock is not None and not stopping.wait(TICK_SECONDS):
                        # The lock is the connection's: it must still be there.
                        lock.execute(select(literal(1)))
                        hit(Place.SCHEDULER_TICK)
                        for chore in self._chores:
                            chore.do_if_due()
            except SQLAlchemyError as error:
                log.warning("scheduler_failed", error=str(error))
            stopping.wait(1.0)

    def give_hints(self) -> None:
        """Wake workers for what is due: as many as can work, never more than wait already."""
        for queue in sorted(set(QUEUES.values())):
            # Each queue is asked for alone: many runs being sent must not hide a launch.
            with self._database.system_session() as session:
                mine = due(session, [kind for kind in Work if QUEUES[kind] == queue])
            for place in range(self._room(queue) if mine else 0):
                # A run may use every sender; everything else is done once.
                if queue != QUEUES[Work.SEND] and place >= len(mine):
                    break
                tenant_id, kind, ref = mine[place % len(mine)]
                if not hint(self._installation.broker, Work(kind), tenant_id, ref):
                    return
                hit(Place.HINT_GIVEN)

    def reconcile(self) -> None:
        """Settle the affairs of dead senders; first what plugins have ended them in."""
        settle_last_calls(self._installation)
        reconcile(self._database, self._installation.settings.data_dir)

    def make_months(self) -> None:
        """Make the ledger's partitions ahead."""
        with self._database.engine.begin() as connection:
            make_months(connection)

    def judge_again(self) -> int:
        """Announce runs whose hits were judged by the rules of an earlier version."""
        found = 0
        for tenant_id in tenant_ids(self._database):
            with self._database.tenant_session(tenant_id) as session:
                found += announce_outdated(session, tenant_id)
        return found

    def clean(self) -> None:
        """Delete what came in long ago, and what no report will name any more."""
        clean(self._database, self._installation.settings.inbound_days)
        forget_old(self._database)

    def sweep(self) -> int:
        """Announce what is open and not announced; finding any is a bug, and is logged so."""
        return sum(self._sweep(tenant_id) for tenant_id in tenant_ids(self._database))

    def _sweep(self, tenant_id: int) -> int:
        with self._database.tenant_session(tenant_id) as session:
            lost = lost_work(session, tenant_id)
            for kind, ref, due_at in lost:
                log.error("work_lost", tenant=tenant_id, ref=ref, work=kind.value)
                announce(session, tenant_id, kind, ref, due_at)
        return len(lost)

    def _room(self, queue: str) -> int:
        settings, broker = self._installation.settings, self._installation.broker
        if not isinstance(broker, RedisBroker):
            return 0
        most = settings.worker_processes * settings.worker_threads
        if queue != QUEUES[Work.SEND]:
            most = OTHER_HINTS
        try:
            return max(0, most - hints_in(broker, queue))
        except RedisError as error:
            log.warning("broker_away", error=str(error))
            return 0

    @contextmanager
    def _only_one(self) -> Iterator[Connection | None]:
        lock = select(func.pg_try_advisory_lock(func.hashtextextended("envoi.scheduler", 0)))
        with self._database.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                yield connection if connection.scalar(lock) else None
            finally:
                connection.invalidate()


class _Chore:
    def __init__(self, database: Database, every: float, work: Callable[[], object]) -> None:
        self._database = database
        self._every = every
        self._work = work
        self._next = self._note_at = 0.0

    def do_if_due(self) -> None:
        if monotonic() >= self._next:
            began = monotonic()
            self._next = began + self._every
            self._work()
            self._note(monotonic() - began)

    def _note(self, seconds: float) -> None:
        if monotonic() >= self._note_at:
            self._note_at = monotonic() + SIGN_SECONDS
            note_chore(self._database, self._work.__name__, seconds)
