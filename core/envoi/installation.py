"""An installation as one object: settings, database, plugins and the way to the workers."""

from __future__ import annotations

from dataclasses import dataclass

from envoi.db import Database, connect
from envoi.errors import ConfigurationError
from envoi.jobs import Broker, connect_broker
from envoi.logs import hide
from envoi.outgoing import allow_private
from envoi.plugin_settings import open_with
from envoi.plugins import Plugins, load_plugins
from envoi.settings import Settings


@dataclass(frozen=True)
class Installation:
    """What web, workers and the command line are given; built once per process."""

    settings: Settings
    database: Database
    plugins: Plugins
    broker: Broker | None = None


def open_installation(settings: Settings, *, pool_size: int = 10) -> Installation:
    """Connect to the servers that the settings name; raise `ConfigurationError` without them."""
    hide(*settings.secrets())
    allow_private(settings.private_servers)
    open_with(settings)
    url = database_url(settings)
    database = connect(url, app_role=settings.app_role, pool_size=pool_size)
    return Installation(
        settings, database, load_plugins(), connect_broker(settings.redis_url.get_secret_value())
    )


def database_url(settings: Settings) -> str:
    """Return the address of the database; raise `ConfigurationError` without one."""
    url = settings.database_url.get_secret_value()
    if not url:
        raise ConfigurationError(
            "ENVOI_DATABASE_URL is not set, so there is no database. Start everything with"
            " `envoi up`, or set the address of a PostgreSQL server."
        )
    return url
