"""How many requests a key, or an address without one, may make in a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

PER_MINUTE = 1_000
STRANGERS_PER_MINUTE = 60


class Allowances:
    """Counts requests by the minute, in this process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = 0
        self._counts: Counter[str] = Counter()

    def take(self, who: str, most: int) -> int:
        """Count a request; 0 when it is allowed, else the seconds until the next minute."""
        now = self._clock()
        with self._lock:
            if int(now // 60) != self._minute:
                self._minute = int(now // 60)
                self._counts.clear()
            self._counts[who] += 1
            is_allowed = self._counts[who] <= most
        return 0 if is_allowed else 60 - int(now % 60)
