"""The contract of limits on what leaves through a gateway."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from envoi.testing.contract import Contract
from envoi.types import Allowance, GatewayState, LimitSpec

_FIRST = date(2026, 1, 1)


class LimitContract(Contract):
    """What the core relies on when it asks a limit once for a whole day."""

    @pytest.fixture
    def spec(self) -> LimitSpec:
        """The limit under test."""
        self.missing("spec")

    @pytest.fixture
    def valid(self) -> list[dict[str, Any]]:
        """Settings that are accepted, covering every way the limit can answer."""
        self.missing("valid")

    @pytest.fixture
    def invalid(self) -> list[dict[str, Any]]:
        """Settings that are refused."""
        self.missing("invalid")

    @pytest.fixture
    def parsed(self, spec: LimitSpec, valid: list[dict[str, Any]]) -> list[BaseModel]:
        return [spec.settings.model_validate(settings) for settings in valid]

    @pytest.fixture
    def states(self) -> list[GatewayState]:
        days = [_FIRST + timedelta(days=n) for n in range(0, 800, 7)]
        return [GatewayState(day=day, days_used=used) for day in days for used in (0, 5, 400)]

    def test_settings_survive_storing(self, spec: LimitSpec, parsed: list[BaseModel]) -> None:
        for settings in parsed:
            stored = settings.model_dump(mode="json")
            assert spec.settings.model_validate(stored) == settings

    def test_wrong_settings_are_refused(
        self, spec: LimitSpec, invalid: list[dict[str, Any]]
    ) -> None:
        for settings in [*invalid, {"no_such_field": 1}]:
            with pytest.raises(ValidationError):
                spec.settings.model_validate(settings)

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

    def test_words_are_for_people(self, spec: LimitSpec, parsed: list[BaseModel]) -> None:
        for settings in parsed:
            assert spec.describe(settings).strip()
