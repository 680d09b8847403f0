"""The shipped purchases as files that an import reads; see `data/README.md`."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from envoi.demo.identities import Identity, identities

DATA = Path(__file__).with_name("data")
RECEIPT_COLUMNS = (
    *("receipt_id", "customer_id", "at", "product_id", "product_name", "category"),
    *("quantity", "amount"),
)


def write_customers(path: Path, today: date) -> None:
    """Write the invented customers."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Identity)])
        writer.writeheader()
        writer.writerows(asdict(i) for i in identities(list(_rows("households")), today))


def write_receipts(path: Path, now: datetime) -> None:
    """Write the receipts, moved by whole weeks so that the last of them is recent."""
    products = {row["product"]: row for row in _rows("products")}
    receipts = list(_rows("receipts"))
    last = max(_moment(row) for row in receipts)
    moved = timedelta(weeks=(now - last).days // 7)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(RECEIPT_COLUMNS)
        for number, receipt in enumerate(receipts, start=1):
            at = (_moment(receipt) + moved).isoformat()
            customer = f"C-{int(receipt['household']):06d}"
            for line in receipt["lines"].split():
                product, quantity, cents = line.split(":")
                name, category = products[product]["category"], products[product]["department"]
                amount = f"{int(cents) / 100:.2f}"
                row = (f"R-{number:06d}", customer, at, product, name, category, quantity, amount)
                writer.writerow(row)


def _moment(receipt: dict[str, str]) -> datetime:
    return datetime.fromisoformat(receipt["at"]).replace(tzinfo=UTC)


def _rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
