"""Quiet hours keep the contract of rule kinds."""

from __future__ import annotations

from typing import Any

import pytest

from envoi.plugins import Plugins
from envoi.testing import RuleKindContract
from envoi.types import RuleKindSpec


class TestQuietHours(RuleKindContract):
    """The kit, with the hours' own settings."""

    @pytest.fixture
    def spec(self, plugins: Plugins) -> RuleKindSpec:
        return plugins.rule_kinds["quiet_hours"]

    @pytest.fixture
    def valid(self) -> list[dict[str, Any]]:
        return [
            {},
            {"begin": "13:00", "end": "15:30", "in_quiet": "drop"},
            {"begin": "23:59", "end": "00:00"},
        ]

    @pytest.fixture
    def invalid(self) -> list[dict[str, Any]]:
        return [
            {"begin": "25:00"},
            {"begin": "08:00", "end": "08:00"},
            {"in_quiet": "maybe"},
        ]

    def test_it_says_itself_in_words(self, spec: RuleKindSpec, valid: list[dict[str, Any]]) -> None:
        said = [spec.describe(spec.settings.model_validate(settings)) for settings in valid]
        assert said == [
            "Quiet from 22:00 to 08:00 by the customer's clock; messages wait until they end",
            "Quiet from 13:00 to 15:30 by the customer's clock; messages are dropped",
            "Quiet from 23:59 to 00:00 by the customer's clock; messages wait until they end",
        ]
