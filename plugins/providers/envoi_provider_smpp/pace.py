"""How fast an account may be used, learned from what it refuses."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic

PAUSE_SECONDS = 1.0
"""Centres count by the second: after a refusal nothing leaves for so long."""

FIRST_CUT, CUT = 0.9, 0.8
"""What is left of the speed after a refusal: of what was taken, then of what was tried."""

GROWTH = 1.03
"""The speed after a second without a refusal: it finds out slowly whether more is allowed."""

SLOWEST = 0.5
_BURST_SECONDS = 0.05


class Pace:
    """The speed of an account in messages a second; used by all its sessions of a process.

    Nothing is held back before the first refusal.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = inf
        self._room = 1.0
        self._looked_at = self._grown_at = clock()
        self._opens_at = -inf
        self._taken: deque[tuple[float, int]] = deque()

    @property
    def rate(self) -> float:
        """What is tried at the moment; infinity while nothing has been refused."""
        return self._rate

    def admit(self, most: int) -> int:
        """Say how many of so many messages may leave now."""
        with self._lock:
            now = self._clock()
            self._refill(now)
            if now < self._opens_at:
                return 0
            if self._rate == inf:
                return most
            admitted = min(most, int(self._room))
            self._room -= admitted
            return admitted

    def wait_seconds(self) -> float:
        """Say when the next message may leave."""
        with self._lock:
            now = self._clock()
            self._refill(now)
            missing = 0.0 if self._rate == inf else max(0.0, 1 - self._room) / self._rate
            return max(missing, self._opens_at - now)

    def taken(self, count: int) -> None:
        """Note that messages were taken."""
        with self._lock:
            now = self._clock()
            self._taken.append((now, count))
            while self._taken[0][0] < now - PAUSE_SECONDS:
                self._taken.popleft()

    def refused(self) -> None:
        """Note that we were too fast; refusals of one pause are one."""
        with self._lock:
            now = self._clock()
            if now < self._opens_at:
                return
            self._refill(now)
            lately = sum(count for at, count in self._taken if at >= now - PAUSE_SECONDS)
            slower = FIRST_CUT * lately if self._rate == inf else CUT * self._rate
            self._rate = max(slower, SLOWEST)
            self._room = 1.0
            self._opens_at = self._looked_at = self._grown_at = now + PAUSE_SECONDS

    def _refill(self, now: float) -> None:
        passed = max(0.0, now - self._looked_at)
        self._looked_at = max(now, self._looked_at)
        if self._rate < inf:
            self._room = min(self._room + passed * self._rate, self._most_at_once())
            if now - self._grown_at >= 1:
                self._rate *= GROWTH
                self._grown_at = now

    def _most_at_once(self) -> float:
        return max(1.0, self._rate * _BURST_SECONDS)


class Paces:
    """The paces that this process knows, by account: they outlive the sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, str], Pace] = {}

    def of(self, account: tuple[str, int, str]) -> Pace:
        """Return the pace of an account: host, port and user name."""
        with self._lock:
            return self._known.setdefault(account, Pace())
