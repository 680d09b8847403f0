"""The speed of a run, from the counts of two minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.delivery.run_traffic import rate_of

MINUTE = datetime(2026, 11, 22, 9, 7, tzinfo=UTC)
COUNTS = st.integers(0, 10**6)


@given(COUNTS, COUNTS, st.floats(0, 300))
def test_the_rate_is_between_nothing_and_both_minutes(this: int, last: int, into: float) -> None:
    rate = rate_of(MINUTE, this, last, MINUTE + timedelta(seconds=into))
    assert 0 <= rate <= (this + last) / 60
    if into >= 120:
        assert rate == 0


@given(st.integers(1, 10**4), st.integers(0, 59))
def test_an_even_flow_is_told_as_it_is(per_second: int, into: int) -> None:
    now = MINUTE + timedelta(seconds=into)
    assert rate_of(MINUTE, per_second * into, per_second * 60, now) == pytest.approx(per_second)


@given(st.integers(1, 10**4), st.integers(0, 59))
def test_what_has_ended_fades(count: int, later: int) -> None:
    now = MINUTE + timedelta(seconds=60 + later)
    assert rate_of(MINUTE, count, 0, now) == pytest.approx(count * (60 - later) / 3600)
