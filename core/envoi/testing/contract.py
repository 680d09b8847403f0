"""What all contract kits share."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from pydantic import BaseModel, ValidationError


class Contract:
    """The base of kits: a kit itself is never collected, whoever inherits it is."""

    __test__ = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__test__ = cls.__name__.startswith("Test")

    def missing(self, name: str) -> NoReturn:
        """Fail because the inheriting class gives no fixture of this name."""
        pytest.fail(f"{type(self).__name__} must give the fixture {name}")


class SettingsContract(Contract):
    """What the core relies on when it stores a plugin's settings and says them in words."""

    @pytest.fixture
    def spec(self) -> Any:
        """The descriptor under test."""
        self.missing("spec")

    @pytest.fixture
    def valid(self) -> list[dict[str, Any]]:
        """Settings that are accepted, covering every way the plugin can answer."""
        self.missing("valid")

    @pytest.fixture
    def invalid(self) -> list[dict[str, Any]]:
        """Settings that are refused."""
        self.missing("invalid")

    @pytest.fixture
    def parsed(self, spec: Any, valid: list[dict[str, Any]]) -> list[BaseModel]:
        return [spec.settings.model_validate(settings) for settings in valid]

    def test_settings_survive_storing(self, spec: Any, parsed: list[BaseModel]) -> None:
        for settings in parsed:
            stored = settings.model_dump(mode="json")
            assert spec.settings.model_validate(stored) == settings

    def test_wrong_settings_are_refused(self, spec: Any, invalid: list[dict[str, Any]]) -> None:
        for settings in [*invalid, {"no_such_field": 1}]:
            with pytest.raises(ValidationError):
                spec.settings.model_validate(settings)

    def test_settings_are_said_in_words(self, spec: Any, parsed: list[BaseModel]) -> None:
        for settings in parsed:
            assert spec.describe(settings).strip()
