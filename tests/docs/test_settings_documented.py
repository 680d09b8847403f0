"""The documents that are made from the settings are fresh, and every setting says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from envoi.cli.documents import Setting, all_settings, example, markdown

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("setting", list(all_settings()), ids=lambda s: s.variable)
def test_every_setting_has_a_meaning(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert "|" not in setting.meaning


def test_the_page_is_fresh() -> None:
    page = (ROOT / "docs" / "operators" / "settings.md").read_text(encoding="utf-8")
    assert page == markdown(), "run `envoi settings --markdown > docs/operators/settings.md`"


def test_the_example_is_fresh() -> None:
    found = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert found == example(), "run `envoi settings --env > .env.example`"
