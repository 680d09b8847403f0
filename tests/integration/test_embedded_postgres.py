"""The embedded PostgreSQL is private, survives kills and never outlives its supervisor."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from envoi.embedded import EmbeddedPostgres
from envoi.errors import ConfigurationError
from processes import is_alive, is_held, next_line, running_script, wait_until

NOBODY = 65534
LONG_NAME = "a folder with spaces and a long name " * 3

KEEPS_A_ROW = """
import sys, time
from pathlib import Path
from envoi.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
with server.connect(database="envoi") as connection:
    connection.execute("create table kept as select 42 as answer")
print(server._process.pid, flush=True)
time.sleep(600)
"""

CONNECTS_AS_NOBODY = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with uncommon modes on a path that is too long for a socket."""
    folder = tmp_path_factory.mktemp("modes") / LONG_NAME / "installation"
    folder.mkdir(parents=True)
    folder.chmod(0o710)
    folder.parent.chmod(0o701)
    return folder


@pytest.fixture(scope="module")
def server(parent: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(parent / "postgres") as running:
        yield running


def test_serves_from_a_long_path_with_spaces(server: EmbeddedPostgres) -> None:
    engine = create_engine(server.url)
    with engine.connect() as connection:
        row = connection.execute(text("select current_user, current_database(), lower('ÄЖ')")).one()
    engine.dispose()
    assert len(str(server.home)) > 107
    assert tuple(row) == ("envoi", "envoi", "äж")


def test_changes_no_mode_of_a_parent_folder(server: EmbeddedPostgres, parent: Path) -> None:
    assert stat.S_IMODE(parent.stat().st_mode) == 0o710
    assert stat.S_IMODE(parent.parent.stat().st_mode) == 0o701
    assert {parent.stat().st_uid, parent.parent.stat().st_uid} == {os.geteuid()}


def test_lets_nobody_else_into_its_folders(server: EmbeddedPostgres) -> None:
    private = [server.home, server.home / "data", server.socket_folder]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in private] == [0o700] * 3
    secrets = [server.home / "password", server.home / "superuser-password"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try to connect as another user")
def test_another_user_of_the_machine_cannot_connect(server: EmbeddedPostgres) -> None:
    path = server.socket_folder / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(str(path))
    attempt = subprocess.run(
        [sys.executable, "-c", CONNECTS_AS_NOBODY, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in attempt.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_is_told_what_to_do_when_no_user_can_reach_the_folder(tmp_path: Path) -> None:
    home = tmp_path / "postgres"
    home.mkdir(mode=0o700)
    shutil.chown(home, NOBODY, NOBODY)
    with pytest.raises(ConfigurationError, match="Start Envoi as an ordinary user"):
        EmbeddedPostgres(home).start()
    assert home.stat().st_uid == NOBODY


@pytest.mark.parametrize("user", ["envoi", "postgres"])
def test_refuses_a_wrong_password(server: EmbeddedPostgres, user: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=str(server.socket_folder), user=user, password="guess", dbname="envoi")


def test_listens_on_no_port(server: EmbeddedPostgres) -> None:
    with server.connect() as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)


def test_the_owner_is_bound_by_row_level_security(server: EmbeddedPostgres) -> None:
    with server.connect() as connection:
        rights = connection.execute(
            "select rolsuper, rolbypassrls, rolcreaterole from pg_roles"
            " where rolname = current_user"
        )
        assert rights.fetchone() == (False, False, True)


def test_a_second_start_is_refused_and_leaves_the_first_alone(server: EmbeddedPostgres) -> None:
    with pytest.raises(ConfigurationError, match="already running"):
        EmbeddedPostgres(server.home).start()
    assert server.is_running()


def test_dies_with_a_killed_supervisor_and_starts_again_with_its_data(tmp_path: Path) -> None:
    home = tmp_path / "postgres"
    with running_script(KEEPS_A_ROW, home) as supervisor:
        server_pid = int(next_line(supervisor))
        supervisor.kill()
        wait_until(lambda: not is_alive(server_pid), what="the server ends with its supervisor")
        wait_until(lambda: not is_held(home / "lock"), what="every process of the server ends")
    with EmbeddedPostgres(home) as server, server.connect(database="envoi") as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)


def test_starts_at_once_while_the_last_server_is_still_ending(tmp_path: Path) -> None:
    home = tmp_path / "postgres"
    with running_script(KEEPS_A_ROW, home) as supervisor:
        next_line(supervisor)
        supervisor.kill()
        supervisor.wait()
        with EmbeddedPostgres(home) as server, server.connect(database="envoi") as connection:
            assert connection.execute("select answer from kept").fetchone() == (42,)


def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    server.start()
    pid_file = server.home / "data" / "postmaster.pid"
    stale = pid_file.read_text()
    server.stop()
    pid_file.write_text(stale.replace(stale.split()[0], str(os.getppid()), 1))
    with server:
        assert server.is_running()
    assert not is_held(server.home / "lock")


def test_refuses_data_of_another_major_version(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(ConfigurationError, match="written by PostgreSQL 17"):
        EmbeddedPostgres(data.parent).start()
