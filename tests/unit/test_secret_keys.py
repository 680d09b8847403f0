"""Keys are made once, rotated in place, and those of before go on opening what they closed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from envoi.cli.keys import key
from envoi.errors import ConfigurationError
from envoi.secrets import KEY_FILE, SecretBox, environment_of, rotate_kept_key, secret_keys
from envoi.settings import Settings, load_settings
from envoi.tracking.tokens import InvalidTokenError, MessageRef, TokenKind, signer_of

REF = MessageRef(tenant_id=7, run_id=12, customer_id=98, launched_on=date(2026, 5, 17), step=1)


def test_a_folder_makes_its_key_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert secret_keys(settings) == secret_keys(settings)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_links_and_passwords_outlive_two_rotations(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    token = signer_of(settings).sign(REF, TokenKind.UNSUBSCRIBE)
    sealed = SecretBox(settings).seal(b"a password", "7:gateway:1")
    assert [rotate_kept_key(settings) for _ in range(2)] == [1, 2]
    assert signer_of(settings).read(token).message == REF
    assert SecretBox(settings).open(sealed, "7:gateway:1") == b"a password"
    assert signer_of(settings).sign(REF, TokenKind.UNSUBSCRIBE) != token
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == [KEY_FILE]


def test_new_ones_are_made_with_the_new_key_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    before = secret_keys(settings)
    rotate_kept_key(settings)
    old = Settings(data_dir=tmp_path, secret_key=SecretStr(before[0]))
    with pytest.raises(InvalidTokenError):
        signer_of(old).read(signer_of(settings).sign(REF, TokenKind.CLICK))
    with pytest.raises(ConfigurationError, match="enter the password again"):
        SecretBox(old).open(SecretBox(settings).seal(b"x", "7:gateway:1"), "7:gateway:1")
    with pytest.raises(ConfigurationError):
        SecretBox(settings).open(SecretBox(settings).seal(b"x", "7:gateway:1"), "8:gateway:1")


def test_child_processes_know_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path)
    secret_keys(settings)
    rotate_kept_key(settings)
    key_now, *former = secret_keys(settings)
    given = Settings(
        data_dir=tmp_path,
        secret_key=SecretStr(key_now),
        former_secret_keys=tuple(map(SecretStr, former)),
    )
    for name, value in environment_of(given).items():
        monkeypatch.setenv(name, value)
    assert secret_keys(load_settings()) == [key_now, *former]


def test_the_command_rotates_the_folder_or_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVOI_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ENVOI_SECRET_KEY", raising=False)
    done = CliRunner().invoke(key, ["rotate"])
    assert done.exit_code == 0
    assert "1 of before" in done.output
    assert len(secret_keys(load_settings())) == 2

    monkeypatch.setenv("ENVOI_SECRET_KEY", "a key of the environment, long enough")
    done = CliRunner().invoke(key, ["rotate"])
    first, second = done.output.splitlines()
    assert first.startswith("ENVOI_SECRET_KEY=")
    variable, _, value = second.partition("=")
    assert variable == "ENVOI_FORMER_SECRET_KEYS"
    assert json.loads(value.strip("'")) == ["a key of the environment, long enough"]
    assert len((tmp_path / KEY_FILE).read_text().split()) == 2


def test_a_spoiled_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("short")
    with pytest.raises(ConfigurationError, match="holds no usable key"):
        secret_keys(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("value", ["", "a plain key", '{"a": 1}', "[1]"])
def test_a_list_that_is_none_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVOI_FORMER_SECRET_KEYS", value)
    with pytest.raises(ConfigurationError, match=r"(?i)former_secret_keys"):
        load_settings()
