"""What a gateway takes is learnt from its throttling, on a clock that only the test moves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envoi.delivery import tempo as module
from envoi.delivery.tempo import LONGEST_REST, Tempo

BEGIN = 1_000.0
BATCH = 20


class Simulated:
    """A sender, and a gateway that takes so many messages in each second of the clock."""

    def __init__(self, limit: float, patch: pytest.MonkeyPatch) -> None:
        self.now = BEGIN
        self.limit = limit
        patch.setattr(module, "monotonic", lambda: self.now)
        self.tempo = Tempo()
        self.taken: Counter[int] = Counter()
        self.throttled: Counter[int] = Counter()
        self.asked = 0

    def send(self, seconds: float, on_the_way: float = 0.002) -> None:
        """Send batches for a while, as fast as the tempo allows."""
        until = self.now + seconds
        while self.now < until:
            wait = self.tempo.wait()
            if wait > 0:
                self.now += max(wait, 0.0005)
                continue
            batch = 0
            while batch < BATCH and self.tempo.wait() <= 0:
                self.tempo.use()
                batch += 1
            self.now += on_the_way
            self._answer(batch)

    def _answer(self, count: int) -> None:
        self.asked += 1
        second = int(self.now)
        taken = min(count, max(0, int(self.limit) - self.taken[second]))
        self.taken[second] += taken
        self.throttled[second] += count - taken
        if taken:
            self.tempo.taken(taken)
        if taken < count:
            self.tempo.throttled()

    def after(self, seconds: int) -> tuple[int, int]:
        """How many were taken and throttled from then on."""
        since = int(BEGIN) + seconds
        counts = (self.taken, self.throttled)
        taken, throttled = (sum(n for s, n in c.items() if s >= since) for c in counts)
        return taken, throttled


@settings(max_examples=30)
@example(20)
@given(st.integers(10, 1_500))
def test_it_settles_a_little_below_what_a_gateway_takes(limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        simulated = Simulated(limit, patch)
        simulated.send(100)
        taken, throttled = simulated.after(10)
    assert throttled < 0.05 * (taken + throttled)
    assert taken > 0.7 * 90 * limit


def test_it_finds_a_limit_that_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = Simulated(1_000, monkeypatch)
    simulated.send(20)
    simulated.limit = 20
    simulated.send(30)
    taken, throttled = simulated.after(30)
    assert throttled < 0.1 * (taken + throttled)
    simulated.limit = 1_000
    simulated.send(90)
    assert simulated.after(130)[0] > 5_000, "and that it is gone"


def test_a_gateway_that_only_throttles_is_asked_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated = Simulated(0, monkeypatch)
    simulated.send(600)
    assert simulated.asked < 10 + 600 / LONGEST_REST


def test_without_throttling_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = Simulated(100_000, monkeypatch)
    simulated.send(2)
    assert simulated.after(0)[0] > 15_000
    assert simulated.tempo.rests_until() is None
