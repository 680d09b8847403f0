"""Kept connections to gateways, and how many of them a process may have."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from envoi.types import Connection

IDLE_SECONDS = 30.0

PoolKey = tuple[int, int, int]
"""Tenant, gateway and its version: what was opened with former settings is not used again."""


class Connections:
    """Open connections that nobody uses at the moment, by gateway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[PoolKey, list[tuple[float, Connection]]] = defaultdict(list)
        self._busy: Counter[PoolKey] = Counter()

    @contextmanager
    def seat(self, gateway: PoolKey, most: int) -> Iterator[bool]:
        """Take one of so many places at a gateway (0: any number); false when all are taken.

        Whoever has one uses a connection that is open before it opens another, so there are
        never more connections than places.
        """
        with self._lock:
            seated = not most or self._busy[gateway] < most
            self._busy[gateway] += seated
        try:
            yield seated
        finally:
            with self._lock:
                self._busy[gateway] -= seated

    def take(self, gateway: PoolKey, connect: Callable[[], Connection]) -> Connection:
        """Return a kept connection, or open one."""
        with self._lock:
            idle = self._idle[gateway]
            found = idle.pop()[1] if idle else None
        return found or connect()

    def put(self, gateway: PoolKey, connection: Connection) -> None:
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
