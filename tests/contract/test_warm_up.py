"""The warm-up keeps the contract of limits, and grows as it says."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.plugins import Plugins, load_plugins
from envoi.testing import LimitContract
from envoi.types import Allowance, GatewayState, LimitSpec

START = date(2026, 11, 2)


class TestWarmUp(LimitContract):
    """The kit, with the ramp's own settings."""

    @pytest.fixture
    def spec(self, plugins: Plugins) -> LimitSpec:
        return plugins.limits["warmup"]

    @pytest.fixture
    def valid(self) -> list[dict[str, Any]]:
        return [
            {"start": "2026-02-01"},
            {"start": "2026-02-01", "first_day": 1_000_000, "growth": 10, "days": 365},
            {"start": "2026-02-01", "only_days_used": True, "domains": {"Gmail.com ": 50}},
        ]

    @pytest.fixture
    def invalid(self) -> list[dict[str, Any]]:
        return [
            {},
            {"start": "2026-02-01", "growth": 0.5},
            {"start": "2026-02-01", "first_day": 0},
            {"start": "2026-02-01", "domains": {"gmail": 5}},
            {"start": "2026-02-01", "domains": {"gmail.com": 0}},
        ]

    def test_it_says_itself_in_words(self, spec: LimitSpec, valid: list[dict[str, Any]]) -> None:
        said = [spec.describe(spec.settings.model_validate(settings)) for settings in valid]
        assert said == [
            "400 messages on 01.02.2026, each day 1.5 times as many, until 22.02.2026",
            "1,000,000 messages on 01.02.2026, each day 10 times as many, until 01.02.2027",
            "400 messages on 01.02.2026, each day 1.5 times as many",
        ]


SPEC = load_plugins().limits["warmup"]


def allowed(day: int, used: int = 0, **settings: Any) -> Allowance | None:
    parsed = SPEC.settings.model_validate({"start": START, **settings})
    return SPEC.allowance(parsed, GatewayState(day=START + timedelta(days=day), days_used=used))


def test_it_grows_from_day_to_day_and_ends() -> None:
    found = [allowed(day, days=3, growth=2, domains={"gmail.com": 10}) for day in range(-1, 4)]
    assert found == [
        Allowance(per_day=0),
        Allowance(per_day=400, domains_per_day={"gmail.com": 10}),
        Allowance(per_day=800, domains_per_day={"gmail.com": 20}),
        Allowance(per_day=1_600, domains_per_day={"gmail.com": 40}),
        None,
    ]


def test_idle_days_may_be_no_steps() -> None:
    assert allowed(30, used=1, only_days_used=True, growth=2) == Allowance(per_day=800)
    assert allowed(30, used=21, only_days_used=True) is None


@given(first=st.integers(1, 1_000_000), growth=st.floats(1, 10), days=st.integers(1, 365))
def test_no_day_allows_less_than_the_one_before(first: int, growth: float, days: int) -> None:
    ramp = [allowed(d, first_day=first, growth=growth, days=days) for d in (0, days // 2, days - 1)]
    counts = [answer.per_day or 0 for answer in ramp if answer]
    assert len(counts) == 3
    assert first <= counts[0] <= counts[1] <= counts[2] < 2**31
