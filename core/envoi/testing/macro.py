"""The contract of macros."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from envoi.db import Database, connect
from envoi.embedded import EmbeddedPostgres
from envoi.errors import NotIssuedError
from envoi.schema import migrate
from envoi.sending import MacroRequest
from envoi.tenants.service import create_tenant
from envoi.testing.contract import Contract
from envoi.types import MacroSpec

CUSTOMERS = (3, 5, 8, 13)


class MacroContract(Contract):
    """What the core relies on when it asks a macro for the messages of a block."""

    argument = ""
    """What the macro is called with."""

    @pytest.fixture
    def spec(self) -> MacroSpec:
        """The macro under test."""
        self.missing("spec")

    def prepare(self, connection: Connection, tenant_id: int) -> None:
        """Make what the macro gives from; nothing unless overridden."""

    @pytest.fixture(scope="class")
    @classmethod
    def macro_database(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
        """A database with the tables of every installed plugin; override it to share one."""
        with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
            database = connect(server.url)
            migrate(database.engine)
            yield database
            database.engine.dispose()

    @pytest.fixture
    def tenant(self, macro_database: Database) -> int:
        """A tenant for whom everything is prepared."""
        made = create_tenant(macro_database, slug=f"m{uuid4().hex[:12]}", name="Kit").id
        with macro_database.tenant_connection(made) as connection:
            self.prepare(connection, made)
        return made

    def test_everybody_gets_a_value_and_keeps_it(
        self, macro_database: Database, tenant: int, spec: MacroSpec
    ) -> None:
        first = self._issue(macro_database, tenant, spec, CUSTOMERS[:3])
        again = self._issue(macro_database, tenant, spec, CUSTOMERS)
        assert {*first} >= {*CUSTOMERS[:3]}
        assert {*again} >= {*CUSTOMERS}
        assert all(isinstance(again[n], str) and again[n] for n in CUSTOMERS)
        assert [first[n] for n in CUSTOMERS[:3]] == [again[n] for n in CUSTOMERS[:3]]

    def test_recalling_finds_what_was_given_and_gives_nothing(
        self, macro_database: Database, tenant: int, spec: MacroSpec
    ) -> None:
        given = self._issue(macro_database, tenant, spec, CUSTOMERS[:2])
        for _ in range(2):
            with macro_database.tenant_connection(tenant) as connection:
                found = spec.recall(self._request(connection, tenant, CUSTOMERS))
            assert dict(found) == {n: given[n] for n in CUSTOMERS[:2]}

    def test_what_was_not_taken_was_not_given(
        self, macro_database: Database, tenant: int, spec: MacroSpec
    ) -> None:
        with macro_database.tenant_connection(tenant) as connection:
            spec.issue(self._request(connection, tenant, CUSTOMERS))
            connection.rollback()
        with macro_database.tenant_connection(tenant) as connection:
            assert spec.recall(self._request(connection, tenant, CUSTOMERS)) == {}

    def test_another_company_is_another_world(
        self, macro_database: Database, tenant: int, spec: MacroSpec
    ) -> None:
        self._issue(macro_database, tenant, spec, CUSTOMERS)
        other = create_tenant(macro_database, slug=f"m{uuid4().hex[:12]}", name="Other").id
        with macro_database.tenant_connection(other) as connection:
            assert spec.recall(self._request(connection, other, CUSTOMERS)) == {}

    def test_a_wrong_argument_raises_nothing_else(
        self, macro_database: Database, tenant: int, spec: MacroSpec
    ) -> None:
        with (
            macro_database.tenant_connection(tenant) as connection,
            suppress(NotIssuedError),
        ):
            found = spec.issue(self._request(connection, tenant, CUSTOMERS, "no such argument"))
            assert {*found} >= {*CUSTOMERS}

    def test_the_example_is_a_text(self, spec: MacroSpec) -> None:
        assert spec.example(self.argument).strip()

    def _issue(
        self, database: Database, tenant: int, spec: MacroSpec, customers: Sequence[int]
    ) -> dict[int, str]:
        with database.tenant_connection(tenant) as connection:
            return dict(spec.issue(self._request(connection, tenant, customers)))

    def _request(
        self,
        connection: Connection,
        tenant: int,
        customers: Sequence[int],
        argument: str | None = None,
    ) -> MacroRequest:
        return MacroRequest(
            connection=connection,
            tenant_id=tenant,
            run_id=7,
            mailing_id=None,
            argument=self.argument if argument is None else argument,
            customer_ids=customers,
        )
