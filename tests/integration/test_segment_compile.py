"""How segments are compiled: samples by bucket, and plans that keep to their own tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from envoi.db import Database
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.tenants.service import create_tenant
from factories.customers import make_customers, make_receipts

NOW = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)
LARGE = 20_000


def test_a_sample_is_cut_by_bucket(database: Database, tenant_id: int, plugins: Plugins) -> None:
    tree = {"all": [{"source": "all_customers", "settings": {}}]}
    sizes = []
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1_000)
        for buckets in ((0, 10_000), (0, 1_000), (1_000, 10_000), (5, 5)):
            query = customer_ids(
                session, tenant_id, tree, now=NOW, plugins=plugins, buckets=buckets
            )
            counted = select(func.count()).select_from(query.subquery())
            sizes.append(session.scalar(counted) or 0)
    assert sizes[0] == 1_000
    assert 50 < sizes[1] < 200
    assert sizes[1] + sizes[2] == 1_000
    assert sizes[3] == 0


SMALL_TENANTS_TREES = [
    {"source": "attribute", "settings": {"criterion": "city", "operator": "is", "value": "Omsk"}},
    {"source": "attribute", "settings": {"criterion": "age", "operator": "ge", "value": 30}},
    {
        "source": "receipts",
        "settings": {"criterion": "sum", "operator": "ge", "value": 90, "within_days": 60},
    },
    {"source": "receipts", "settings": {"criterion": "last", "operator": "not_in_last", "days": 9}},
    {"source": "receipts", "settings": {"criterion": "count", "operator": "le", "value": 2}},
    {"source": "receipts", "settings": {"criterion": "median", "operator": "ge", "value": 9}},
    {"source": "messages", "settings": {"criterion": "received", "operator": "never"}},
]


@pytest.fixture(scope="module")
def crowd(database: Database) -> tuple[int, int]:
    """A tenant of 20 customers beside one of 20,000, each with three receipts."""
    tenants = []
    for name, size in (("small", 20), ("large", LARGE)):
        tenant_id = create_tenant(database, slug=f"{name}-{uuid4().hex[:8]}", name=name).id
        with database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, size)
            make_receipts(session, tenant_id, each=3, until=NOW)
        tenants.append(tenant_id)
    with database.tenant_session(tenants[0]) as session:
        session.execute(text("ANALYZE customer, receipt"))
    return tenants[0], tenants[1]


@pytest.mark.parametrize("match", ["all", "any", "not"])
@pytest.mark.parametrize("node", SMALL_TENANTS_TREES, ids=lambda n: n["settings"]["criterion"])
def test_a_small_tenant_does_not_read_the_large_one(
    database: Database,
    crowd: tuple[int, int],
    plugins: Plugins,
    match: str,
    node: dict[str, Any],
) -> None:
    small, _ = crowd
    tree = {match: [node, SMALL_TENANTS_TREES[0]]}
    with database.tenant_session(small) as session:
        query = customer_ids(session, small, tree, now=NOW, plugins=plugins)
        plan = session.execute(_explained(query, database)).scalar_one()
    scans = list(_scans(plan[0]["Plan"]))
    # A nested loop reads the tenant's own rows again for each of its customers.
    assert max(rows for rows, _ in scans) <= 100
    assert sum(rows * times for rows, times in scans) < LARGE


def _explained(query: Any, database: Database) -> Any:
    compiled = query.compile(
        dialect=database.engine.dialect, compile_kwargs={"literal_binds": True}
    )
    return text("EXPLAIN (ANALYZE, FORMAT JSON) " + str(compiled).replace(":", r"\:"))


def _scans(plan: dict[str, Any]) -> Iterator[tuple[float, int]]:
    """Rows that each scan looked at, those it threw away included, and how often it ran."""
    if "Scan" in plan["Node Type"]:
        yield plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0), plan["Actual Loops"]
    for child in plan.get("Plans", []):
        yield from _scans(child)
