"""The frequency cap keeps the contract of rule kinds."""

from __future__ import annotations

from typing import Any

import pytest

from envoi.plugins import Plugins
from envoi.testing import RuleKindContract
from envoi.types import RuleKindSpec


class TestFrequencyCap(RuleKindContract):
    """The kit, with the cap's own settings."""

    @pytest.fixture
    def spec(self, plugins: Plugins) -> RuleKindSpec:
        return plugins.rule_kinds["frequency_cap"]

    @pytest.fixture
    def valid(self) -> list[dict[str, Any]]:
        return [
            {},
            {"most": 0, "period": 12, "unit": "hour"},
            {"most": 3, "period": 1, "unit": "month", "channels": ["email"], "categories": [4]},
            {"most": 2, "period": 2, "unit": "day", "over_limit": "defer"},
        ]

    @pytest.fixture
    def invalid(self) -> list[dict[str, Any]]:
        return [
            {"most": -1},
            {"period": 0},
            {"unit": "year"},
            {"period": 53, "unit": "week"},
            {"most": 0, "over_limit": "defer"},
        ]

    def test_it_says_itself_in_words(self, spec: RuleKindSpec, valid: list[dict[str, Any]]) -> None:
        said = [spec.describe(spec.settings.model_validate(settings)) for settings in valid]
        assert said == [
            "At most 1 message in any week; more are dropped",
            "At most 0 messages in any 12 hours; more are dropped",
            "At most 3 messages by email of certain categories in any month; more are dropped",
            "At most 2 messages in any 2 days; more are deferred",
        ]
