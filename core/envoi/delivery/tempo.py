"""How fast a gateway takes messages, as it shows by throttling; nobody has to enter it.

After a throttled message the gateway rests for a moment. Then messages leave somewhat slower
than it took them, and ever faster the longer nothing is throttled. Each process learns alone:
what all of them send together settles at what the gateway takes.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from time import monotonic

from envoi.delivery.circuit import GatewayKey

REST_SECONDS = 1.0
LONGEST_REST = 60.0
"""A gateway that throttles everything is asked this seldom in the end."""

_SECOND = 1.0
_SLOWEST = 0.2
_CUT = 0.9
_AT_ONCE = 0.05
"""What may leave without pause is what the gateway takes in so long, in seconds."""


class Tempo:
    """The tempo of one gateway in this process; used by all threads, which share its time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lately: deque[tuple[float, int]] = deque()
        self._base: float | None = None
        self._since = self._rests_until = self._free_at = 0.0
        self._rests = 0

    def wait(self) -> float:
        """How long until the next message may leave, in seconds; 0 or less: it may now."""
        if self._base is None:
            return 0.0
        now = monotonic()
        return max(self._rests_until, self._free_at - _AT_ONCE) - now

    def use(self) -> None:
        """Let a message leave."""
        if self._base is None:
            return
        now = monotonic()
        with self._lock:
            self._free_at = max(self._free_at, now - _AT_ONCE) + 1 / self._per_second(now)

    def rests_until(self) -> datetime | None:
        """Until when the gateway rests; None: it does not."""
        left = self._rests_until - monotonic()
        return datetime.now(UTC) + timedelta(seconds=left) if left > 0 else None

    def taken(self, count: int) -> None:
        """Note that the gateway took messages just now."""
        now = monotonic()
        with self._lock:
            self._rests = 0
            self._lately.append((now, count))
            self._forget(now)

    def throttled(self) -> None:
        """Note that the gateway found us too fast."""
        now = monotonic()
        with self._lock:
            if now < self._rests_until:
                # It was under way already, and tells nothing new.
                return
            self._base, self._since = self._slower(now), now
            rest = min(REST_SECONDS * 2**self._rests, LONGEST_REST)
            self._rests = min(self._rests + 1, 10)
            self._rests_until = self._free_at = now + rest

    def _slower(self, now: float) -> float:
        self._forget(now)
        lately = float(sum(count for _, count in self._lately))
        if self._base is None:
            return max(_CUT * lately, _SLOWEST)
        before = self._per_second(now)
        # Far above what was taken lately, the limit itself must have changed.
        return max(_SLOWEST, lately if before / 2 > lately else _CUT * before)

    def _per_second(self, now: float) -> float:
        """Slowly faster at first, where the limit is likely to be, and steeply in the end."""
        quiet = max(0.0, now - self._since - REST_SECONDS)
        return (self._base or _SLOWEST) * (1 + quiet / 100 + (quiet / 20) ** 3)

    def _forget(self, now: float) -> None:
        while self._lately and self._lately[0][0] < now - _SECOND:
            self._lately.popleft()


class Tempos:
    """The tempos of all gateways that this process uses."""

    def __init__(self) -> None:
        self._tempos: dict[GatewayKey, Tempo] = defaultdict(Tempo)

    def of(self, gateway: GatewayKey) -> Tempo:
        """Return the tempo of a gateway."""
        return self._tempos[gateway]
