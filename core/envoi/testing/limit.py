"""The contract of limits on what leaves through a gateway."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pydantic import BaseModel

from envoi.testing.contract import SettingsContract
from envoi.types import Allowance, GatewayState, LimitSpec

_FIRST = date(2026, 1, 1)


class LimitContract(SettingsContract):
    """What the core relies on when it asks a limit once for a whole day."""

    @pytest.fixture
    def spec(self) -> LimitSpec:
        """The limit under test."""
        self.missing("spec")

    @pytest.fixture
    def states(self) -> list[GatewayState]:
        days = [_FIRST + timedelta(days=n) for n in range(0, 800, 7)]
        return [GatewayState(day=day, days_used=used) for day in days for used in (0, 5, 400)]

    def test_it_answers_for_every_day(
        self, spec: LimitSpec, parsed: list[BaseModel], states: list[GatewayState]
    ) -> None:
        for settings in parsed:
            for state in states:
                answer = spec.allowance(settings, state)
                assert answer is None or isinstance(answer, Allowance)
                assert answer == spec.allowance(settings, state), "the same day, another answer"

    def test_what_it_allows_makes_sense(
        self, spec: LimitSpec, parsed: list[BaseModel], states: list[GatewayState]
    ) -> None:
        answers = [spec.allowance(s, state) for s in parsed for state in states]
        for answer in filter(None, answers):
            assert answer.per_day is None or answer.per_day >= 0
            assert answer.per_second is None or answer.per_second > 0
            for domain, count in answer.domains_per_day.items():
                assert domain == domain.strip().lower()
                assert count >= 0
