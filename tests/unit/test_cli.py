"""The command line where it needs no server: help, exit codes, errors in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from envoi import __version__
from envoi.cli import commands

NO_SETTINGS = {name: value for name, value in os.environ.items() if not name.startswith("ENVOI_")}


def _all(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from _all(found, (*path, name))


PATHS = list(_all(commands))


def envoi(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `envoi` as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "envoi", *arguments],
        env={**NO_SETTINGS, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(commands, [*path, "--help"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("Usage: ")
    sentences = answer.output.split("\n\n")[1].strip()
    assert sentences.endswith(".")
    assert "!" not in sentences


def test_the_commands_are_those_that_are_documented() -> None:
    assert {path[0] for path in PATHS if path} == {
        *(
            "counters",
            "demo",
            "doctor",
            "gateway",
            "import",
            "key",
            "listener",
            "mailbox",
            "mailing",
        ),
        *(
            "migrate",
            "plugin",
            "scheduler",
            "segment",
            "settings",
            "simulators",
            "tenant",
            "tracking",
            "up",
        ),
        *("user", "web", "worker"),
    }
    mailing = {path[1] for path in PATHS if len(path) == 2 and path[0] == "mailing"}
    wanted = {"create", "estimate", "launch", "pause", "resume", "cancel", "report"}
    assert mailing == wanted | {"resume-after-restore"}


def test_an_unknown_command_is_a_wrong_use() -> None:
    answer = envoi("send-everything")
    assert answer.returncode == 2
    assert "No such command 'send-everything'" in answer.stderr


def test_the_version() -> None:
    assert __version__ in envoi("--version").stdout


def test_wrong_settings_are_named_in_one_sentence() -> None:
    answer = envoi("settings", ENVOI_PORT="a", ENVOI_BLOCK_SIZE="0", ENVOI_SECRET_KEY="s3cret")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: Wrong settings. ENVOI_PORT: ")
    assert "ENVOI_BLOCK_SIZE: " in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_settings_are_shown_without_secrets() -> None:
    answer = envoi("settings", "--json", ENVOI_SECRET_KEY="s3cret", ENVOI_PORT="8123")
    assert "s3cret" not in answer.stdout
    shown = {row["variable"]: row["value"] for row in json.loads(answer.stdout)}
    assert shown["ENVOI_PORT"] == "8123"


def test_a_part_of_the_product_does_not_start_without_a_database(tmp_path: Path) -> None:
    answer = envoi("web", ENVOI_DATA_DIR=str(tmp_path))
    assert answer.returncode == 1
    assert "ENVOI_DATABASE_URL" in answer.stderr
    assert "Traceback" not in answer.stderr
