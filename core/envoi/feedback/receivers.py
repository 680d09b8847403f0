"""Keeps the connections by which reports come: one for each gateway whose provider has them.

Each has a thread of its own, so that a plugin that hangs or fails harms no other, and is held by
one process of all hosts at a time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import structlog
from sqlalchemy import Connection, func, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import SQLAlchemyError

from envoi.db import Database, table
from envoi.delivery.gateways import get_gateway, settings_of
from envoi.delivery.models import Gateway
from envoi.errors import EnvoiError
from envoi.feedback.models import ReceiverSign
from envoi.feedback.reporting import reporter
from envoi.installation import Installation
from envoi.operations.plugin_errors import note_fault
from envoi.plugins import fence
from envoi.tenants.service import tenant_ids
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent, ProviderSpec

log = structlog.get_logger()

LOOK_SECONDS = 2.0
MOST_OF_THE_TIME = 0.05
"""With very many companies it is looked less often, so that looking never takes more than this."""
STOP_SECONDS = 10.0
"""A thread that has not ended so long after it was asked to is left alone."""
SIGN_SECONDS = 15.0
STEADY_SECONDS = 30.0
"""A connection that has held for so long works."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A gateway of which reports are to be received, as it is now."""

    tenant_id: int
    gateway_id: int
    version: int
    provider: str


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a connection is opened again: about twice as long each time."""

    first: float = 1.0
    longest: float = 60.0


class Receivers:
    """The receiving threads of this process."""

    def __init__(self, installation: Installation, pauses: Pauses | None = None) -> None:
        self._site = installation
        self._pauses = pauses or Pauses()
        self._running: dict[tuple[int, int], _Receiver] = {}
        self._locks: Connection | None = None

    def run(self, stopping: threading.Event) -> None:
        """Look after the connections until asked to stop, whatever fails meanwhile."""
        pause = 0.0
        while not stopping.wait(pause):
            began = monotonic()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("receivers_wait", error=str(error))
                self._forget_locks()
            pause = max(LOOK_SECONDS, (monotonic() - began) / MOST_OF_THE_TIME)
        self.close()

    def look(self) -> None:
        """Begin what is to be received and is not, and end what is not to be any more."""
        providers = {n: s for n, s in self._site.plugins.providers.items() if s.receive}
        if not providers and not self._running:
            return
        wanted = {(w.tenant_id, w.gateway_id): w for w in self._wanted(providers)}
        self._keep_locks()
        for key, receiver in list(self._running.items()):
            if receiver.wanted != wanted.get(key):
                receiver.stop()
            if receiver.has_ended():
                self._leave(key, receiver)
        for key in wanted.keys() - self._running.keys():
            if self._lock(key):
                receiver = _Receiver(self._site, wanted[key], self._pauses)
                self._running[key] = receiver
                receiver.start()
        for receiver in self._running.values():
            receiver.sign(self._site.database)

    def close(self) -> None:
        """Ask all to end, and wait for them a while."""
        for receiver in self._running.values():
            receiver.stop()
        for receiver in self._running.values():
            receiver.join()
        self._running.clear()
        self._forget_locks()

    def _wanted(self, providers: dict[str, ProviderSpec]) -> Iterable[Wanted]:
        g = table(Gateway).c
        for tenant_id in tenant_ids(self._site.database):
            query = select(g.id, g.version, g.provider).where(
                g.tenant_id == tenant_id, g.is_on, g.provider.in_(providers)
            )
            with self._site.database.tenant_session(tenant_id) as session:
                found = session.execute(query).all()
                plugins = self._site.plugins.for_tenant(session, tenant_id) if found else None
            for row in found:
                if plugins and row.provider in plugins.providers:
                    yield Wanted(tenant_id, row.id, row.version, row.provider)

    def _leave(self, key: tuple[int, int], receiver: _Receiver) -> None:
        receiver.unsign(self._site.database)
        del self._running[key]
        if self._locks is not None:
            self._locks.execute(select(func.pg_advisory_unlock(_name(key))))

    def _lock(self, key: tuple[int, int]) -> bool:
        assert self._locks is not None
        return bool(self._locks.scalar(select(func.pg_try_advisory_lock(_name(key)))))

    def _keep_locks(self) -> None:
        """See that the locks are still ours; where another process has taken one, it receives."""
        if self._locks is not None:
            self._locks.execute(select(literal(1)))
            return
        connection = self._site.database.engine.connect()
        self._locks = connection.execution_options(isolation_level="AUTOCOMMIT")
        for key, receiver in self._running.items():
            if not self._lock(key):
                receiver.stop()

    def _forget_locks(self) -> None:
        locks, self._locks = self._locks, None
        if locks is not None:
            locks.invalidate()
            locks.close()


class _Receiver:
    """One connection: opened again whenever it ends, until it is asked to stop."""

    def __init__(self, installation: Installation, wanted: Wanted, pauses: Pauses) -> None:
        self.wanted = wanted
        self._site = installation
        self._pauses = pauses
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._trouble = ""
        self._received_at: datetime | None = None
        self._signed_at = 0.0
        self._signed = ""
        name = f"receiving {wanted.tenant_id}:{wanted.gateway_id}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if not self._stopping.is_set():
            self._stop_by = monotonic() + STOP_SECONDS
            self._stopping.set()

    def join(self) -> None:
        self._thread.join(max(0.0, self._stop_by - monotonic()))

    def has_ended(self) -> bool:
        """Whether its thread has ended, or is left alone because it does not."""
        if self._thread.is_alive() and self._stopping.is_set() and monotonic() > self._stop_by:
            log.error("receiver_hangs", gateway=self.wanted.gateway_id)
            return True
        return not self._thread.is_alive()

    def sign(self, database: Database) -> None:
        """Say how it fares: at once when that changes, and now and then that it lives."""
        trouble = self._trouble
        if trouble == self._signed and monotonic() - self._signed_at < SIGN_SECONDS:
            return
        sign = table(ReceiverSign)
        new = upsert(sign).values(
            tenant_id=self.wanted.tenant_id,
            gateway_id=self.wanted.gateway_id,
            looked_at=func.now(),
            received_at=self._received_at,
            trouble=trouble,
        )
        fresh = {
            "looked_at": new.excluded.looked_at,
            "received_at": func.coalesce(new.excluded.received_at, sign.c.received_at),
            "trouble": new.excluded.trouble,
        }
        with database.tenant_session(self.wanted.tenant_id) as session:
            session.execute(new.on_conflict_do_update(constraint=sign.primary_key, set_=fresh))
        self._signed_at, self._signed = monotonic(), trouble

    def unsign(self, database: Database) -> None:
        """Take the sign away: nobody receives for the gateway here any more."""
        sign, tenant_id = table(ReceiverSign), self.wanted.tenant_id
        mine = (sign.c.tenant_id == tenant_id, sign.c.gateway_id == self.wanted.gateway_id)
        with database.tenant_session(tenant_id) as session:
            session.execute(sign.delete().where(*mine))

    def _run(self) -> None:
        pause = self._pauses.first
        while not self._stopping.is_set():
            began = monotonic()
            trouble = self._receive()
            if self._stopping.is_set():
                return
            if monotonic() - began >= STEADY_SECONDS:
                pause = self._pauses.first
            log.warning("receiver_ended", gateway=self.wanted.gateway_id, trouble=trouble)
            self._trouble = trouble[:300]
            self._stopping.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
            pause = min(2 * pause, self._pauses.longest)

    def _receive(self) -> str:
        """Hold the connection until it ends; return why it did."""
        try:
            hold = self._opened()
            fence(self._site.plugins, "provider", self.wanted.provider, hold)
        except (EnvoiError, SQLAlchemyError) as error:
            note_fault(self._site.database, self.wanted.tenant_id, error)
            return str(error)
        return "The connection ended. It is opened again."

    def _opened(self) -> Callable[[], None]:
        wanted, site = self.wanted, self._site
        with site.database.tenant_session(wanted.tenant_id) as session:
            gateway = get_gateway(session, wanted.tenant_id, wanted.gateway_id)
            values = settings_of(session, site.plugins, site.settings, gateway)
        receive = site.plugins.providers[wanted.provider].receive
        assert receive is not None
        report = reporter(site.database, signer_of(site.settings), *(wanted.tenant_id, gateway.id))
        opened_at = monotonic()

        def note(event: DeliveryEvent, raw: bytes) -> None:
            report(event, raw)
            self._received_at, self._trouble = datetime.now(UTC), ""

        def should_stop() -> bool:
            if self._trouble and monotonic() - opened_at > STEADY_SECONDS:
                self._trouble = ""
            return self._stopping.is_set()

        return lambda: receive(values, note, should_stop)


def _name(key: tuple[int, int]) -> object:
    tenant_id, gateway_id = key
    return func.hashtextextended(f"envoi.receiver:{tenant_id}", gateway_id)
