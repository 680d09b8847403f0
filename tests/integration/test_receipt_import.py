"""Importing receipts: whole receipts, exact money, the same result when repeated."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from envoi.customers.import_kinds import ImportKind
from envoi.customers.staging import ImportCounts
from envoi.db import Database
from factories.customers import make_customers
from factories.imports import load_file

Load = Callable[[str], ImportCounts]


@pytest.fixture
def load(database: Database, tenant_id: int, tmp_path: Path) -> Load:
    """Import a text as a receipts file of a tenant with three customers."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 3)

    def run(content: str) -> ImportCounts:
        path = tmp_path / "receipts.csv"
        path.write_text(content, "utf-8")
        return load_file(database, tenant_id, path, ImportKind.RECEIPTS)

    return run


def _rows(database: Database, tenant_id: int, query: str) -> list[tuple[Any, ...]]:
    with database.tenant_connection(tenant_id) as connection:
        return [tuple(row) for row in connection.execute(text(query), {"t": tenant_id})]


def _reasons(folder: Path) -> dict[int, str]:
    with (folder / "errors.csv").open(encoding="utf-8-sig", newline="") as stream:
        return {int(row["line"]): row["reason"] for row in csv.DictReader(stream)}


HEADER = "receipt_id,customer_id,at,product_id,product_name,category,quantity,amount,cancelled\n"
TWO = HEADER + (
    "R-1,C-1,2026-07-01T10:00:00,P-1,Bread,Food,2,4.10,\n"
    "R-1,C-1,2026-07-01T10:00:00,P-2,Tea,Food,1.5,7.9,\n"
    "R-2,C-2,2026-07-02T10:00:00Z,,,,,-3,Y\n"
)
RECEIPTS = (
    "SELECT r.external_id, c.external_id, r.at, r.amount, r.items, r.cancelled,"
    " r.bucket = c.bucket FROM receipt r JOIN customer c ON c.tenant_id = :t"
    " AND c.id = r.customer_id WHERE r.tenant_id = :t ORDER BY 1"
)
LINES = (
    "SELECT r.external_id, l.number, p.external_id, p.name, p.category, l.quantity, l.amount"
    " FROM receipt_line l JOIN receipt r ON r.tenant_id = :t AND r.id = l.receipt_id"
    " JOIN product p ON p.tenant_id = :t AND p.id = l.product_id"
    " WHERE l.tenant_id = :t ORDER BY 1, 2"
)


def test_receipts_with_and_without_products(database: Database, tenant_id: int, load: Load) -> None:
    counts = load(TWO)
    assert (counts.total, counts.imported, counts.created, counts.refused) == (3, 3, 2, 0)
    assert _rows(database, tenant_id, RECEIPTS) == [
        ("R-1", "C-1", datetime(2026, 7, 1, 8, tzinfo=UTC), 1200, 3.5, False, True),
        ("R-2", "C-2", datetime(2026, 7, 2, 10, tzinfo=UTC), -300, 1.0, True, True),
    ]
    assert _rows(database, tenant_id, LINES) == [
        ("R-1", 1, "P-1", "Bread", "Food", 2.0, 410),
        ("R-1", 2, "P-2", "Tea", "Food", 1.5, 790),
    ]


def test_repeating_gives_the_same(database: Database, tenant_id: int, load: Load) -> None:
    load(TWO)
    before = [_rows(database, tenant_id, query) for query in (RECEIPTS, LINES)]
    counts = load(TWO)
    assert (counts.created, counts.changed, counts.unchanged) == (0, 0, 2)
    assert [_rows(database, tenant_id, query) for query in (RECEIPTS, LINES)] == before


def test_lines_are_replaced(database: Database, tenant_id: int, load: Load) -> None:
    load(TWO)
    counts = load(HEADER + "R-1,C-1,2026-07-01T10:00:00,P-3,Salt,,1,1.00,\n")
    assert (counts.created, counts.changed, counts.unchanged) == (0, 1, 0)
    assert _rows(database, tenant_id, LINES) == [("R-1", 1, "P-3", "Salt", "", 1.0, 100)]
    assert _rows(database, tenant_id, RECEIPTS)[0][3:5] == (100, 1.0)


def test_a_product_keeps_its_name_where_the_file_has_none(
    database: Database, tenant_id: int, load: Load
) -> None:
    load(TWO)
    load("receipt_id,customer_id,at,amount,product_id\nR-9,C-3,2026-07-01,1,P-1\n")
    assert _rows(database, tenant_id, LINES)[-1][2:5] == ("P-1", "Bread", "Food")


def test_a_receipt_is_imported_whole_or_not_at_all(
    database: Database, tenant_id: int, tmp_path: Path, load: Load
) -> None:
    counts = load(
        HEADER + "R-1,C-9,2026-07-01,,,,,1,\n"
        "R-2,C-1,2026-07-01,P-1,,,1,1,\n"
        'R-2,C-1,2026-07-01,P-2,,,1,"1,500",\n'
        "R-3,C-1,2026-07-01,,,,,1.005,\n"
        "R-4,C-1,2026-07-01,P-1,,,1,1,\n"
        "R-4,C-2,2026-07-01,P-1,,,1,1,\n"
        "R-5,C-1,first of July,,,,,1,\n"
        "R-6,C-1,2026-07-01,,,,,1,maybe\n"
        ",C-1,2026-07-01,,,,,1,\n"
        "R-7,C-1,2026-07-01,,,,,1e3,\n"
        "R-8,C-3,2026-07-01,,,,,1.10,N\n"
    )
    assert (counts.total, counts.refused, counts.imported, counts.created) == (11, 10, 1, 1)
    assert [row[0] for row in _rows(database, tenant_id, RECEIPTS)] == ["R-8"]
    expected = {
        2: "no customer 'C-9'",
        3: "Line 4 of the same receipt 'R-2'",
        4: "amount is '1,500'",
        5: "has 2 decimals",
        6: "several customers",
        7: "several customers",
        8: "no date",
        9: "cancelled is 'maybe'",
        10: "receipt_id is empty",
        11: "no amount",
    }
    reasons = _reasons(tmp_path)
    assert reasons.keys() == expected.keys()
    assert all(part in reasons[line] for line, part in expected.items())
