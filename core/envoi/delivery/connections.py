"""Kept connections to gateways, and the circuit that opens when a gateway fails as a whole."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

from envoi.errors import PermanentProviderError, ProviderError
from envoi.types import Connection

IDLE_SECONDS = 30.0
FAILURES_TO_PAUSE = 5
FIRST_BACK_OFF = 1.0
LONGEST_BACK_OFF = 60.0

GatewayKey = tuple[int, int]
"""Tenant and gateway."""


class Connections:
    """Open connections that nobody uses at the moment, by gateway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[GatewayKey, list[tuple[float, Connection]]] = defaultdict(list)

    def take(self, gateway: GatewayKey, connect: Callable[[], Connection]) -> Connection:
        """Return a kept connection, or open one."""
        with self._lock:
            idle = self._idle[gateway]
            found = idle.pop()[1] if idle else None
        return found or connect()

    def put(self, gateway: GatewayKey, connection: Connection) -> None:
        """Keep a connection that works for whoever needs it next."""
        with self._lock:
            self._idle[gateway].append((monotonic(), connection))

    def close_idle(self, older_than: float = IDLE_SECONDS) -> None:
        """Close what nobody has used for a while."""
        limit = monotonic() - older_than
        with self._lock:
            old = [c for idle in self._idle.values() for since, c in idle if since <= limit]
            for gateway, idle in self._idle.items():
                self._idle[gateway] = [(since, c) for since, c in idle if since > limit]
        for connection in old:
            connection.close()


@dataclass
class _Trouble:
    failures: int = 0
    next_try: float = 0.0


@dataclass
class Circuit:
    """Counts failures of gateways as a whole; each one makes the pause before the next longer.

    Threads that fail during a pause tell nothing new and are not counted.
    """

    first_back_off: float = FIRST_BACK_OFF
    limit: int = FAILURES_TO_PAUSE
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _troubles: dict[GatewayKey, _Trouble] = field(default_factory=dict)

    def opens_at(self, gateway: GatewayKey) -> datetime | None:
        """When the gateway may be tried again; None: now."""
        trouble = self._troubles.get(gateway)
        wait = trouble.next_try - monotonic() if trouble else 0
        return datetime.now(UTC) + timedelta(seconds=wait) if wait > 0 else None

    def failed(self, gateway: GatewayKey, error: ProviderError) -> bool:
        """Note a failure; true when it is time to pause the run and ask a person."""
        with self._lock:
            trouble = self._troubles.setdefault(gateway, _Trouble())
            now = monotonic()
            if now >= trouble.next_try:
                trouble.failures += 1
                pause = self.first_back_off * 2 ** (trouble.failures - 1)
                pause = max(min(pause, LONGEST_BACK_OFF), getattr(error, "retry_after", 0) or 0)
                trouble.next_try = now + pause
            if trouble.failures < self.limit and not isinstance(error, PermanentProviderError):
                return False
            del self._troubles[gateway]
            return True

    def worked(self, gateway: GatewayKey) -> None:
        """Forget the failures: the gateway takes messages."""
        if gateway in self._troubles:
            with self._lock:
                self._troubles.pop(gateway, None)
