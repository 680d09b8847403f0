"""The servers an installation works with: its own, or the embedded ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from envoi.embedded.postgres import EmbeddedPostgres
from envoi.embedded.server import EmbeddedServer
from envoi.embedded.valkey import EmbeddedValkey
from envoi.settings import Settings


@dataclass(frozen=True)
class ServerUrls:
    """Addresses of the database, as its owner, and of the queue."""

    database_url: str
    redis_url: str
    started: Sequence[EmbeddedServer] = ()

    def keep_running(self) -> None:
        """Start again what was started here and has ended by itself."""
        for server in self.started:
            server.keep_running()


@contextmanager
def running_servers(settings: Settings, *, share: bool = False) -> Iterator[ServerUrls]:
    """Give the addresses of running servers; start the embedded ones where no URL is set.

    Args:
        settings: `database_url` and `redis_url` each replace an embedded server.
        share: Use embedded servers that another process of this installation has running,
            instead of refusing to start them twice.

    Raises:
        ConfigurationError: If an embedded server cannot start.
    """
    with ExitStack() as stack:
        started: list[EmbeddedServer] = []

        def address(configured: str, server: EmbeddedServer) -> str:
            if configured or (share and server.is_running()):
                return configured or server.url
            started.append(stack.enter_context(server))
            return server.url

        yield ServerUrls(
            address(
                settings.database_url.get_secret_value(),
                EmbeddedPostgres(settings.data_dir / "postgres"),
            ),
            address(
                settings.redis_url.get_secret_value(), EmbeddedValkey(settings.data_dir / "valkey")
            ),
            started,
        )
