"""The macro of promo codes keeps the contract, and so does its condition of segments."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.data import select
from envoi.db import Database, table
from envoi.plugins import Plugins
from envoi.sending import MacroRequest
from envoi.testing import MacroContract, SegmentSourceContract
from envoi.types import MacroSpec, SegmentSourceSpec
from envoi_module_promo_codes import groups, issuing


class TestPromoCode(MacroContract):
    argument = "Spring"

    @pytest.fixture
    def spec(self, plugins: Plugins) -> MacroSpec:
        return plugins.macros["promo_code"]

    @pytest.fixture
    def macro_database(self, database: Database) -> Database:
        return database

    def prepare(self, connection: Connection, tenant_id: int) -> None:
        with Session(connection) as session:
            group = groups.create_group(session, tenant_id, "Spring")
            groups.add_codes(session, tenant_id, group, "ABCDEFGH")


class TestIssued(SegmentSourceContract):
    @pytest.fixture
    def spec(self, plugins: Plugins) -> SegmentSourceSpec:
        return plugins.segment_sources["promo_codes"]

    @pytest.fixture
    def segment_database(self, database: Database) -> Database:
        return database

    def settings(self, session: Session, tenant_id: int) -> dict[str, Any]:
        return {"criterion": "promo_code", "operator": "issued", "group": "Spring"}

    def prepare(self, session: Session, tenant_id: int) -> Collection[str]:
        group = groups.create_group(session, tenant_id, "Spring")
        groups.add_codes(session, tenant_id, group, "ABCDEFGH")
        c = table(Customer).c
        chosen = select(c.id).where(c.tenant_id == tenant_id, c.external_id.in_(["C-3", "C-9"]))
        for run_id in (1, 2):
            issuing.issue(
                MacroRequest(
                    connection=session.connection(),
                    tenant_id=tenant_id,
                    run_id=run_id,
                    mailing_id=None,
                    argument="Spring",
                    customer_ids=list(session.scalars(chosen)),
                )
            )
        return ["C-3", "C-9"]
