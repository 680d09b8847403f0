"""The buffer of opens and clicks: two thousand of them or a moment, then one write.

A hit costs microseconds instead of a transaction. What a killed process takes with it are the
hits of at most 200 milliseconds; a process that is asked to end writes everything first.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import date

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from envoi.db import Database
from envoi.operations.metrics import HITS, HITS_LOST
from envoi.tracking.ledger import Hit, write
from envoi.tracking.models import EventKind

log = structlog.get_logger()

SIZE = 2_000
"""Hits of one write at most: a larger one costs each hit less, and others more waiting."""

INTERVAL = 0.1
"""Half of the 200 milliseconds that a kill may cost; the other half is for the write itself."""

CAPACITY = 200_000
"""Hits that are kept while the database is away: about 60 MB, an hour at 50 a second."""

_LONGEST_PAUSE = 5.0
_LONGEST_FAREWELL = 8.0


class HitWriter:
    """Collects hits of any number of threads and writes them from one of its own."""

    def __init__(
        self,
        database: Database,
        *,
        size: int = SIZE,
        interval: float = INTERVAL,
        capacity: int = CAPACITY,
    ) -> None:
        self._database = database
        self._size, self._interval, self._capacity = size, interval, capacity
        self._hits: deque[Hit] = deque()
        self._full = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._told = 0
        self.lost = 0

    def add(self, hit: Hit) -> None:
        """Take a hit; never waits and never fails, a full buffer refuses the newest."""
        if len(self._hits) >= self._capacity:
            self.lost += 1
            return
        self._hits.append(hit)
        if self._thread is None:
            self._start()
        if len(self._hits) >= self._size and not self._full.is_set():
            self._full.set()

    def waiting(self) -> int:
        """How many hits are not written yet."""
        return len(self._hits)

    def close(self) -> None:
        """Write what is left and stop; safe to repeat."""
        self._closing.set()
        self._full.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_FAREWELL)
        self.lost += len(self._hits)
        self._tell_lost()

    def _start(self) -> None:
        """Start late, in the process that serves, whatever was forked before."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = self._interval
        while not (self._closing.is_set() and not self._hits):
            self._full.wait(pause)
            self._full.clear()
            self._tell_lost()
            if self._write_all():
                pause = self._interval
            elif self._closing.is_set():
                return
            else:
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _tell_lost(self) -> None:
        if self.lost > self._told:
            log.error("hits_lost", count=self.lost - self._told)
            HITS_LOST.add(self.lost - self._told)
            self._told = self.lost

    def _write_all(self) -> bool:
        """Write what has come in; false when the database is away and the rest was kept."""
        while self._hits:
            batch = [self._hits.popleft() for _ in range(min(len(self._hits), self._size))]
            left: list[Hit] = []
            for (tenant_id, launched_on), hits in _grouped(batch).items():
                left += hits if left else self._write(tenant_id, launched_on, hits)
            if left:
                self._hits.extendleft(reversed(left))
                return False
            if len(batch) < self._size:
                break
        return True

    def _write(self, tenant_id: int, launched_on: date, hits: Sequence[Hit]) -> list[Hit]:
        """Write one group; return what waits for the database.

        A hit that cannot be written at all is dropped alone, never with its neighbours.
        """
        try:
            write(self._database, tenant_id, launched_on, hits)
            _count(hits)
        except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
            log.warning("hits_kept", count=len(self._hits) + len(hits), error=str(error))
            return list(hits)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one hit, the next must pass)
            if len(hits) == 1:
                log.error("hit_refused", tenant=tenant_id, error=str(error))
                return []
            middle = len(hits) // 2
            halves = (hits[:middle], hits[middle:])
            return [h for half in halves for h in self._write(tenant_id, launched_on, half)]
        return []


def _count(hits: Iterable[Hit]) -> None:
    kinds = [hit.kind for hit in hits]
    for kind in EventKind:
        if found := kinds.count(kind):
            HITS.add(found, kind.name.lower())


def _grouped(hits: Iterable[Hit]) -> dict[tuple[int, date], list[Hit]]:
    groups: dict[tuple[int, date], list[Hit]] = defaultdict(list)
    for hit in hits:
        groups[hit.message.tenant_id, hit.message.launched_on].append(hit)
    return groups
