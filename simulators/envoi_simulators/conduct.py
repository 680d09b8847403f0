"""What goes wrong by chance or by haste, the same for every simulated service."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from time import monotonic

HANG_SECONDS = 60.0
"""Longer than our gateways wait for an answer."""


class Pace:
    """Counts what comes within a second; used by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._second, self._count = 0, 0

    def is_exceeded(self, per_second: int) -> bool:
        """Count one more, and tell whether it is one too many; 0 is no limit."""
        if not per_second:
            return False
        with self._lock:
            second = int(monotonic())
            self._count = self._count + 1 if second == self._second else 1
            self._second = second
            return self._count > per_second


class Some:
    """Stands in for a collection that holds so many per cent of whatever it is asked about."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __contains__(self, _: object) -> bool:
        return happens(self._share)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def happens(share: float) -> bool:
    """Whether something happens that happens so often: always at 1, never at 0."""
    return random.random() < share  # noqa: S311 (faults, no secrets)
