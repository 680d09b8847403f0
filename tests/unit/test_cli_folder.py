"""A command that is given in a folder without an installation says so, and makes nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from envoi.cli import commands
from envoi.errors import ConfigurationError


def test_a_command_in_another_folder_makes_no_empty_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL", "DATA_DIR"):
        monkeypatch.delenv(f"ENVOI_{name}", raising=False)
    line = ["tenant", "create", "greengrocer", "--name", "Greengrocer"]
    with pytest.raises(ConfigurationError, match=f"no database of Envoi in {tmp_path}.*ENVOI_DATA"):
        CliRunner().invoke(commands, line, catch_exceptions=False)
    assert not list(tmp_path.iterdir())
