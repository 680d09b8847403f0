"""Limits that all processes share: slots in Valkey, and a safe local share without it.

A bucket is one moment: when the next message may leave. Whoever takes so many messages moves it
on by their time, so that slots never overlap whichever process they belong to. The clock is
Valkey's, never a host's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import structlog
from redis.exceptions import RedisError

from envoi.valkey import connect_valkey

log = structlog.get_logger()

USED_SHARE = 0.99
"""What of a limit is used: the rest is for messages that are late on their way."""
BATCH_SECONDS = 0.02
"""What is taken at once is at most what the limit allows in so long."""
SLACK_SECONDS = 0.05
"""How much idle time may be made up; with what is late it stays within a tenth of a second."""
DOMAIN_SLACK_SECONDS = 0.08
"""A domain's slot is taken only when its message's turn comes, so more of them would be lost."""

ANSWER_SECONDS = 0.5
"""A slow answer is as good as none: the block goes on with the local share."""
TRY_AGAIN_SECONDS = 0.5
COUNT_SECONDS = 5.0
"""How old the number of senders may be; the local share begins when nobody's is older."""
RETURN_SECONDS = 3.0
"""How long a shared bucket rests when somebody is back, until all others are back as well."""

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local spacing, count, within = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slack, rest = tonumber(ARGV[4]), tonumber(ARGV[5])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now - slack)
if rest > 0 then
  free = math.max(free, now + rest)
end
local wait = math.max(0, free - now)
if wait > within then
  count = 0
end
if count > 0 or rest > 0 then
  free = free + count * spacing
  local kept = math.ceil((free - now) / 1000) + 60000
  redis.call('SET', KEYS[1], string.format('%.0f', free), 'PX', string.format('%.0f', kept))
end
return {count, string.format('%.0f', wait)}
"""


@dataclass(frozen=True)
class Bucket:
    """A limit that acts on everybody who uses it under the same name."""

    name: str
    per_second: float
    slack: float = SLACK_SECONDS

    @property
    def spacing(self) -> float:
        """How far apart messages are, in seconds."""
        return 1 / (self.per_second * USED_SHARE)

    @property
    def batch(self) -> int:
        """How many messages may leave at once without being noticed."""
        return max(1, int(self.per_second * BATCH_SECONDS))


@dataclass(frozen=True)
class Grant:
    """So many messages may leave after a wait in seconds; of none, the wait until some may."""

    count: int
    wait: float


class Buckets:
    """The limits of one process, shared with all others while Valkey is there.

    Without it every process keeps to its share: the limit by the number of live senders.

    Args:
        url: Where Valkey is; empty for a process that has none.
        senders: Counts the live sending processes.
    """

    def __init__(self, url: str, senders: Callable[[], int]) -> None:
        self._client = connect_valkey(url, ANSWER_SECONDS) if url else None
        self._take = self._client.register_script(_TAKE) if self._client else None
        self._lock = threading.Lock()
        self._share = _LocalShare(senders)
        self._is_away = self._client is None
        self._try_at = 0.0
        self._rests_until = 0.0

    def take(self, bucket: Bucket, count: int, within: float) -> Grant:
        """Take the next free slots if they are free within so many seconds."""
        if self._may_ask():
            try:
                return self._shared(bucket, count, within)
            except (RedisError, OSError) as error:
                self._lose(error)
        with self._lock:
            return self._share.take(bucket, count, within)

    def _may_ask(self) -> bool:
        """Whether to ask Valkey: while it is away one thread tries now and then."""
        if not self._is_away:
            return True
        with self._lock:
            if self._client is None or monotonic() < self._try_at:
                return False
            self._try_at = monotonic() + TRY_AGAIN_SECONDS
            return True

    def _shared(self, bucket: Bucket, count: int, within: float) -> Grant:
        assert self._take is not None
        if self._is_away and self._share.has_begun:
            self._rests_until = monotonic() + RETURN_SECONDS
        rest = max(0.0, self._rests_until - monotonic())
        times = (bucket.spacing, within, bucket.slack, rest)
        spacing, *others = (f"{seconds * 1e6:.0f}" for seconds in times)
        answer = self._take(keys=[f"envoi:limit:{bucket.name}"], args=[spacing, count, *others])
        if self._is_away:
            self._find()
        return Grant(int(answer[0]), int(answer[1]) / 1e6)

    def _lose(self, error: Exception) -> None:
        with self._lock:
            if not self._is_away:
                log.warning("limits_kept_locally", error=str(error))
                self._is_away = True
                self._share.begin()
            self._try_at = monotonic() + TRY_AGAIN_SECONDS

    def _find(self) -> None:
        with self._lock:
            self._is_away = False
            self._share.end()
        log.info("limits_shared_again")


class _LocalShare:
    """One process's part of every limit; it begins late enough for all to know of each other."""

    def __init__(self, senders: Callable[[], int]) -> None:
        self._senders = senders
        self._count = 1
        self._counted_at = 0.0
        self._begins_at: float | None = None
        self._free: dict[str, float] = {}

    @property
    def has_begun(self) -> bool:
        """Whether messages may have left by it."""
        return self._begins_at is not None and monotonic() >= self._begins_at

    def begin(self) -> None:
        """Begin anew, after everything has left that was granted before."""
        self._begins_at = monotonic() + COUNT_SECONDS
        self._counted_at = 0.0
        self._free.clear()

    def end(self) -> None:
        """Forget what was granted."""
        self._begins_at = None
        self._free.clear()

    def take(self, bucket: Bucket, count: int, within: float) -> Grant:
        """Take the next free slots of this process's own."""
        if self._begins_at is None:
            self.begin()
        assert self._begins_at is not None
        now = monotonic()
        if now - self._counted_at >= COUNT_SECONDS:
            self._count, self._counted_at = max(1, self._senders()), now
        free = max(self._free.get(bucket.name, 0.0), now, self._begins_at)
        wait = free - now
        if wait > within:
            return Grant(0, wait)
        self._free[bucket.name] = free + count * bucket.spacing * self._count
        return Grant(count, wait)
