"""Kept connections to gateways, and how many of them a process may have."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import structlog

from envoi.types import Connection

log = structlog.get_logger()

IDLE_SECONDS = 30.0
CLOSE_SECONDS = 5.0

PoolKey = tuple[int, int, int]
"""Tenant, gateway and its version: what was opened with former settings is not used again."""


class Connections:
    """Open connections that nobody uses at the moment, by gateway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[PoolKey, list[tuple[float, Connection]]] = defaultdict(list)
        self._seats: Counter[PoolKey] = Counter()
        self._taken: Counter[PoolKey] = Counter()

    @contextmanager
    def seat(self, gateway: PoolKey, most: int | None) -> Iterator[bool]:
        """Take one of so many places at a gateway (None: any number); false when all are taken.

        Whoever has one uses a connection that is open before it opens another, so there are
        never more connections than places. Where places have become fewer, what is open beyond
        them is closed.
        """
        with self._lock:
            surplus = self._surplus(gateway, most)
            seated = most is None or self._seats[gateway] < most
            self._seats[gateway] += seated
        _say_goodbye(surplus)
        try:
            yield seated
        finally:
            with self._lock:
                self._seats[gateway] -= seated

    def take(self, gateway: PoolKey, connect: Callable[[], Connection]) -> Connection:
        """Return a kept connection, or open one."""
        with self._lock:
            idle = self._idle[gateway]
            found = idle.pop()[1] if idle else None
        found = found or connect()
        with self._lock:
            self._taken[gateway] += 1
        return found

    def put(self, gateway: PoolKey, connection: Connection) -> None:
        """Keep a connection that works for whoever needs it next."""
        with self._lock:
            self._taken[gateway] -= 1
            self._idle[gateway].append((monotonic(), connection))

    def close(self, gateway: PoolKey, connection: Connection) -> None:
        """Close a connection that was taken and does not work any more."""
        with self._lock:
            self._taken[gateway] -= 1
        _say_goodbye([connection])

    def close_idle(self, older_than: float = IDLE_SECONDS) -> None:
        """Close what nobody has used for a while."""
        limit = monotonic() - older_than
        with self._lock:
            old = [c for idle in self._idle.values() for since, c in idle if since <= limit]
            for gateway, idle in self._idle.items():
                self._idle[gateway] = [(since, c) for since, c in idle if since > limit]
        _say_goodbye(old)

    def _surplus(self, gateway: PoolKey, most: int | None) -> list[Connection]:
        """Give up what is idle beyond so many connections."""
        if most is None:
            return []
        idle = self._idle[gateway]
        beyond = max(0, len(idle) + self._taken[gateway] - most)
        surplus = [connection for _, connection in idle[:beyond]]
        del idle[:beyond]
        return surplus


def _say_goodbye(connections: Sequence[Connection]) -> None:
    """Close connections, but wait for none that does not let itself be closed."""
    until = monotonic() + CLOSE_SECONDS
    closing = [threading.Thread(target=_close, args=[c], daemon=True) for c in connections]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(max(0.0, until - monotonic()))


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except BaseException as error:  # noqa: BLE001 (it must not raise, and when it does nothing hangs on it)
        log.warning("connection_close_failed", error=repr(error))
