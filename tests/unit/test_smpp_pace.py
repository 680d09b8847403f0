"""The speed that a message centre permits is found out and kept, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envoi_provider_smpp.pace import PAUSE_SECONDS, Pace

LOOK = 0.05
"""A batch looks again after so long at the latest."""


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Centre:
    """Takes so many in each second of the clock."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock, self._limit = clock, limit
        self._second, self._count = 0, 0

    def takes(self) -> bool:
        if int(self._clock.now) != self._second:
            self._second, self._count = int(self._clock.now), 0
        self._count += 1
        return self._count <= self._limit


def sending(messages: int, limit: int, window: int = 10) -> Iterator[tuple[float, bool]]:
    """Each submit with its time, and whether it was taken."""
    clock = Clock()
    pace, centre = Pace(clock), Centre(clock, limit)
    began, left = clock.now, messages
    while left:
        for _ in range(pace.admit(min(window, left))):
            taken = centre.takes()
            left -= taken
            if taken:
                pace.taken(1)
            else:
                pace.refused()
            yield clock.now - began, taken
        clock.now += max(0.001, min(pace.wait_seconds(), LOOK))


@pytest.mark.parametrize("limit", [5, 20, 300])
def test_hardly_anything_is_refused_after_ten_seconds(limit: int) -> None:
    submits = list(sending(100 * limit, limit))
    later = [taken for at, taken in submits if at >= 10]
    assert 0 < later.count(False) < 0.05 * len(later)
    # Most of what is permitted is used.
    assert submits[-1][0] < 125


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 100))
def test_all_of_it_leaves_whatever_is_permitted(limit: int, window: int) -> None:
    submits = list(sending(3 * limit, limit, window))
    assert sum(taken for _, taken in submits) == 3 * limit


def test_nothing_is_held_back_before_a_refusal() -> None:
    pace = Pace(Clock())
    assert (pace.admit(500), pace.wait_seconds(), pace.rate) == (500, 0, inf)


def test_refusals_of_one_pause_are_one() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.taken(20)
    for _ in range(30):
        pace.refused()
    assert pace.rate == pytest.approx(18)
    assert pace.admit(5) == 0
    assert pace.wait_seconds() == pytest.approx(PAUSE_SECONDS)
    clock.now += PAUSE_SECONDS
    assert pace.admit(5) == 1
