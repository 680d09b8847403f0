"""Import of products with their categories, prices and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, TableClause, literal, or_, select
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import Columns, LineRefusedError, Row
from envoi.customers.error_file import ErrorFile
from envoi.customers.mapping import Mapping
from envoi.customers.staging import (
    CREATED,
    Applied,
    applied,
    drop_superseded,
    make_touched,
    touch,
)
from envoi.customers.values import read_text
from envoi.db import table
from envoi.receipts.models import Product
from envoi.receipts.receipt_file import Cell, RowReader, Surroundings, minor_units, required_id
from envoi.receipts.whole_receipts import surroundings

COLUMNS = Columns(
    required=("product_id",),
    optional=("product_name", "category", "price", "url", "image_url"),
)

_STORED_AS = {"product_id": "external_id", "product_name": "name"}


class ProductImport:
    """Creates and changes products; only the columns that the file has are changed."""

    def __init__(self, connection: Connection, tenant_id: int, mapping: Mapping) -> None:
        self._tenant_id = tenant_id
        around = surroundings(connection, tenant_id, mapping.style)
        given = {name: cell for name, cell in _cells(around).items() if name in mapping.columns}
        self._reader = RowReader(mapping.columns, given)
        self.notes: list[str] = []
        self.staging = self._reader.staging
        self.read = self._reader.read

    def remains(self, row: Row) -> None:
        """Leave nothing of a refused row."""

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Keep the last of the rows with the same product."""
        return drop_superseded(connection, staged, ["product_id"], errors)

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Create and change the products of a batch."""
        make_touched(connection)
        given = [name for name, _ in self.staging if name != "product_id"]
        _upsert(connection, self._tenant_id, batch, given)
        return applied(connection, batch.c.product_id)


def _cells(around: Surroundings) -> dict[str, Cell]:
    return {
        "product_id": Cell("text", partial(required_id, "product_id")),
        "product_name": Cell("text", lambda cell: read_text(cell, "product_name")),
        "category": Cell("text", lambda cell: read_text(cell, "category")),
        "price": Cell("bigint", lambda cell: minor_units(cell, around, "price") if cell else None),
        "url": Cell("text", partial(_address, "url")),
        "image_url": Cell("text", partial(_address, "image_url")),
    }


def _address(column: str, cell: str) -> str:
    try:
        parts = urlsplit(read_text(cell, column))
        usable = not cell or (parts.scheme in ("http", "https") and bool(parts.hostname))
    except ValueError:
        usable = False
    if not usable:
        raise LineRefusedError(
            f"{column} is {cell[:60]!r}, no web address. Write it like https://example.com/tea."
        )
    return cell


def _upsert(
    connection: Connection, tenant_id: int, batch: TableClause, given: Sequence[str]
) -> None:
    product = table(Product)
    names = [_STORED_AS.get(name, name) for name in given]
    rows: Any = select(literal(tenant_id), batch.c.product_id, *(batch.c[name] for name in given))
    key = ["tenant_id", "external_id"]
    new = pg.insert(product).from_select([*key, *names], rows.order_by(batch.c.line))
    if names:
        new = new.on_conflict_do_update(
            index_elements=key,
            set_={name: new.excluded[name] for name in names},
            where=or_(*(product.c[name].is_distinct_from(new.excluded[name]) for name in names)),
        )
    else:
        new = new.on_conflict_do_nothing(index_elements=key)
    touch(connection, new.returning(product.c.id, CREATED).cte("written"))
