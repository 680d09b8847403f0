"""import_customers: 200,000 rows with phone and email checks, on the product's own path."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, at_least
from envoi.customers.batches import import_table
from envoi.customers.customer_file import COLUMNS
from envoi.customers.error_file import ErrorFile
from envoi.customers.importing import CustomerImport
from envoi.customers.intake import open_table
from envoi.customers.mapping import by_header
from envoi.customers.staging import ImportCounts
from envoi.db import Database

ROWS = 200_000
BOUND = 5_000
_FIRST = ("Anna", "Boris", "Clara", "Дмитрий", "Elena", "Félix", "Grete", "Hans-Peter")
_LAST = ("Adler", "Brandt", "Conrad", "Dorn", "Engel", "Фёдоров", "Groß")
_HEADER = (
    "external_id,first_name,last_name,gender,birth_date,registered_on,city,time_zone,email,phone,"
    "subscribed_email,field.shoe_size"
)


def write_customers(path: Path, rows: int) -> None:
    """Write a customers file as a partner's system would: every column, some contacts wrong."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_HEADER.split(","))
        writer.writerows(_row(number) for number in range(rows))


def _row(n: int) -> list[str]:
    phone = f"+49151{10_000_000 + n}" if n % 3 else f"0151 {10_000_000 + n}"
    return [
        f"B-{n}",
        _FIRST[n % 8],
        f"{_LAST[n % 7]}{n % 2003}",
        "FM"[n % 2],
        f"{1940 + n % 65}-{1 + n % 12:02}-{1 + n % 28:02}",
        f"202{n % 5}-{1 + n % 12:02}-{1 + n % 28:02}",
        "Berlin",
        "Europe/Berlin",
        f"Person.{n}@Mail{n % 50}.example.com" if n % 200 else f"person{n}(at)example.com",
        phone,
        "N" if n % 40 == 0 else "Y",
        str(36 + n % 10),
    ]


def bench_import_customers(database: Database, tenant_id: int, rows: int = ROWS) -> float:
    """Return rows per second of one import of a file into a tenant without customers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.csv"
        write_customers(path, rows)
        started = time.perf_counter()
        counts = _import(database, tenant_id, path)
        seconds = time.perf_counter() - started
    if counts.created != rows:
        raise AssertionError(f"{counts.created} of {rows} customers were created")
    return rows / seconds


def _import(database: Database, tenant_id: int, path: Path) -> ImportCounts:
    file = open_table(path)
    mapping = by_header(file.header, COLUMNS)
    with (
        ErrorFile(path.with_name("errors.csv")) as errors,
        database.tenant_transactions(tenant_id) as transaction,
    ):
        return import_table(
            transaction,
            lambda connection: CustomerImport(connection, tenant_id, mapping),
            file,
            errors,
        )


def run(database: Database, tenant_id: int) -> list[Figure]:
    """Measure once; a run takes long enough not to need a median."""
    rate = bench_import_customers(database, tenant_id)
    return [at_least("import_customers.rate", rate, "rows/s", BOUND)]
