"""A worker process: Dramatiq's threads, and a lookout for when no hints come."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from types import FrameType

import structlog
from dramatiq import Worker
from sqlalchemy.exc import SQLAlchemyError

from envoi.calls import Calls
from envoi.delivery.reconcile import reconcile
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ConfigurationError
from envoi.installation import open_installation
from envoi.jobs import QUEUES, Work, due
from envoi.operations.reporter import Reporter
from envoi.settings import Settings
from envoi_workers.actors import perform
from envoi_workers.watch import Watch, calls_folder, settle_last_calls
from envoi_workers.workshop import SPARE_SEATS, Workshop

log = structlog.get_logger()

LOOK_SECONDS = 2.0
STOP_SECONDS = 8.0
"""What is still on the wire so long after the signal is left to the reconciler."""

OBSERVERS_SECONDS = 2.0
"""How long plugins may take at the end for what they were told last."""

EXPIRED = 3
"""The exit status of a sender that others have taken for dead; its supervisor starts it anew."""

REPLACED = 4
"""The exit status of a process in which a plugin hangs; it is started anew as well."""


def run_worker(settings: Settings, queues: Collection[str], threads: int) -> int:
    """Work in this process until SIGTERM or SIGINT; return the exit status."""
    installation = open_installation(settings, pool_size=2 * threads + 4)
    broker = installation.broker
    if broker is None:
        raise ConfigurationError("ENVOI_REDIS_URL is not set, so there is no queue to work on.")
    with ExitStack() as stack:
        settle_last_calls(installation)
        calls = stack.enter_context(Calls(calls_folder(settings.data_dir)))
        sender = None
        engine = None
        if QUEUES[Work.SEND] in queues:
            reconcile(installation.database, settings.data_dir)
            slots = threads + SPARE_SEATS
            session = SenderSession(installation.database, settings.data_dir, slots)
            sender = stack.enter_context(session)
            engine = Engine(installation, sender)
            stack.callback(engine.connections.close_idle, 0)
            stack.callback(engine.observers.settle, OBSERVERS_SECONDS)
        reporter = Reporter(installation, "-".join(queues))
        stack.callback(reporter.close)
        reporter.start()
        # Long work is what `bulk` is for: nothing hangs there.
        spare = 0 if "bulk" in queues else SPARE_SEATS
        workshop = Workshop(installation, threads, engine, spare, calls)
        watch = Watch(workshop, calls)
        broker.add_middleware(workshop)
        installation.plugins.register_actors(broker)
        worker = Worker(broker, queues=set(queues), worker_threads=threads, worker_timeout=200)
        # A hint that waits in a busy process is a hint that another one does not get.
        worker.queue_prefetch = threads
        with _stopped_by_signals(workshop.stopping):
            worker.start()
            watch.start()
            Lookout(workshop, queues).run(sender, engine)
            deadline = monotonic() + STOP_SECONDS
            workshop.wait_until_idle(deadline)
            watch.leave()
            patience = 0 if watch.hangs else deadline - monotonic()
            worker.stop(timeout=max(0, int(1000 * patience)))
    installation.database.engine.dispose()
    if sender is not None and sender.has_ended:
        return EXPIRED
    return REPLACED if watch.hangs else 0


class Lookout:
    """Finds due work in the database itself, so that the queue may be away.

    Work is done in threads of its own, as many as the process has seats left.
    """

    def __init__(self, workshop: Workshop, queues: Collection[str]) -> None:
        self._workshop = workshop
        self._kinds = {kind for kind, queue in QUEUES.items() if queue in queues}

    def run(self, sender: SenderSession | None, engine: Engine | None) -> None:
        """Look until the process is to stop, or its session is over."""
        stopping = self._workshop.stopping
        while not stopping.is_set():
            try:
                self._look(engine)
            except SQLAlchemyError as error:
                log.warning("lookout_failed", error=str(error))
            if sender is not None and sender.has_ended:
                stopping.set()
            stopping.wait(LOOK_SECONDS)

    def _look(self, engine: Engine | None) -> None:
        workshop, installation = self._workshop, self._workshop.installation
        if engine is not None:
            engine.connections.close_idle()
            settle_last_calls(installation)
            reconcile(installation.database, installation.settings.data_dir)
        with installation.database.system_session() as session:
            found = [work for work in due(session, self._kinds) if workshop.has_seat_for(work[0])]
        for place in range(workshop.free_seats() if found else 0):
            tenant_id, kind, ref = found[place % len(found)]
            arguments = (workshop, Work(kind), tenant_id, ref)
            threading.Thread(target=perform, args=arguments, daemon=True).start()


@contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
