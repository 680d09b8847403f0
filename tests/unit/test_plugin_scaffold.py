"""`envoi plugin new`, `check` and `list`: what is written, and what is found to be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from distributions import lay_out
from envoi.cli import commands
from envoi.cli.scaffold import KINDS, write_plugin
from envoi.errors import ConflictError, EnvoiError, ValidationFailedError

BAD = """
from envoi.types import MacroSpec, MenuItem
from pydantic import Field

class Open(BaseModel):
    api_key: str
    host: str = Field("", title="Host")

@hookimpl
def register_providers():
    yield ProviderSpec(name="acme", label="Acme", channel="pigeon", settings=Open, factory=None,
        capabilities=frozenset({"telepathy"}))

@hookimpl
def register_macros():
    yield MacroSpec(name="acme_code", label="Code", issue=None, recall=None, example=len)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a distribution of one module, see `lay_out`."""
    monkeypatch.syspath_prepend(tmp_path)
    return partial(lay_out, tmp_path)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield
    structlog.reset_defaults()


def envoi(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["plugin", *arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_the_check(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    made = envoi("new", f"acme-new-{kind}", "--kind", kind, "--directory", str(folder))
    assert made.exit_code == 0
    assert (folder / f"envoi_acme_new_{kind}" / "py.typed").exists()
    assert "$" not in "".join(p.read_text() for p in folder.rglob("*.*") if p.is_file())
    checked = envoi("check", str(folder))
    assert checked.exit_code == 0, checked.output
    assert f"acme_new_{kind}" in checked.output


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match="is not empty"):
        write_plugin("acme", "rule", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["", "Acme", "1st", "a b", "../up", "a" * 31, "a--b"])
def test_names_are_those_of_plugins(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailedError):
        write_plugin(name, "rule", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_check_names_everything_that_is_wrong(install: Callable[..., None]) -> None:
    install(BAD)
    said = envoi("check", "acme")
    assert said.exit_code == 1
    for part in (
        "api_key looks like a secret",
        "api_key has no title",
        'extra="forbid"',
        "telepathy",
        "pigeon",
        "macro acme_code: example: it returned 6",
    ):
        assert part in said.output


def test_the_check_says_why_a_plugin_does_not_load(install: Callable[..., None]) -> None:
    install("raise RuntimeError('no licence')")
    said = envoi("check", "acme")
    assert said.exit_code == 1
    assert "no licence" in said.output
    assert envoi("check", "nobody").exit_code == 1


def test_a_folder_without_a_plugin_is_said(tmp_path: Path) -> None:
    said = envoi("check", str(tmp_path))
    assert isinstance(said.exception, EnvoiError)
    assert "pyproject.toml" in str(said.exception)


def test_the_list_is_for_people_and_for_programs(install: Callable[..., None]) -> None:
    install("raise RuntimeError('no licence')")
    shown = envoi("list").output
    assert "channel-email  envoi 0.1.0, on until a company switches it off\n" in shown
    assert "\n    channel email, provider smtp\n" in shown
    assert "acme  envoi-acme, left out\n    it cannot be imported" in shown
    found = json.loads(envoi("list", "--json").output)
    assert "channel-email" in {info["name"] for info in found["plugins"]}
    assert [left["name"] for left in found["left_out"]] == ["acme"]
