"""What the actors of one process share: the installation, the stop sign, the sending engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic, sleep

import structlog
from dramatiq import Broker, Middleware
from dramatiq.broker import MessageProxy
from sqlalchemy import func, select
from structlog.contextvars import bind_contextvars, clear_contextvars

from envoi.calls import Calls
from envoi.delivery.sending import Engine
from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.jobs import Work
from envoi_workers.turns import Turns

log = structlog.get_logger()

IDLE_LOOK_SECONDS = 0.02
HANGS_SECONDS = 5.0
"""Who is at one thing for longer waits for somebody else: a provider may be silent for minutes."""
SPARE_SEATS = 16
"""So many places more a process has at most for others, one for each thread that hangs."""


class Workshop(Middleware):
    """Travels with the broker, so that actors find what they work with.

    Args:
        installation: The installation this process works for.
        threads: How many pieces of work this process does at the same time, and for one tenant.
        engine: Sends runs; None in processes that do not send.
        spare: How many more it may do for other tenants while some hang.
        calls: Where it notes what it does inside plugins; None where nobody watches that.
    """

    def __init__(
        self,
        installation: Installation,
        threads: int,
        engine: Engine | None = None,
        spare: int = SPARE_SEATS,
        calls: Calls | None = None,
    ) -> None:
        self.installation = installation
        self._calls = calls
        self.stopping = threading.Event()
        self.turns = Turns(installation.database, threads)
        self._engine = engine
        self._threads, self._spare = threads, spare
        self._lock = threading.Lock()
        self._seated: dict[int, tuple[int, float]] = {}
        """For which tenant each thread works, and since when it has been at the same thing."""

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
    def seat(self, tenant_id: int) -> Iterator[bool]:
        """Take a place to work; false when all are taken, or all that one tenant may have."""
        with self._lock:
            seated = self._free() > 0 and self._may_have(tenant_id)
            if seated:
                self._seated[threading.get_ident()] = tenant_id, monotonic()
        try:
            yield seated
        finally:
            if seated:
                with self._lock:
                    self._seated.pop(threading.get_ident(), None)

    def give_up(self, thread: int) -> None:
        """Give the place of a thread that hangs to others, its tenant's included."""
        with self._lock:
            self._seated.pop(thread, None)
        self.turns.give_up(thread)

    def wait_until_idle(self, deadline: float) -> None:
        """Wait until nobody has a place, but not beyond a moment of the monotonic clock."""
        while self._seated and monotonic() < deadline:
            sleep(IDLE_LOOK_SECONDS)

    def begin(self, tenant_id: int) -> None:
        """Note that the thread in its place begins something new."""
        with self._lock:
            self._seated[threading.get_ident()] = tenant_id, monotonic()

    def about(self, kind: Work, tenant_id: int, ref: int) -> AbstractContextManager[None]:
        """Note for what the calling thread calls plugins."""
        return self._calls.about(tenant_id, kind, ref) if self._calls else nullcontext()

    def free_seats(self) -> int:
        """How many places nobody has."""
        with self._lock:
            return max(0, self._free())

    def has_seat_for(self, tenant_id: int) -> bool:
        """Whether a tenant may have one more place."""
        with self._lock:
            return self._may_have(tenant_id)

    def _may_have(self, tenant_id: int) -> bool:
        own = sum(tenant == tenant_id for tenant, _ in self._seated.values())
        return own < self._threads

    def _free(self) -> int:
        before = monotonic() - HANGS_SECONDS
        hanging = sum(since < before for _, since in self._seated.values())
        return self._threads + min(hanging, self._spare) - len(self._seated)

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
