"""Counters and histograms of one process; what they have counted is drained into a shared sum.

Counting costs a lock and a dictionary, nothing leaves the process (`envoi.operations.reporter`
adds up what all processes of all hosts have counted).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from threading import Lock

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)

Samples = dict[str, float]
"""Values by their names in the text format: `envoi_messages_total{state="accepted"}`."""

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def sample(name: str, labels: Iterable[tuple[str, object]] = ()) -> str:
    """Write a sample's name with its labels in Prometheus' text format."""
    pairs = ",".join(f'{key}="{str(value).translate(_ESCAPED)}"' for key, value in labels)
    return f"{name}{{{pairs}}}" if pairs else name


class Metric:
    """A figure with a name, a kind of the text format, a meaning and labels."""

    kind = "gauge"

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name, self.meaning, self.labels = name, meaning, labels
        self._lock = Lock()

    def sample(self, *values: object) -> str:
        """Name the sample with these values of the labels."""
        return sample(self.name, zip(self.labels, values, strict=True))

    def drain(self) -> Samples:
        """Return what was counted since the last time."""
        return {}


class Counter(Metric):
    """Counts what happens."""

    kind = "counter"

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        super().__init__(name, meaning, *labels)
        self._counts: defaultdict[tuple[object, ...], float] = defaultdict(float)

    def add(self, amount: float, *values: object) -> None:
        """Count more, under the values of the labels."""
        with self._lock:
            self._counts[values] += amount

    def drain(self) -> Samples:
        """Return what was counted since the last time."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(float)
        return {self.sample(*values): amount for values, amount in counts.items()}


class Histogram(Metric):
    """Counts sizes or durations by how large they are."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, *labels: str, bounds: tuple[float, ...]) -> None:
        super().__init__(name, meaning, *labels)
        self._bounds = bounds
        self._rows: dict[tuple[object, ...], list[float]] = {}

    def observe(self, value: float, *values: object) -> None:
        """Count one size or duration, under the values of the labels."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            row = self._rows.get(values)
            if row is None:
                row = self._rows[values] = [0.0] * (len(self._bounds) + 2)
            row[place] += 1
            row[-1] += value

    def drain(self) -> Samples:
        """Return the buckets, each with those below it, the sum and the count."""
        with self._lock:
            rows, self._rows = self._rows, {}
        found: Samples = {}
        for values, (*counts, total) in rows.items():
            labels = list(zip(self.labels, values, strict=True))
            below = 0.0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                below += count
                found[sample(f"{self.name}_bucket", [*labels, ("le", bound)])] = below
            found[sample(f"{self.name}_sum", labels)] = total
            found[sample(f"{self.name}_count", labels)] = below
        return found


MESSAGES = Counter(
    "envoi_messages_total",
    "Outcomes written down, by the state they led to; `ready` is tried again later.",
    "tenant",
    "channel",
    "state",
)
SEND_SECONDS = Histogram(
    "envoi_send_seconds",
    "How long a provider took to answer for one message.",
    "channel",
    bounds=SECONDS,
)
BLOCK_MESSAGES = Histogram(
    "envoi_block_messages", "Messages of the blocks that were claimed.", "channel", bounds=SIZES
)
WORK = Counter(
    "envoi_work_total", "Pieces of work that workers did, or failed in.", "kind", "result"
)
WORK_SECONDS = Histogram(
    "envoi_work_seconds", "How long a piece of work took.", "kind", bounds=SECONDS
)
HINTS_LOST = Counter(
    "envoi_hints_lost_total", "Hints not given because the queue was away; the work is not lost."
)
HITS = Counter("envoi_tracking_hits_total", "Opens, clicks and views written down.", "kind")
HITS_LOST = Counter(
    "envoi_tracking_hits_lost_total", "Hits refused by a full buffer, or left at a process's end."
)
WEBHOOKS = Counter(
    "envoi_webhooks_total", "Webhooks by HTTP status; 401 was not genuine or too old.", "status"
)
REQUESTS = Counter("envoi_http_requests_total", "Requests of pages.", "endpoint", "status")
REQUEST_SECONDS = Histogram(
    "envoi_http_request_seconds",
    "How long a page took until it was ready to leave.",
    "endpoint",
    bounds=SECONDS,
)

COUNTED: tuple[Metric, ...] = (
    *(MESSAGES, SEND_SECONDS, BLOCK_MESSAGES, WORK, WORK_SECONDS, HINTS_LOST),
    *(HITS, HITS_LOST, WEBHOOKS, REQUESTS, REQUEST_SECONDS),
)
"""What processes count, and what is drained from each."""

POOL = Metric(
    "envoi_database_connections",
    "Connections in a process's pool, summed by kind of process.",
    "process",
    "state",
)
BUFFER = Metric("envoi_tracking_buffer_hits", "Hits that wait to be written.")
PROCESSES = Metric("envoi_processes", "Processes that have reported lately.", "process")

REPORTED: tuple[Metric, ...] = (POOL, BUFFER, PROCESSES)
"""What each process says of itself now."""


def drain() -> Samples:
    """Return everything that this process has counted since the last time."""
    found: Samples = {}
    for metric in COUNTED:
        found |= metric.drain()
    return found
