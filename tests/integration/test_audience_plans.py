"""Plans as the application role, where one company is a thousand times another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text

from envoi.audience.recheck import recheck
from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_rows
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.tenants.service import create_tenant
from envoi.types import AddressKind
from factories.customers import customer_ids, make_customers, opt_out
from plans import Explain, nodes, scans

LARGE, SMALL = 20_000, 20
CAP = {"kind": "frequency_cap", "settings": {"most": 1, "period": 30, "unit": "day"}}


@pytest.fixture(scope="module")
def sizes(database: Database) -> tuple[int, int]:
    """A large and a small company with customers, contacts and opt-outs, analysed."""
    found = []
    for slug, size in (("plans-large", LARGE), ("plans-small", SMALL)):
        tenant_id = create_tenant(database, slug=slug, name=slug).id
        with database.tenant_connection(tenant_id) as connection:
            make_customers(connection, tenant_id, size, phones=True)
            opt_out(connection, tenant_id, *(f"C-{n}" for n in range(1, size // 10)))
            contact(connection, tenant_id)
        found.append(tenant_id)
    with database.engine.begin() as owner:
        owner.execute(text("ANALYZE"))
    return found[0], found[1]


def contact(connection: Connection, tenant_id: int) -> None:
    run_id = connection.scalar(
        text(
            "INSERT INTO run (tenant_id, channel, launched_on, seed, settings)"
            " VALUES (:tenant, 'email', current_date, 1, '{}') RETURNING id"
        ),
        {"tenant": tenant_id},
    )
    connection.execute(
        text(
            "INSERT INTO message (tenant_id, run_id, launched_on, customer_id, state, accepted_at)"
            " SELECT :tenant, :run, current_date, id, 5, now() FROM customer"
            " WHERE tenant_id = :tenant"
        ),
        {"tenant": tenant_id, "run": run_id},
    )


def request_for(tenant_id: int) -> AudienceRequest:
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=datetime.now(UTC),
        rules=(CAP,),
    )


def test_a_block_is_checked_by_indexes_alone(
    database: Database, plugins: Plugins, sizes: tuple[int, int]
) -> None:
    for tenant_id in sizes:
        statement = recheck(plugins, request_for(tenant_id))
        with database.tenant_connection(tenant_id) as connection:
            ids = customer_ids(connection, tenant_id)[:50]
            found = scans(connection, statement, customer_ids=ids, now=datetime.now(UTC))
        month = f"message_{datetime.now(UTC):%Y_%m}"
        assert {"customer", month} <= found.keys()
        for table in ("customer", month):
            assert "Seq Scan" not in found[table], table


def test_a_small_company_never_reads_a_large_one(
    database: Database, plugins: Plugins, sizes: tuple[int, int]
) -> None:
    small = sizes[1]
    with database.tenant_connection(small) as connection:
        found = scans(connection, judge_rows(plugins, request_for(small)).query)
    assert "Seq Scan" not in found["customer"]
    assert "Seq Scan" not in found[f"message_{datetime.now(UTC):%Y_%m}"]


def test_no_stage_asks_row_by_row(
    database: Database, plugins: Plugins, sizes: tuple[int, int]
) -> None:
    """A subplan runs once for every customer; sets are joined instead."""
    large = sizes[0]
    with database.tenant_connection(large) as connection:
        statement = judge_rows(plugins, request_for(large)).query
        plan = connection.execute(Explain(statement)).scalar_one()[0]["Plan"]
    relations = {node.get("Parent Relationship") for node in nodes(plan)}
    assert "SubPlan" not in relations
    loops = [node for node in nodes(plan) if node["Node Type"] == "Nested Loop"]
    inside = {inner.get("Relation Name") for loop in loops for inner in nodes(loop)}
    assert "customer" not in inside
