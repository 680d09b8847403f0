"""Whose turn it is: the threads of a process go round the runs that are due, tenant by tenant."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from time import monotonic

from envoi.db import Database
from envoi.jobs import Work, due_by_turns

LOOK_SECONDS = 0.5
MOST_RUNS = 200
"""So many runs take turns at a time, the same number of every tenant if there are more."""

RunKey = tuple[int, int]
"""Tenant and run."""


class Turns:
    """Chooses the run that a free thread sends next; used by all threads of a process.

    The tenant with the fewest threads at work here goes first, then what is urgent, then who
    has waited longest. So a tenant with a million messages holds no seat that another one
    needs, and a run waits for others' turns, never for their end.

    Args:
        database: Where due work is found.
        most: So many threads of a process one tenant has at most, also where some hang.
    """

    def __init__(self, database: Database, most: float = inf) -> None:
        self._database, self._most = database, most
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._due: dict[RunKey, bool] = {}
        self._going: set[RunKey] = set()
        self._looked_at = 0.0
        self._taken: list[tuple[int, RunKey]] = []
        """Each thread at work with its run."""
        self._last: dict[int | RunKey, float] = {}

    def next(self, hinted: RunKey | None = None) -> RunKey | None:
        """Return the run to send now; None when none is due.

        Args:
            hinted: A run that was just said to be due, so that an older look is not enough.
        """
        self._look(anew=hinted is not None and hinted not in self._due)
        with self._lock:
            if hinted is not None:
                self._going.add(hinted)
            runs = Counter(run for _, run in self._taken)
            tenants = Counter(tenant_id for _, (tenant_id, _) in self._taken)
            open_ones = (r for r in self._due.keys() | self._going if tenants[r[0]] < self._most)
            rank = partial(self._rank, tenants, runs)
            return min(open_ones, key=rank, default=None)

    @contextmanager
    def taken(self, run: RunKey) -> Iterator[None]:
        """Count the thread as this run's until the end of the block."""
        taken = threading.get_ident(), run
        with self._lock:
            self._taken.append(taken)
        try:
            yield
        finally:
            with self._lock:
                with suppress(ValueError):
                    self._taken.remove(taken)
                self._last[run[0]] = self._last[run] = monotonic()

    def give_up(self, thread: int) -> None:
        """Count a thread that hangs no more."""
        with self._lock:
            self._taken = [taken for taken in self._taken if taken[0] != thread]

    def keep(self, run: RunKey) -> None:
        """Let a run come round again, though others may think that nothing is left of it.

        Who sends its last block has to come back and see that it has ended.
        """
        with self._lock:
            self._going.add(run)

    def drop(self, run: RunKey) -> None:
        """Leave a run out until the next look: there is nothing to send of it now."""
        with self._lock:
            self._due.pop(run, None)
            self._going.discard(run)

    def _rank(
        self, tenants: Mapping[int, int], runs: Mapping[RunKey, int], run: RunKey
    ) -> tuple[float, ...]:
        tenant_id, last = run[0], self._last
        return (
            tenants[tenant_id],
            not self._due.get(run),
            last.get(tenant_id, 0),
            runs[run],
            last.get(run, 0),
        )

    def _look(self, *, anew: bool) -> None:
        if not anew and monotonic() - self._looked_at < LOOK_SECONDS:
            return
        with self._looking:
            if not anew and monotonic() - self._looked_at < LOOK_SECONDS:
                return
            with self._database.system_session() as session:
                found = session.execute(due_by_turns([Work.SEND], MOST_RUNS)).all()
            self._keep({(work.tenant_id, work.ref): work.urgent for work in found})

    def _keep(self, due: dict[RunKey, bool]) -> None:
        with self._lock:
            self._due = due
            self._looked_at = monotonic()
            runs = self._due.keys() | self._going
            known = {*runs, *(tenant_id for tenant_id, _ in runs)}
            self._last = {key: at for key, at in self._last.items() if key in known}
