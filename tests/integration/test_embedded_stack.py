"""The installation's servers: embedded ones by default, none where a URL is set."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
import redis

from envoi.embedded import running_servers
from envoi.errors import ConfigurationError
from envoi.settings import Settings, load_settings
from processes import is_alive, is_held, next_line, running_script, wait_until

WHOLE_STACK = """
import sys
from pathlib import Path
from envoi.embedded import running_servers
from envoi.settings import load_settings
from envoi.supervisor import ChildSpec, Supervisor
sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
with running_servers(load_settings(data_dir=Path(sys.argv[1]))) as servers:
    children = [ChildSpec(name, [sys.executable, "-c", sleeper]) for name in ("web", "worker")]
    Supervisor(children, every_second=servers.keep_running).run()
print("ended", flush=True)
"""


def settings_for(folder: Path, **urls: str) -> Settings:
    return load_settings(data_dir=folder, **urls)


def test_with_both_urls_set_nothing_is_started(tmp_path: Path) -> None:
    urls = {"database_url": "postgresql+psycopg://own.test/envoi", "redis_url": "redis://own.test"}
    with running_servers(settings_for(tmp_path / "var", **urls)) as servers:
        assert (servers.database_url, servers.redis_url) == tuple(urls.values())
        assert servers.started == []
    assert not (tmp_path / "var").exists()


def test_embedded_servers_are_shared_within_an_installation_and_restarted(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "var")
    with running_servers(settings) as servers:
        with running_servers(settings, share=True) as shared:
            assert shared.started == []
            assert shared.database_url == servers.database_url
        with pytest.raises(ConfigurationError, match="already running"), running_servers(settings):
            pass
        queue = redis.Redis.from_url(servers.redis_url)
        os.kill(queue.info()["process_id"], signal.SIGKILL)
        queue.close()

        def answers_again() -> bool:
            servers.keep_running()
            with redis.Redis.from_url(servers.redis_url) as client:
                try:
                    return bool(client.ping())
                except redis.ConnectionError:
                    return False

        wait_until(answers_again, what="a killed Valkey is started again")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_within_ten_seconds(
    tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "var"
    with running_script(WHOLE_STACK, home) as supervisor:
        children = [int(next_line(supervisor).split("|")[1]) for _ in range(2)]
        began = time.monotonic()
        supervisor.send_signal(number)
        assert next_line(supervisor) == "ended"
        assert supervisor.wait() == 0
        assert time.monotonic() - began < 10
    assert not any(map(is_alive, children))
    assert not is_held(home / "postgres" / "lock")
    assert not is_held(home / "valkey" / "lock")


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    home = tmp_path / "var"
    with running_script(WHOLE_STACK, home) as supervisor:
        children = [int(next_line(supervisor).split("|")[1]) for _ in range(2)]
        supervisor.kill()
        wait_until(lambda: not any(map(is_alive, children)), what="the children end")
        locks = [home / server / "lock" for server in ("postgres", "valkey")]
        wait_until(lambda: not any(map(is_held, locks)), what="both servers end")
    with running_servers(settings_for(home)) as servers:
        address = servers.database_url.replace("+psycopg", "")
        with psycopg.connect(address) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
