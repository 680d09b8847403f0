"""Every hook has a heading with its exact signature, a sentence, and a test."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from envoi import hookspecs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins" / "hooks.md").read_text(encoding="utf-8")
HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "envoi_spec")
}


def _signature(name: str) -> str:
    """The signature as it is written; annotations are texts in that module."""
    found = inspect.signature(HOOKS[name])
    arguments = ", ".join(f"{p.name}: {p.annotation}" for p in found.parameters.values())
    return f"{name}({arguments}) -> {found.return_annotation}"


def test_there_are_hooks() -> None:
    assert len(HOOKS) == 14


@pytest.mark.parametrize("name", HOOKS)
def test_the_heading_is_the_signature(name: str) -> None:
    assert f"\n## {_signature(name)}\n" in PAGE


def test_no_heading_without_a_hook() -> None:
    headings = re.findall(r"^## (\w+)", PAGE, re.MULTILINE)
    assert headings == list(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_docstring_is_one_sentence(name: str) -> None:
    [line] = (inspect.getdoc(HOOKS[name]) or "").splitlines()
    assert line.endswith(".")


def test_every_hook_has_a_test() -> None:
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    tested = set(re.findall(r"def test_hook_(\w+)\(", written))
    assert tested == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_used_by_a_plugin_of_ours_and_by_the_partner(name: str) -> None:
    folders = [ROOT / "plugins", ROOT / "web", ROOT / "workers"]
    ours = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    partner = "".join(
        path.read_text() for path in (ROOT / "tests/fixtures/partner_plugin").rglob("*.py")
    )
    assert f"def {name}(" in ours
    # Background jobs are the one thing that a partner has no use for yet.
    assert f"def {name}(" in partner or name == "register_actors"
