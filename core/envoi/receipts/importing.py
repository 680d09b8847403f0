"""Import of receipts: like customers, copied beside the tables and joined in by sets.

A receipt is imported whole or not at all; importing it again replaces its lines.
"""

from __future__ import annotations

from pathlib import Path

from babel.numbers import get_currency_precision
from sqlalchemy import (
    Connection,
    TableClause,
    column,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy import (
    table as name_table,
)
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import CsvFile
from envoi.customers.error_file import ErrorFile
from envoi.customers.models import Customer
from envoi.customers.staging import (
    ANALYZE_FROM,
    CREATED,
    ImportCounts,
    Progress,
    copy_rows,
    make_temporary,
    make_touched,
    stage,
    touch,
    touched,
)
from envoi.db import table
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.receipts.receipt_file import COLUMNS, ReceiptFile
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import company_zone

_BROKEN = name_table("broken", column("receipt_id"), column("line"))


def import_receipts(
    connection: Connection, tenant_id: int, path: Path, errors: ErrorFile, progress: Progress
) -> ImportCounts:
    """Create and change receipts by a CSV file; see `receipt_file` for its columns.

    Args:
        connection: An open transaction of the tenant; the caller commits.
        tenant_id: The tenant.
        path: The file, checked as a whole before anything is changed.
        errors: Takes the refused lines.
        progress: Is told how far the reading is.

    Raises:
        ValidationFailedError: The file as a whole cannot be used.
    """
    file = CsvFile(path, COLUMNS)
    reader = _reader(connection, tenant_id, file.columns)
    staged, total = stage(connection, file, reader, errors, progress)
    _refuse_unknown_customers(connection, tenant_id, staged, errors)
    _refuse_foreign_lines(connection, staged, errors)
    _refuse_broken_receipts(connection, staged, reader.broken, errors)
    _upsert_products(connection, tenant_id, staged)
    make_touched(connection)
    _upsert_receipts(connection, tenant_id, staged)
    _replace_lines(connection, tenant_id, staged)
    if total > ANALYZE_FROM:
        connection.execute(text("ANALYZE receipt, receipt_line, product"))
    return _counts(connection, total, errors)


def _reader(connection: Connection, tenant_id: int, columns: list[str]) -> ReceiptFile:
    c = table(TenantSettings).c
    query = select(c.time_zone, c.currency).where(c.tenant_id == tenant_id)
    settings = TenantSettings(**connection.execute(query).one()._mapping)
    return ReceiptFile(columns, company_zone(settings), get_currency_precision(settings.currency))


def _refuse_unknown_customers(
    connection: Connection, tenant_id: int, staged: TableClause, errors: ErrorFile
) -> None:
    c = table(Customer).c
    known = exists().where(c.tenant_id == tenant_id, c.external_id == staged.c.customer_id)
    statement = delete(staged).where(~known).returning(staged.c.line, staged.c.customer_id)
    for row in connection.execute(statement):
        reason = f"There is no customer {row.customer_id}. Import the customer first."
        errors.refuse(row.line, reason, "")


def _refuse_foreign_lines(connection: Connection, staged: TableClause, errors: ErrorFile) -> None:
    """Refuse receipts whose lines name several customers: whose it is cannot be known."""
    c = staged.c
    several = (
        select(c.receipt_id)
        .group_by(c.receipt_id)
        .having(func.min(c.customer_id) != func.max(c.customer_id))
    )
    statement = delete(staged).where(c.receipt_id.in_(several)).returning(c.line, c.receipt_id)
    for row in connection.execute(statement):
        reason = f"The lines of receipt {row.receipt_id} name several customers. Correct them."
        errors.refuse(row.line, reason, "")


def _refuse_broken_receipts(
    connection: Connection, staged: TableClause, broken: dict[str, int], errors: ErrorFile
) -> None:
    """Refuse the other lines of receipts with a refused line: their sum would be wrong."""
    make_temporary(connection, "broken", [("receipt_id", "text"), ("line", "int")])
    copy_rows(connection, "broken", broken.items())
    statement = (
        delete(staged)
        .where(staged.c.receipt_id == _BROKEN.c.receipt_id)
        .returning(staged.c.line, staged.c.receipt_id, _BROKEN.c.line.label("because"))
    )
    for row in connection.execute(statement):
        reason = f"Line {row.because} of the same receipt {row.receipt_id} was refused. Correct it."
        errors.refuse(row.line, reason, "")


def _upsert_products(connection: Connection, tenant_id: int, staged: TableClause) -> None:
    """Create products and rename those that the file names anew; the last line counts."""
    product, c = table(Product), staged.c
    rows = (
        select(literal(tenant_id), c.product_id, c.product_name, c.category)
        .where(c.product_id.is_not(None))
        .ext(pg.distinct_on(c.product_id))
        .order_by(c.product_id, c.line.desc())
    )
    new = pg.insert(product).from_select(["tenant_id", "external_id", "name", "category"], rows)
    fresh = {
        name: func.coalesce(func.nullif(new.excluded[name], ""), product.c[name])
        for name in ("name", "category")
    }
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["tenant_id", "external_id"],
            set_=fresh,
            where=or_(*(product.c[name].is_distinct_from(value) for name, value in fresh.items())),
        )
    )


def _upsert_receipts(connection: Connection, tenant_id: int, staged: TableClause) -> None:
    receipt, customer, c = table(Receipt), table(Customer), staged.c
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


def _replace_lines(connection: Connection, tenant_id: int, staged: TableClause) -> None:
    """Make the lines of every receipt in the file those of the file."""
    line, product, receipt, c = table(ReceiptLine), table(Product), table(Receipt), staged.c
    number = func.row_number().over(partition_by=c.receipt_id, order_by=c.line)
    numbered = (
        select(c.receipt_id, c.product_id, c.quantity, c.amount, number.label("number"))
        .where(c.product_id.is_not(None))
        .subquery()
    )
    rows = select(
        literal(tenant_id),
        receipt.c.id,
        numbered.c.number,
        product.c.id,
        numbered.c.quantity,
        numbered.c.amount,
    ).where(
        receipt.c.tenant_id == tenant_id,
        receipt.c.external_id == numbered.c.receipt_id,
        product.c.tenant_id == tenant_id,
        product.c.external_id == numbered.c.product_id,
    )
    given = ["product_id", "quantity", "amount"]
    new = pg.insert(line).from_select(["tenant_id", "receipt_id", "number", *given], rows)
    stored = new.on_conflict_do_update(
        index_elements=["tenant_id", "receipt_id", "number"],
        set_={name: new.excluded[name] for name in given},
        where=or_(*(line.c[name].is_distinct_from(new.excluded[name]) for name in given)),
    )
    stored_ids = stored.returning(line.c.receipt_id)
    touch(connection, stored_ids.cte("stored"))
    counts = (
        select(c.receipt_id, func.count(c.product_id).label("lines"))
        .group_by(c.receipt_id)
        .subquery()
    )
    superfluous = delete(line).where(
        line.c.tenant_id == tenant_id,
        line.c.receipt_id == receipt.c.id,
        receipt.c.tenant_id == tenant_id,
        receipt.c.external_id == counts.c.receipt_id,
        line.c.number > counts.c.lines,
    )
    touch(connection, superfluous.returning(line.c.receipt_id).cte("superfluous"))


def _counts(connection: Connection, total: int, errors: ErrorFile) -> ImportCounts:
    created, changed = touched(connection)
    receipts = connection.scalar(text("SELECT count(DISTINCT receipt_id) FROM staged"))
    return ImportCounts(
        total=total,
        imported=total - errors.refused,
        created=created,
        changed=changed,
        unchanged=(receipts or 0) - created - changed,
        superseded=0,
        refused=errors.refused,
        warnings=errors.warnings,
    )
