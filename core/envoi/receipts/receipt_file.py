"""The form of files of receipts: one row a line of a receipt, or one row a receipt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any, NamedTuple

from envoi.customers.csv_reader import Columns, LineRefusedError, Row
from envoi.customers.fields import NO, YES
from envoi.customers.values import Style, plain_number, read_moment, read_number, read_text

COLUMNS = Columns(
    required=("receipt_id", "customer_id", "at", "amount"),
    optional=("product_id", "product_name", "category", "quantity", "cancelled"),
)

LONGEST_ID = 200
_LARGEST_WHOLE = 11
"""Digits before the decimals, so that the sum of a receipt's lines fits a bigint."""


class Cell(NamedTuple):
    """A column of the staging table: its type, and how a cell becomes its value."""

    kind: str
    read: Callable[[str], Any]


class Surroundings(NamedTuple):
    """What reading amounts and times depends on besides the file."""

    zone: tzinfo
    decimals: int
    style: Style


class RowReader:
    """Turns rows into values in the order of `cells`; a column that is absent is empty."""

    def __init__(self, columns: Sequence[str], cells: dict[str, Cell]) -> None:
        self.staging = [(name, cell.kind) for name, cell in cells.items()]
        self._readers = [
            (columns.index(name) if name in columns else None, cell.read)
            for name, cell in cells.items()
        ]

    def read(self, row: Row) -> list[Any]:
        """Return a row's values; raise `LineRefusedError` with the reason."""
        return [read("" if at is None else row.cells[at]) for at, read in self._readers]


def receipt_cells(around: Surroundings) -> dict[str, Cell]:
    """Return the columns of a receipts file."""
    return {
        "receipt_id": Cell("text", partial(required_id, "receipt_id")),
        "customer_id": Cell("text", partial(required_id, "customer_id")),
        "at": Cell("timestamptz", partial(_at, around)),
        **line_cells(around, lambda cell: read_text(cell, "product_id", LONGEST_ID) or None),
        "cancelled": Cell("boolean", _cancelled),
    }


def line_cells(around: Surroundings, product_id: Callable[[str], Any]) -> dict[str, Cell]:
    """Return the columns of a line of a receipt."""
    return {
        "amount": Cell("bigint", partial(minor_units, around=around)),
        "product_id": Cell("text", product_id),
        "product_name": Cell("text", lambda cell: read_text(cell, "product_name")),
        "category": Cell("text", lambda cell: read_text(cell, "category")),
        "quantity": Cell("float8", lambda cell: read_number(cell or "1", "quantity", around.style)),
    }


def minor_units(cell: str, around: Surroundings, column: str = "amount") -> int:
    """Return an amount in minor units exactly, or refuse the line."""
    plain = plain_number(cell, around.style)
    if plain is None:
        raise LineRefusedError(f"{column} is {cell[:40]!r}, no amount. Write it like 1234.50.")
    whole, _, fraction = plain.partition(".")
    fraction, decimals = fraction.rstrip("0"), around.decimals
    if len(fraction) > decimals:
        raise LineRefusedError(
            f"{column} is {cell}, but the company's currency has {decimals} decimals. Round it."
        )
    if len(whole.lstrip("+-0")) > _LARGEST_WHOLE:
        raise LineRefusedError(f"{column} is {cell[:40]!r}, more than can be kept. Correct it.")
    return int(whole + fraction.ljust(decimals, "0"))


def required_id(column: str, cell: str) -> str:
    """Return an id, or refuse the line where there is none."""
    if not cell:
        raise LineRefusedError(f"{column} is empty. Every row needs one.")
    return read_text(cell, column, LONGEST_ID)


def _at(around: Surroundings, cell: str) -> str:
    if not cell:
        raise LineRefusedError("at is empty. Every receipt needs a time.")
    return read_moment(cell, "at", around.zone, around.style)


def _cancelled(cell: str) -> bool:
    answer = cell.lower()
    if answer in YES:
        return True
    if answer and answer not in NO:
        raise LineRefusedError(f"cancelled is {cell[:40]!r}. Write Y, N or nothing.")
    return False
