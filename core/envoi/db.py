"""The one way to the database: an engine of the owner, and sessions that are a tenant's.

Every transaction begins with one round trip that takes on the application role and the
tenant; both end with the transaction, so nothing leaks through a pool. The owner's own
sessions are for migrations, the launcher and the few tables without row-level security.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, func, select, text
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: MetaData = SQLModel.metadata
metadata.naming_convention = NAMING


def table(model: type[SQLModel]) -> Table:
    """Return a model's table, for statements in SQLAlchemy Core."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


NO_TENANT = 0
"""Stands for "no tenant yet" where a policy also admits an account's own rows."""

# A generic plan made for an average tenant cost 290 ms instead of 1.1 ms, and the settings of
# a role are not taken on by SET ROLE, so the plan mode travels with the role in one round trip.
_ENTER = text(
    "SELECT set_config('role', :role, true), set_config('envoi.tenant_id', :tenant, true),"
    " set_config('envoi.account_id', :account, true),"
    " set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('synchronous_commit', :durable, true)"
)


Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction on a connection that is held."""


@dataclass(frozen=True)
class Database:
    """An engine together with the role under which tenants' work runs."""

    engine: Engine
    app_role: str = "envoi_app"

    @contextmanager
    def tenant_session(self, tenant_id: int, *, durable: bool = True) -> Iterator[Session]:
        """Open a transaction that sees and changes exactly one tenant.

        Args:
            tenant_id: The tenant; commits at the end, rolls back on an error.
            durable: False lets the commit return before it is on disk, allowed only for hits.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            self._enter(session.connection(), tenant_id, durable=durable)
            yield session

    @contextmanager
    def tenant_connection(self, tenant_id: int, *, durable: bool = True) -> Iterator[Connection]:
        """Like `tenant_session`, for SQLAlchemy Core and COPY."""
        with self.engine.begin() as connection:
            self._enter(connection, tenant_id, durable=durable)
            yield connection

    @contextmanager
    def tenant_transactions(self, tenant_id: int) -> Iterator[Transaction]:
        """Hold one connection for several transactions of a tenant.

        Temporary tables may outlive a transaction and end with the connection.
        """
        with self.engine.connect() as connection:

            @contextmanager
            def transaction() -> Iterator[Connection]:
                with connection.begin():
                    self._enter(connection, tenant_id)
                    yield connection

            try:
                yield transaction
            finally:
                connection.invalidate()

    @contextmanager
    def account_session(self, account_id: int) -> Iterator[Session]:
        """Open a transaction that sees an account's own memberships and no tenant."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            self._enter(session.connection(), NO_TENANT, account_id=account_id)
            yield session

    @contextmanager
    def system_session(self) -> Iterator[Session]:
        """Open a transaction of the owner, for the tables that belong to no tenant.

        Under FORCE the owner sees no row of any tenant's table.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _enter(
        self, connection: Connection, tenant_id: int, *, account_id: int = 0, durable: bool = True
    ) -> None:
        parameters = {
            "role": self.app_role,
            "tenant": str(tenant_id),
            "account": str(account_id),
            "durable": "on" if durable else "off",
        }
        connection.execute(_ENTER, parameters)


def storable(text: str) -> str:
    """A text without what a database cannot hold, such as halves of characters from outside."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def one_at_a_time(session: Session | Connection, what: str) -> None:
    """Let transactions that name the same follow each other: the next waits for this one's end."""
    lock = func.pg_advisory_xact_lock(func.hashtextextended(what, 0))
    session.execute(select(lock))


def connect(
    url: str, *, app_role: str = "envoi_app", pool_size: int = 10, **options: Any
) -> Database:
    """Make the engine for an owner's URL (`postgresql://` is taken as psycopg 3)."""
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_recycle=1800,
        # An error's text is logged and shown, and the values could be anybody's address.
        hide_parameters=True,
        **options,
    )
    return Database(engine, app_role)
