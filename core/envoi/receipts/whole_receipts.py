"""What files of receipts and of lines have in common: a receipt is imported whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from babel.numbers import get_currency_precision
from sqlalchemy import (
    ColumnElement,
    Connection,
    TableClause,
    any_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.dml import ReturningDelete

from envoi.customers.csv_reader import Row
from envoi.customers.error_file import ErrorFile
from envoi.customers.staging import TOUCHED, each_deleted, make_temporary, touch
from envoi.customers.values import Style
from envoi.db import table
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.receipts.receipt_file import Surroundings
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import company_zone

BROKEN = ("broken", "boolean")
"""Marks what is left of a refused row: enough to refuse the rest of its receipt."""

MOST_LINES = 32_767


def surroundings(connection: Connection, tenant_id: int, style: Style) -> Surroundings:
    """Return how amounts and times of a tenant are read."""
    c = table(TenantSettings).c
    query = select(c.time_zone, c.currency).where(c.tenant_id == tenant_id)
    settings = TenantSettings(**connection.execute(query).one()._mapping)
    return Surroundings(company_zone(settings), get_currency_precision(settings.currency), style)


def remains(columns: Sequence[str], staging: Sequence[tuple[str, str]], row: Row) -> list[Any]:
    """Return what is staged of a refused row: its receipt, and that it is broken."""
    receipt_id = row.cells[columns.index("receipt_id")]
    known: dict[str, Any] = {"receipt_id": receipt_id, "broken": True}
    return [known.get(name) for name, _ in staging]


def refuse_broken(connection: Connection, staged: TableClause, errors: ErrorFile) -> None:
    """Refuse the other lines of receipts with a refused line: their sum would be wrong."""
    c = staged.c
    broken = (
        select(c.receipt_id, func.min(c.line).label("because"))
        .where(c.broken)
        .group_by(c.receipt_id)
        .subquery()
    )
    statement = delete(staged).where(c.receipt_id == broken.c.receipt_id, c.broken.is_(None))
    _refuse(
        connection,
        statement.returning(c.line, c.receipt_id, broken.c.because),
        errors,
        "Line {1} of the same receipt '{0}' was refused. Correct it.",
    )
    connection.execute(delete(staged).where(c.broken))


def refuse_receipts(
    connection: Connection,
    staged: TableClause,
    wrong: ColumnElement[bool],
    errors: ErrorFile,
    reason: str,
) -> None:
    """Refuse every line of the receipts of which something is wrong, said of their group."""
    c = staged.c
    receipts = select(c.receipt_id).group_by(c.receipt_id).having(wrong)
    statement = delete(staged).where(c.receipt_id.in_(receipts))
    _refuse(connection, statement.returning(c.line, c.receipt_id), errors, reason)


def refuse_unknown(
    connection: Connection,
    staged: TableClause,
    name: str,
    known: ColumnElement[bool],
    errors: ErrorFile,
    reason: str,
) -> None:
    """Refuse the lines that name something that is not there."""
    statement = delete(staged).where(~known).returning(staged.c.line, staged.c[name])
    _refuse(connection, statement, errors, reason)


def refuse_endless(connection: Connection, staged: TableClause, errors: ErrorFile) -> None:
    """Refuse receipts of more lines than a receipt can have."""
    reason = f"Receipt '{{0}}' has more than {MOST_LINES:,} lines. Split it."
    refuse_receipts(connection, staged, func.count() > MOST_LINES, errors, reason)


def _refuse(
    connection: Connection, deleted: ReturningDelete[Any], errors: ErrorFile, reason: str
) -> None:
    def say(line: int, *values: str) -> None:
        errors.refuse(line, reason.format(*values), "")

    each_deleted(connection, deleted, say)


def keep_together(connection: Connection, staged: TableClause) -> None:
    """Let `first` of each line be the first line of its receipt."""
    c = staged.c
    firsts = select(c.receipt_id, func.min(c.line).label("first")).group_by(c.receipt_id).subquery()
    same = (c.receipt_id == firsts.c.receipt_id, c.first > firsts.c.first)
    connection.execute(update(staged).where(*same).values(first=firsts.c.first))


def upsert_products(connection: Connection, tenant_id: int, batch: TableClause) -> None:
    """Create products and rename those that the file names anew; the last line counts."""
    product, c = table(Product), batch.c
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


def replace_lines(
    connection: Connection, tenant_id: int, batch: TableClause, *, numbered: bool = False
) -> None:
    """Make the lines of every receipt in the batch those of the batch.

    Args:
        connection: An open transaction of the tenant with the table `touched`.
        tenant_id: The tenant.
        batch: Has receipts, products and lines.
        numbered: Whether the batch numbers its lines itself; then others stay as they are.
    """
    line, product, receipt, c = table(ReceiptLine), table(Product), table(Receipt), batch.c
    counted = func.row_number().over(partition_by=c.receipt_id, order_by=c.line)
    number = c.number if numbered else counted
    lines = (
        select(c.receipt_id, c.product_id, c.quantity, c.amount, number.label("number"))
        .where(c.product_id.is_not(None))
        .subquery()
    )
    rows = select(
        literal(tenant_id),
        receipt.c.id,
        lines.c.number,
        product.c.id,
        lines.c.quantity,
        lines.c.amount,
    ).where(
        receipt.c.tenant_id == tenant_id,
        receipt.c.external_id == lines.c.receipt_id,
        product.c.tenant_id == tenant_id,
        product.c.external_id == lines.c.product_id,
    )
    given = ["product_id", "quantity", "amount"]
    new = pg.insert(line).from_select(["tenant_id", "receipt_id", "number", *given], rows)
    stored = new.on_conflict_do_update(
        index_elements=["tenant_id", "receipt_id", "number"],
        set_={name: new.excluded[name] for name in given},
        where=or_(*(line.c[name].is_distinct_from(new.excluded[name]) for name in given)),
    )
    touch(connection, stored.returning(line.c.receipt_id).cte("stored"))
    if not numbered:
        _drop_superfluous(connection, tenant_id, batch)


def _drop_superfluous(connection: Connection, tenant_id: int, batch: TableClause) -> None:
    """Delete what receipts that were there before have more lines than the batch.

    The receipts are asked for first and the lines of each by its key: of lines that an import has
    just made the planner knows nothing, and would walk through all of them.
    """
    line, receipt, c = table(ReceiptLine), table(Receipt), batch.c
    columns = [("id", "bigint primary key"), ("lines", "int")]
    earlier = make_temporary(connection, "earlier", columns)
    new = select(TOUCHED.c.id).where(TOUCHED.c.created)
    counts = (
        select(receipt.c.id, func.count(c.product_id))
        .join_from(receipt, batch, receipt.c.external_id == c.receipt_id)
        .where(receipt.c.tenant_id == tenant_id, receipt.c.id.not_in(new))
        .group_by(receipt.c.id)
    )
    connection.execute(insert(earlier).from_select(["id", "lines"], counts))
    lines = select(earlier.c.lines).where(earlier.c.id == line.c.receipt_id)
    superfluous = delete(line).where(
        line.c.tenant_id == tenant_id,
        line.c.receipt_id == any_(func.array(select(earlier.c.id).scalar_subquery())),
        line.c.number > lines.scalar_subquery(),
    )
    touch(connection, superfluous.returning(line.c.receipt_id).cte("superfluous"))
