"""Adds up in Valkey what all processes count, and keeps what each says of itself for a moment.

A wiped Valkey begins anew from zero, which Prometheus takes for a restart; while it is away,
processes keep what they have counted.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from envoi.installation import Installation
from envoi.operations import metrics
from envoi.operations.metrics import BUFFER, POOL, PROCESSES, Samples
from envoi.valkey import connect_valkey

EVERY_SECONDS = 5.0
FRESH_SECONDS = 30.0
"""What a process said longer ago is not true any more."""
CLOSE_SECONDS = 2.0
"""As long as a last report takes that connects and writes."""

_TOTALS = "envoi:metrics:totals"
_PROCESSES = "envoi:metrics:processes"


class Reporter:
    """Reports one process from a thread of its own.

    Args:
        installation: Where to report to, and whose pool is reported.
        process: What kind of process this is: web, tracking, send, scheduler, ...
        buffered: Tells how many hits wait, in a process that has a buffer.
    """

    def __init__(
        self, installation: Installation, process: str, buffered: Callable[[], int] | None = None
    ) -> None:
        url = installation.settings.redis_url.get_secret_value()
        self._client = connect_valkey(url) if url else None
        self._pool = installation.database.engine.pool
        self._process, self._buffered = process, buffered
        self._field = f"{socket.gethostname()}:{os.getpid()}"
        self._pending: Samples = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        if self._client is not None:
            self._thread.start()

    def close(self) -> None:
        """Report a last time and stop; safe to repeat."""
        if not self._closing.is_set() and self._thread.is_alive():
            self._closing.set()
            self._thread.join(CLOSE_SECONDS)

    def report(self) -> None:
        """Add what was counted, and say how the process is; raises when Valkey is away."""
        assert self._client is not None
        for name, amount in metrics.drain().items():
            self._pending[name] = self._pending.get(name, 0.0) + amount
        said = {"at": time.time(), "process": self._process, "samples": self._samples()}
        pipeline = self._client.pipeline(transaction=True)
        for name, amount in self._pending.items():
            pipeline.hincrbyfloat(_TOTALS, name, amount)
        if self._closing.is_set():
            pipeline.hdel(_PROCESSES, self._field)
        else:
            pipeline.hset(_PROCESSES, self._field, json.dumps(said))
        pipeline.execute()
        self._pending.clear()

    def _run(self) -> None:
        while True:
            self._closing.wait(EVERY_SECONDS)
            with suppress(RedisError, OSError):
                self.report()
            if self._closing.is_set():
                return

    def _samples(self) -> Samples:
        found: Samples = {}
        for state in ("checkedout", "checkedin"):
            count = getattr(self._pool, state, lambda: 0)()
            word = "in_use" if state == "checkedout" else "idle"
            found[POOL.sample(self._process, word)] = float(count)
        if self._buffered is not None:
            found[BUFFER.sample()] = float(self._buffered())
        return found


def totals(client: Redis) -> Samples:
    """Return what all processes have counted together."""
    return {str(name): float(value) for name, value in client.hgetall(_TOTALS).items()}


def states(client: Redis) -> Samples:
    """Return what the processes that live say of themselves, summed; forget the others."""
    found: defaultdict[str, float] = defaultdict(float)
    now = time.time()
    for field, text in client.hgetall(_PROCESSES).items():
        said = json.loads(text)
        if now - said["at"] > FRESH_SECONDS:
            client.hdel(_PROCESSES, field)
            continue
        for name, value in said["samples"].items():
            found[name] += value
        found[PROCESSES.sample(said["process"])] += 1
    return dict(found)
