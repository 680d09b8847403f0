"""The embedded default: a real PostgreSQL and a real Valkey, started from packaged binaries."""

from envoi.embedded.postgres import EmbeddedPostgres
from envoi.embedded.stack import ServerUrls, running_servers
from envoi.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "ServerUrls", "running_servers"]
