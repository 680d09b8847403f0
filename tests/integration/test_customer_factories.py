"""The factories make what they promise, because many tests count on it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from envoi.db import Database
from factories.customers import (
    WORKED_CONTROL,
    WORKED_STRATA,
    customer_ids,
    make_customers,
    make_receipts,
    make_worked_example,
    opt_out,
)


def _one(connection: Any, sql: str, tenant_id: int) -> tuple[Any, ...]:
    return tuple(connection.execute(text(sql), {"t": tenant_id}).one())


def test_customers_and_receipts(database: Database, tenant_id: int) -> None:
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 50, zone="Asia/Omsk", phones=True)
        make_customers(connection, tenant_id, 50, first=51, emails=False)
        make_receipts(connection, tenant_id, each=2, products=5)
        opt_out(connection, tenant_id, "C-1", "C-2")
        counts = "SELECT count(*), count(email), count(phone), count(zone_id) FROM customer"
        assert _one(connection, counts + " WHERE tenant_id = :t", tenant_id) == (100, 50, 50, 50)
        receipts = "SELECT count(*), count(DISTINCT customer_id) FROM receipt WHERE tenant_id = :t"
        assert _one(connection, receipts, tenant_id) == (200, 100)
        lines = "SELECT count(*) FROM receipt_line WHERE tenant_id = :t"
        assert _one(connection, lines, tenant_id) == (200,)
        gone = "SELECT count(address) FROM opt_out WHERE tenant_id = :t"
        assert _one(connection, gone, tenant_id) == (2,)
        ids = customer_ids(connection, tenant_id, "C-9", "C-8")
        assert ids == [customer_ids(connection, tenant_id)[i] for i in (8, 7)]


def test_worked_example(database: Database, tenant_id: int) -> None:
    with database.tenant_connection(tenant_id) as connection:
        make_worked_example(connection, tenant_id)
        counts = (
            "SELECT count(*), count(*) FILTER (WHERE email IS NULL),"
            " (SELECT count(*) FROM opt_out WHERE tenant_id = :t)"
            " FROM customer WHERE tenant_id = :t"
        )
        assert _one(connection, counts, tenant_id) == (14_730, 71, 404)
        strata = connection.execute(
            text(
                "SELECT gender, extract(year FROM age(birth_date))::int AS age, count(*) AS n"
                " FROM customer WHERE tenant_id = :t AND starts_with(external_id, 'G-')"
                " GROUP BY 1, 2"
            ),
            {"t": tenant_id},
        )
        assert {(row.gender, row.age): row.n for row in strata} == WORKED_STRATA
    assert sum(WORKED_STRATA.values()) == 14_255
    assert sum(WORKED_CONTROL) == 998
