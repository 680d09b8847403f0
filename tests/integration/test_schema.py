"""The catalogue: every tenant's table is closed, and nothing else has been opened."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from envoi.customers.models import Customer
from envoi.db import Database
from envoi.schema import PARTITIONED, TABLES_WITHOUT_RLS, all_tables, migrate, unrestricted

TABLES = text(
    "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,"
    " (SELECT string_agg(p.polcmd::text || ':' || pg_get_expr(p.polqual, c.oid) || ':'"
    "   || pg_get_expr(p.polwithcheck, c.oid), '|')"
    "   FROM pg_policy p WHERE p.polrelid = c.oid) AS policy,"
    " (SELECT string_agg(DISTINCT g.privilege_type, ',' ORDER BY g.privilege_type)"
    "   FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner) AS granted"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
)
STRICT = "(tenant_id = (current_setting('envoi.tenant_id'::text))::integer)"


def test_every_table_of_tenants_is_closed(database: Database) -> None:
    with database.engine.connect() as connection:
        tables = connection.execute(TABLES).all()
    assert len(tables) > 30
    for found in tables:
        if found.relname in TABLES_WITHOUT_RLS:
            continue
        assert found.relrowsecurity, found.relname
        assert found.relforcerowsecurity, found.relname
        command, using, check = found.policy.split(":", 1)[0], *_expressions(found.policy)
        assert command == "*", found.relname
        assert STRICT in using, found.relname
        assert check == STRICT, found.relname


def test_rights_end_at_rows(database: Database) -> None:
    with database.engine.connect() as connection:
        tables = connection.execute(TABLES).all()
    for found in tables:
        if found.relispartition:
            assert found.granted is None, found.relname
        else:
            assert "TRUNCATE" not in (found.granted or ""), found.relname
    granted = {t.relname: t.granted for t in tables}
    assert granted["consent_log"] == "INSERT,MAINTAIN,SELECT"
    assert granted["alembic_version"] is None


def test_no_view_bypasses_the_policies(database: Database) -> None:
    query = text(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('v', 'm')"
    )
    with database.engine.connect() as connection:
        assert connection.execute(query).all() == []


def test_the_application_role_is_ordinary(database: Database) -> None:
    query = text(
        "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = 'envoi_app'"
    )
    with database.engine.connect() as connection:
        assert tuple(connection.execute(query).one()) == (False, False, False)
        owner = connection.execute(
            text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        ).one()
    assert tuple(owner) == (False, False)


def test_without_a_tenant_a_statement_fails(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("SELECT set_config('role', 'envoi_app', true)"))
        with pytest.raises(DBAPIError, match=r"envoi.tenant_id|invalid input syntax"):
            connection.execute(text("SELECT count(*) FROM customer"))


def test_a_tenant_sees_and_writes_only_its_own(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        session.add(Customer(tenant_id=tenant_id, external_id="C-1", bucket=0))
    with database.tenant_session(tenant_id + 1_000_000) as session:
        assert session.execute(text("SELECT count(*) FROM customer")).scalar_one() == 0
    foreign = text("INSERT INTO customer (tenant_id, external_id, bucket) VALUES (:t, 'C-2', 0)")
    with (
        pytest.raises(ProgrammingError, match="row-level security"),
        database.tenant_session(tenant_id) as s,
    ):
        s.execute(foreign, {"t": tenant_id + 1})


def test_nothing_of_a_tenant_stays_on_a_connection(database: Database, tenant_id: int) -> None:
    # Other tests may have left several connections in the pool.
    database.engine.dispose()
    with database.tenant_session(tenant_id) as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with database.engine.connect() as connection:
        row = connection.execute(
            text("SELECT pg_backend_pid(), current_setting('envoi.tenant_id', true), current_user")
        ).one()
    assert row[0] == pid
    assert row[1] in ("", None)
    assert row[2] != "envoi_app"


def test_partitions_cannot_be_read_directly(database: Database, tenant_id: int) -> None:
    query = text(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:p AS regclass)"
    )
    with database.engine.connect() as connection:
        children = [connection.execute(query, {"p": p}).scalars().all() for p in PARTITIONED]
    for child in (c for family in children for c in family if not c.endswith(("_idx", "_pkey"))):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            database.tenant_session(tenant_id) as s,
        ):
            s.execute(text(f"SELECT count(*) FROM {child}"))


def test_unrestricted_shows_the_owner_all_rows_and_closes_again(
    database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        session.add(Customer(tenant_id=tenant_id, external_id="C-1", bucket=0))
    count = text("SELECT count(*) FROM customer")
    with database.engine.begin() as connection, unrestricted(connection, "customer"):
        assert connection.execute(count).scalar_one() >= 1
    with pytest.raises(DBAPIError), database.engine.begin() as connection:
        connection.execute(count)


def test_migrations_and_models_agree(database: Database) -> None:
    migrate(database.engine)
    parents = set(all_tables().tables)
    options = {"include_object": lambda thing, name, kind, *_: kind != "table" or name in parents}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, all_tables()) == []


def _expressions(policy: str) -> tuple[str, str]:
    using, check = policy.split(":", 1)[1].rsplit(":(tenant_id", 1)
    return using, "(tenant_id" + check
