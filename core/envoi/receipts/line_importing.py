"""Import of the lines of receipts that are there already."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, TableClause, exists, func, select, update

from envoi.customers.csv_reader import Columns, LineRefusedError, Row
from envoi.customers.error_file import ErrorFile
from envoi.customers.mapping import Mapping
from envoi.customers.staging import Applied, applied, drop_superseded, make_touched, touch
from envoi.db import table
from envoi.receipts.models import Receipt, ReceiptLine
from envoi.receipts.receipt_file import Cell, RowReader, line_cells, required_id
from envoi.receipts.whole_receipts import (
    BROKEN,
    MOST_LINES,
    keep_together,
    refuse_broken,
    refuse_endless,
    refuse_unknown,
    remains,
    replace_lines,
    surroundings,
    upsert_products,
)

COLUMNS = Columns(
    required=("receipt_id", "product_id", "amount"),
    optional=("number", "quantity", "product_name", "category"),
)


class LineImport:
    """Gives receipts their lines.

    With a column of numbers the lines named are made or changed; without one the lines of a
    receipt become those of the file.
    """

    def __init__(self, connection: Connection, tenant_id: int, mapping: Mapping) -> None:
        self._tenant_id, self._columns = tenant_id, mapping.columns
        self._numbered = "number" in mapping.columns
        around = surroundings(connection, tenant_id, mapping.style)
        cells = {
            "receipt_id": Cell("text", partial(required_id, "receipt_id")),
            **line_cells(around, partial(required_id, "product_id")),
            "number": Cell("smallint", _number if self._numbered else lambda _cell: None),
        }
        self._reader = RowReader(mapping.columns, cells)
        self.notes: list[str] = []
        self.staging = [*self._reader.staging, BROKEN]

    def read(self, row: Row) -> list[Any]:
        """Return a row's values."""
        return [*self._reader.read(row), None]

    def remains(self, row: Row) -> list[Any]:
        """Return the receipt of a refused row."""
        return remains(self._columns, self.staging, row)

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Refuse the lines of receipts that are not there or not whole."""
        refuse_broken(connection, staged, errors)
        refuse_endless(connection, staged, errors)
        c = table(Receipt).c
        known = exists().where(c.tenant_id == self._tenant_id, c.external_id == staged.c.receipt_id)
        reason = "There is no receipt '{0}'. Import the receipt first."
        refuse_unknown(connection, staged, "receipt_id", known, errors, reason)
        superseded = 0
        if self._numbered:
            superseded = drop_superseded(connection, staged, ["receipt_id", "number"], errors)
        keep_together(connection, staged)
        return superseded

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Create and change the lines of a batch; what is counted are the receipts."""
        upsert_products(connection, self._tenant_id, batch)
        make_touched(connection)
        replace_lines(connection, self._tenant_id, batch, numbered=self._numbered)
        _count_items(connection, self._tenant_id, batch)
        return applied(connection, batch.c.receipt_id)


def _number(cell: str) -> int:
    if cell.isascii() and cell.isdigit() and len(cell) < 6 and 1 <= int(cell) <= MOST_LINES:
        return int(cell)
    raise LineRefusedError(f"number is {cell[:40]!r}. Write a whole number from 1 to {MOST_LINES}.")


def _count_items(connection: Connection, tenant_id: int, batch: TableClause) -> None:
    """Let the receipts of a batch have as many items as their lines say."""
    receipt, line = table(Receipt), table(ReceiptLine)
    mine = select(receipt.c.id).where(
        receipt.c.tenant_id == tenant_id, receipt.c.external_id.in_(select(batch.c.receipt_id))
    )
    sums = (
        select(line.c.receipt_id, func.sum(line.c.quantity).label("items"))
        .where(line.c.tenant_id == tenant_id, line.c.receipt_id.in_(mine))
        .group_by(line.c.receipt_id)
        .subquery()
    )
    counted = (
        update(receipt)
        .where(
            receipt.c.tenant_id == tenant_id,
            receipt.c.id == sums.c.receipt_id,
            receipt.c["items"].is_distinct_from(sums.c["items"]),
        )
        .values(items=sums.c["items"])
        .returning(receipt.c.id)
    )
    touch(connection, counted.cte("counted"))
