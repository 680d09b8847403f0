"""The form of a receipts file: one row a line of a receipt, or one row a receipt."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from envoi.customers.csv_reader import Columns, LineRefusedError, Row
from envoi.customers.fields import read_number, read_text

COLUMNS = Columns(
    required=("receipt_id", "customer_id", "at", "amount"),
    optional=("product_id", "product_name", "category", "quantity", "cancelled"),
)

_LONGEST_ID = 200
_AMOUNT = re.compile(r"([+-]?[0-9]{1,13})(?:\.([0-9]{0,6}))?\Z")
_ANSWERS = {
    **dict.fromkeys(("y", "yes", "true", "1", "да"), True),
    **dict.fromkeys(("", "n", "no", "false", "0", "нет"), False),
}
_TYPES = {
    "receipt_id": "text",
    "customer_id": "text",
    "at": "timestamptz",
    "amount": "bigint",
    "product_id": "text",
    "product_name": "text",
    "category": "text",
    "quantity": "float8",
    "cancelled": "boolean",
}


class ReceiptFile:
    """Turns rows into values in the order of `staging`; a column that is absent is empty."""

    staging = tuple(_TYPES.items())

    def __init__(self, columns: list[str], zone: tzinfo, decimals: int) -> None:
        """Read amounts with so many decimals, and times without an offset in this zone."""
        self.notes: list[str] = []
        self.broken: dict[str, int] = {}
        self._receipt = columns.index("receipt_id")
        self._readers = [
            (columns.index(name) if name in columns else None, read)
            for name, read in _readers(zone, decimals)
        ]

    def read(self, row: Row) -> list[Any]:
        """Return a row's values, the line first; raise `LineRefusedError` with the reason."""
        try:
            return [
                row.line,
                *(read("" if at is None else row.cells[at]) for at, read in self._readers),
            ]
        except LineRefusedError:
            self.broken.setdefault(row.cells[self._receipt], row.line)
            raise


def _readers(zone: tzinfo, decimals: int) -> list[tuple[str, Callable[[str], Any]]]:
    return [
        ("receipt_id", partial(_id, "receipt_id")),
        ("customer_id", partial(_id, "customer_id")),
        ("at", partial(_moment, zone)),
        ("amount", partial(minor_units, decimals=decimals)),
        ("product_id", lambda cell: read_text(cell, "product_id", _LONGEST_ID) or None),
        ("product_name", lambda cell: read_text(cell, "product_name")),
        ("category", lambda cell: read_text(cell, "category")),
        ("quantity", lambda cell: read_number(cell or "1", "quantity")),
        ("cancelled", _cancelled),
    ]


def minor_units(cell: str, decimals: int) -> int:
    """Return an amount in minor units exactly, or refuse the line."""
    found = _AMOUNT.match(cell)
    if not found:
        raise LineRefusedError(f"amount is {cell[:40]!r}, no amount. Write it like 1234.50.")
    whole, fraction = found[1], (found[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise LineRefusedError(
            f"amount is {cell}, but the company's currency has {decimals} decimals. Round it."
        )
    return int(whole + fraction.ljust(decimals, "0"))


def _id(column: str, cell: str) -> str:
    if not cell:
        raise LineRefusedError(f"{column} is empty. Every row needs one.")
    return read_text(cell, column, _LONGEST_ID)


def _moment(zone: tzinfo, cell: str) -> str:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        raise LineRefusedError(
            f"at is {cell[:40]!r}, no time. Write it like 2026-11-24T10:00:00+01:00."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).isoformat()


def _cancelled(cell: str) -> bool:
    answer = _ANSWERS.get(cell.lower())
    if answer is None:
        raise LineRefusedError(f"cancelled is {cell[:40]!r}. Write Y, N or nothing.")
    return answer
