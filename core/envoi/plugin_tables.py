"""Tables of modules: made by SQL files of theirs, protected by us like every tenant's table.

A file only says `CREATE TABLE`. Whatever tables it leaves behind are put under row-level security
and opened to the application here, so that no module can forget it; a table without a
`tenant_id` is refused. What a plugin that is gone has left stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, text

from envoi.db import one_at_a_time, table
from envoi.errors import PluginError
from envoi.plugins import Plugins
from envoi.tenants.models import PluginMigration

_TABLES = text(
    "SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid"
    " AND a.attname = 'tenant_id' AND a.attnotnull) AS has_tenant FROM pg_class c"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition"
)


def migrate_plugins(engine: Engine, plugins: Plugins, app_role: str) -> None:
    """Run the files of every plugin that were not run yet; safe to repeat.

    Raises:
        PluginError: A file failed, or made a table that cannot be protected; nothing of it stays.
    """
    for info, files in plugins.migrations():
        for file in files:
            with engine.begin() as connection:
                one_at_a_time(connection, "plugin_migration")
                if not _is_done(connection, info.name, file.stem):
                    _run(connection, info.name, file, app_role)


def _is_done(connection: Connection, plugin: str, name: str) -> bool:
    c = table(PluginMigration).c
    query = select(c.name).where(c.plugin == plugin, c.name == name)
    return connection.scalar(query) is not None


def _run(connection: Connection, plugin: str, file: Path, app_role: str) -> None:
    before = {row.relname for row in connection.execute(_TABLES)}
    try:
        connection.execute(text(file.read_text(encoding="utf-8").replace(":", r"\:")))
    except Exception as error:
        raise PluginError(plugin, f"its tables cannot be made by {file.name}: {error}") from error
    made = [row for row in connection.execute(_TABLES) if row.relname not in before]
    for found in made:
        if not found.has_tenant:
            raise PluginError(
                plugin, f"its table {found.relname} has no tenant_id that is always filled in"
            )
        _protect(connection, found.relname, app_role)
    names = sorted(row.relname for row in made)
    done = {"plugin": plugin, "name": file.stem, "tables": names}
    connection.execute(insert(table(PluginMigration)).values(done))


def _protect(connection: Connection, name: str, app_role: str) -> None:
    quote = connection.dialect.identifier_preparer.quote
    connection.execute(text("SELECT envoi_protect(to_regclass(:name))"), {"name": quote(name)})
    rights = "SELECT, INSERT, UPDATE, DELETE, MAINTAIN"
    connection.execute(text(f"GRANT {rights} ON {quote(name)} TO {quote(app_role)}"))
