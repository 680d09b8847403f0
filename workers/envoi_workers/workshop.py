"""What the actors of one process share: the installation, the stop sign, the sending engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy
from sqlalchemy import func, select
from structlog.contextvars import bind_contextvars, clear_contextvars

from envoi.delivery.sending import Engine
from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.jobs import Work
from envoi_workers.turns import Turns

log = structlog.get_logger()


class Workshop(Middleware):
    """Travels with the broker, so that actors find what they work with.

    Args:
        installation: The installation this process works for.
        threads: How many pieces of work this process does at the same time.
        engine: Sends runs; None in processes that do not send.
    """

    def __init__(
        self, installation: Installation, threads: int, engine: Engine | None = None
    ) -> None:
        self.installation = installation
        self.stopping = threading.Event()
        self.turns = Turns(installation.database)
        self._engine = engine
        self._seats = threading.BoundedSemaphore(threads)

    @property
    def engine(self) -> Engine:
        """The sending engine of this process."""
        if self._engine is None:
            raise ConfigurationError("This process does not send. Start it with the queue `send`.")
        return self._engine

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        """Log what follows under the request that the hint came from, if a person gave it."""
        clear_contextvars()
        if request := message.options.get("request"):
            bind_contextvars(request=request)

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """Take one of the places to work; false when all are taken."""
        taken = self._seats.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._seats.release()

    def once(self, kind: Work, tenant_id: int, ref: int, work: Callable[[], object]) -> None:
        """Do a piece of work unless another process is at it."""
        name = f"{kind.value}:{tenant_id}:{ref}"
        lock = select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))
        with self.installation.database.engine.begin() as connection:
            if connection.scalar(lock):
                work()


def workshop_of(broker: Broker) -> Workshop:
    """Return the workshop of a worker's broker."""
    return next(m for m in broker.middleware if isinstance(m, Workshop))
