"""Import of receipts: like customers, copied beside the tables and joined in by sets.

A receipt is imported whole or not at all; importing it again replaces its lines.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, TableClause, exists, func, literal, or_, select
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import Row
from envoi.customers.error_file import ErrorFile
from envoi.customers.mapping import Mapping
from envoi.customers.models import Customer
from envoi.customers.staging import CREATED, Applied, applied, make_touched, touch
from envoi.db import table
from envoi.receipts.models import Receipt
from envoi.receipts.receipt_file import RowReader, receipt_cells
from envoi.receipts.whole_receipts import (
    BROKEN,
    keep_together,
    refuse_broken,
    refuse_endless,
    refuse_receipts,
    refuse_unknown,
    remains,
    replace_lines,
    surroundings,
    upsert_products,
)


class ReceiptImport:
    """Creates and changes receipts with their lines; see `receipt_file` for the columns."""

    def __init__(self, connection: Connection, tenant_id: int, mapping: Mapping) -> None:
        self._tenant_id, self._columns = tenant_id, mapping.columns
        around = surroundings(connection, tenant_id, mapping.style)
        self._reader = RowReader(mapping.columns, receipt_cells(around))
        self.notes: list[str] = []
        self.staging = [*self._reader.staging, BROKEN]

    def read(self, row: Row) -> list[Any]:
        """Return a row's values."""
        return [*self._reader.read(row), None]

    def remains(self, row: Row) -> list[Any]:
        """Return the receipt of a refused row."""
        return remains(self._columns, self.staging, row)

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Refuse receipts that are not whole, or whose they are cannot be known."""
        refuse_broken(connection, staged, errors)
        several = func.min(staged.c.customer_id) != func.max(staged.c.customer_id)
        reason = "The lines of receipt '{0}' name several customers. Correct them."
        refuse_receipts(connection, staged, several, errors, reason)
        refuse_endless(connection, staged, errors)
        c = table(Customer).c
        known = exists().where(
            c.tenant_id == self._tenant_id, c.external_id == staged.c.customer_id
        )
        reason = "There is no customer '{0}'. Import the customer first."
        refuse_unknown(connection, staged, "customer_id", known, errors, reason)
        keep_together(connection, staged)
        return 0

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Create and change the receipts of a batch."""
        upsert_products(connection, self._tenant_id, batch)
        make_touched(connection)
        _upsert_receipts(connection, self._tenant_id, batch)
        replace_lines(connection, self._tenant_id, batch)
        return applied(connection, batch.c.receipt_id)


def _upsert_receipts(connection: Connection, tenant_id: int, batch: TableClause) -> None:
    receipt, customer, c = table(Receipt), table(Customer), batch.c
    sums = (
        select(
            c.receipt_id,
            func.min(c.customer_id).label("customer_id"),
            func.min(c.at).label("at"),
            func.sum(c.amount).label("amount"),
            func.sum(c.quantity).label("items"),
            func.bool_or(c.cancelled).label("cancelled"),
        )
        .group_by(c.receipt_id)
        .subquery()
    )
    values = (customer.c.id, sums.c.at, sums.c.amount, sums.c["items"], customer.c.bucket)
    rows = select(literal(tenant_id), sums.c.receipt_id, *values, sums.c.cancelled).where(
        customer.c.tenant_id == tenant_id, customer.c.external_id == sums.c.customer_id
    )
    given = ["customer_id", "at", "amount", "items", "bucket", "cancelled"]
    new = pg.insert(receipt).from_select(["tenant_id", "external_id", *given], rows)
    written = new.on_conflict_do_update(
        index_elements=["tenant_id", "external_id"],
        set_={name: new.excluded[name] for name in given},
        where=or_(*(receipt.c[name].is_distinct_from(new.excluded[name]) for name in given)),
    ).returning(receipt.c.id, CREATED)
    touch(connection, written.cte("written"))
