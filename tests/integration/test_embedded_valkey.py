"""The embedded Valkey keeps every message, asks for a password and dies with its supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from envoi.embedded import EmbeddedValkey
from envoi.errors import ConfigurationError
from processes import is_alive, is_held, next_line, running_script, wait_until

KEEPS_A_KEY = """
import sys, time
from pathlib import Path
import redis
from envoi.embedded import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
redis.Redis.from_url(server.start()).set("kept", "42")
print(server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("with spaces " * 8) / "valkey") as running:
        yield running


@pytest.fixture
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, decode_responses=True) as connected:
        yield connected


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("port", "0"),
    ],
)
def test_loses_no_message_and_opens_no_port(client: redis.Redis, setting: str, value: str) -> None:
    assert client.config_get(setting) == {setting: value}


def test_refuses_a_client_without_the_password(server: EmbeddedValkey) -> None:
    path = str(server.socket_folder / "valkey.sock")
    with (
        redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_a_second_start_is_refused(server: EmbeddedValkey) -> None:
    with pytest.raises(ConfigurationError, match="already running"):
        EmbeddedValkey(server.home).start()


def test_dies_with_a_killed_supervisor_and_starts_again_with_its_data(tmp_path: Path) -> None:
    home = tmp_path / "valkey"
    with running_script(KEEPS_A_KEY, home) as supervisor:
        server_pid = int(next_line(supervisor))
        supervisor.kill()
        wait_until(lambda: not is_alive(server_pid), what="the server ends with its supervisor")
        wait_until(lambda: not is_held(home / "lock"), what="its threads end")
    with EmbeddedValkey(home) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"42"
