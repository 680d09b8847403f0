"""The schema as a whole: every table, how a tenant's tables are protected, and migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, text

from envoi.db import metadata
from envoi.plugin_tables import migrate_plugins
from envoi.plugins import load_plugins

_DOMAINS = (
    "accounts",
    "customers",
    "delivery",
    "exports",
    "feedback",
    "library",
    "mailings",
    "operations",
    "policies",
    "receipts",
    "segments",
    "subscriptions",
    "target_audiences",
    "tenants",
    "tracking",
)

TABLES_WITHOUT_RLS = {
    "tenant": "read before the tenant is known; holds only names",
    "account": "login comes before the tenant",
    "due_work": "the scheduler reads it for all tenants at once; holds only numbers",
    "inbound_route": "finds the tenant of a webhook by an opaque key",
    "time_zone": "a dictionary, the same for everybody",
    "sender": "a sending process works for every tenant",
    "instance": "tells a restored copy from the database that sends; holds one row",
    "door": "says when a way in was last looked after; serves every tenant",
    "chore": "says when the scheduler did what; serves every tenant",
    "plugin_migration": "the migrations' own, of modules",
    "alembic_version": "the migrations' own",
}
"""Every table without row-level security, with its reason; compared with the catalogue."""

PARTITIONED = ("message", "message_event")


def all_tables() -> MetaData:
    """Import every model and return the metadata that holds all tables."""
    for domain in _DOMAINS:
        import_module(f"envoi.{domain}.models")
    return metadata


def alembic_config(app_role: str = "envoi_app") -> Config:
    """Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["app_role"] = app_role
    return config


def migrate(engine: Engine, app_role: str = "envoi_app", revision: str = "head") -> None:
    """Bring the database of this owner's engine to a revision; safe to repeat.

    The newest revision also has the tables of every installed module.
    """
    config = alembic_config(app_role)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        make_months(connection)
        _seed_time_zones(connection)
    if revision == "head":
        migrate_plugins(engine, load_plugins(), app_role)


def _seed_time_zones(connection: Connection) -> None:
    """Number the time zones that this machine knows; numbers given once stay."""
    connection.execute(
        text(
            "INSERT INTO time_zone (id, name) SELECT coalesce((SELECT max(id) FROM time_zone), 0)"
            " + row_number() OVER (ORDER BY name), name FROM unnest(CAST(:names AS text[])) AS name"
            " WHERE name NOT IN (SELECT name FROM time_zone)"
        ),
        {"names": sorted(available_timezones())},
    )


def make_months(connection: Connection, *, ahead: int = 3, today: date | None = None) -> None:
    """Make the ledger's partitions for this month and the months ahead; safe to repeat."""
    first = (today or date.today()).replace(day=1)
    for _ in range(ahead + 1):
        make_month(connection, first)
        first = _next_month(first)


def make_month(connection: Connection, month: date) -> None:
    """Make the ledger's partitions for one month; any role may ask, the owner does it."""
    for parent in PARTITIONED:
        connection.execute(
            text("SELECT envoi_make_month(:parent, :month)"), {"parent": parent, "month": month}
        )


@contextmanager
def unrestricted(connection: Connection, *tables: str) -> Iterator[None]:
    """Let the owner see all rows of these tables inside the open transaction.

    Under FORCE an UPDATE in a migration touches no row and raises no error.
    """
    for table in tables:
        connection.execute(text(f"ALTER TABLE {_quoted(table)} NO FORCE ROW LEVEL SECURITY"))
    try:
        yield
    finally:
        for table in tables:
            connection.execute(text(f"ALTER TABLE {_quoted(table)} FORCE ROW LEVEL SECURITY"))


def _quoted(table: str) -> str:
    if not table.replace("_", "").isalnum():
        raise ValueError(f"{table!r} is no table name")
    return f'"{table}"'


def _next_month(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def describe(connection: Connection) -> dict[str, Any]:
    """Tell the applied revision and the newest one there is."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    return {"applied": current, "newest": head}
