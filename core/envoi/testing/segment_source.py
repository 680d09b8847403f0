"""The contract of segment sources."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from envoi import hookimpl
from envoi.customers.models import Customer
from envoi.db import Database, connect, table
from envoi.embedded import EmbeddedPostgres
from envoi.plugins import Plugins, load_plugins
from envoi.schema import migrate
from envoi.segments.compile import customer_ids
from envoi.tenants.models import EnabledPlugin
from envoi.tenants.service import create_tenant
from envoi.testing.contract import Contract
from envoi.types import Catalogue, SegmentSourceSpec

CUSTOMERS = tuple(f"C-{number}" for number in range(1, 21))
"""External ids of the customers that the kit makes; buckets go up with the number."""


class SegmentSourceContract(Contract):
    """What the core relies on when it puts a source's answer into a segment."""

    @pytest.fixture
    def spec(self) -> SegmentSourceSpec:
        """The source under test."""
        self.missing("spec")

    @abstractmethod
    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        """Return settings that hold for some of the kit's customers once they are prepared."""

    @abstractmethod
    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        """Make what the source looks at; return the external ids that it must find."""

    @pytest.fixture(scope="class")
    @classmethod
    def segment_database(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
        """A migrated database; override it where the tests share one."""
        with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
            database = connect(server.url)
            migrate(database.engine)
            yield database
            database.engine.dispose()

    @pytest.fixture
    def loaded(self, spec: SegmentSourceSpec) -> Plugins:
        """Every installed plugin, and the source under test where it is not installed."""
        installed = load_plugins()
        if spec.name in installed.segment_sources:
            return installed
        brings = SimpleNamespace(register_segment_sources=hookimpl(lambda: [spec]))
        return load_plugins([("under-test", brings)])

    @pytest.fixture
    def tenant(self, segment_database: Database, loaded: Plugins, spec: SegmentSourceSpec) -> int:
        """A tenant with the source on and the kit's customers."""
        return self._tenant(segment_database, loaded, spec, CUSTOMERS)

    def test_finds_exactly_its_customers_each_once(
        self,
        segment_database: Database,
        loaded: Plugins,
        tenant: int,
        spec: SegmentSourceSpec,
    ) -> None:
        with segment_database.tenant_session(tenant) as session:
            expected = self.prepare(session, tenant)
            found = self._found(session, tenant, loaded, self._tree(session, tenant, spec))
        assert sorted(found) == sorted(set(expected))

    def test_composes_with_not_any_and_all(
        self,
        segment_database: Database,
        loaded: Plugins,
        tenant: int,
        spec: SegmentSourceSpec,
    ) -> None:
        first = _is("C-1")
        with segment_database.tenant_session(tenant) as session:
            expected = set(self.prepare(session, tenant))
            condition = self._tree(session, tenant, spec)
            outside = self._found(session, tenant, loaded, {"not": [condition]})
            twice = self._found(session, tenant, loaded, {"not": [{"not": [condition]}]})
            either = self._found(session, tenant, loaded, {"any": [condition, first, condition]})
            both = self._found(session, tenant, loaded, {"all": [condition, first]})
            neither = self._found(session, tenant, loaded, {"not": [condition, first]})
        assert sorted(outside) == sorted(set(CUSTOMERS) - expected)
        assert sorted(twice) == sorted(expected)
        assert sorted(either) == sorted(expected | {"C-1"})
        assert sorted(both) == sorted(expected & {"C-1"})
        assert sorted(neither) == sorted(set(CUSTOMERS) - expected - {"C-1"})

    def test_finds_nobody_in_an_empty_base(
        self,
        segment_database: Database,
        loaded: Plugins,
        spec: SegmentSourceSpec,
    ) -> None:
        empty = self._tenant(segment_database, loaded, spec, ())
        with segment_database.tenant_session(empty) as session:
            found = self._found(session, empty, loaded, self._tree(session, empty, spec))
        assert found == []

    def test_never_finds_another_tenants_customers(
        self,
        segment_database: Database,
        loaded: Plugins,
        tenant: int,
        spec: SegmentSourceSpec,
    ) -> None:
        other = self._tenant(segment_database, loaded, spec, CUSTOMERS)
        with segment_database.tenant_session(other) as session:
            self.prepare(session, other)
        with segment_database.tenant_session(tenant) as session:
            expected = self.prepare(session, tenant)
            tree = self._tree(session, tenant, spec)
            ids = session.scalars(
                customer_ids(session, tenant, tree, now=datetime.now(UTC), plugins=loaded)
            ).all()
        with segment_database.tenant_session(other) as session:
            customer = table(Customer).c
            theirs = session.scalars(select(customer.id).where(customer.tenant_id == other))
            assert not set(ids) & set(theirs)
        assert len(ids) == len(set(expected))

    def test_criteria_can_be_asked_for_a_tenant_without_anything(
        self, spec: SegmentSourceSpec
    ) -> None:
        criteria = spec.criteria(Catalogue()) if spec.criteria else ()
        names = [criterion.name for criterion in criteria]
        assert len(names) == len(set(names))

    def _tree(self, session: Session, tenant_id: int, spec: SegmentSourceSpec) -> dict[str, Any]:
        """A tree of one condition as it is stored, so through JSON."""
        settings = json.loads(json.dumps(self.settings(session, tenant_id)))
        return {"all": [{"source": spec.name, "settings": settings}]}

    def _tenant(
        self,
        database: Database,
        loaded: Plugins,
        spec: SegmentSourceSpec,
        customers: Collection[str],
    ) -> int:
        tenant_id = create_tenant(database, slug=f"kit{uuid4().hex[:12]}", name="Kit").id
        rows = [
            {"tenant_id": tenant_id, "external_id": name, "bucket": number}
            for number, name in enumerate(customers)
        ]
        with database.tenant_session(tenant_id) as session:
            owner = loaded.owner("segment source", spec.name)
            session.add(EnabledPlugin(tenant_id=tenant_id, name=owner))
            if rows:
                session.execute(insert(table(Customer)), rows)
        return tenant_id

    def _found(
        self, session: Session, tenant_id: int, loaded: Plugins, tree: Mapping[str, Any]
    ) -> list[str]:
        ids = customer_ids(session, tenant_id, tree, now=datetime.now(UTC), plugins=loaded)
        customer = table(Customer).c
        found = ids.subquery()
        return list(
            session.scalars(
                select(customer.external_id)
                .join(found, found.c.id == customer.id)
                .where(customer.tenant_id == tenant_id)
            )
        )


def _is(external_id: str) -> dict[str, Any]:
    settings = {"criterion": "external_id", "operator": "is", "value": external_id}
    return {"source": "attribute", "settings": settings}
