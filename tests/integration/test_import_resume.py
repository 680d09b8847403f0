"""Imports in batches: a dry run tells the truth, a killed import goes on, nothing counts twice."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from envoi.customers.import_kinds import ImportKind
from envoi.customers.import_run import run_import
from envoi.customers.imports import (
    ImportStatus,
    cancel_import,
    create_import,
    error_file_path,
    find_import,
    import_status,
    start_check,
    start_import,
)
from envoi.customers.intake import store_upload
from envoi.customers.mapping import Mapping
from envoi.customers.models import ImportState
from envoi.db import Database
from envoi.settings import Settings, load_settings
from envoi.tenants.service import create_tenant

BATCH = 100
COLUMNS = {
    ImportKind.CUSTOMERS: "external_id first_name birth_date email subscribed_email field.size",
    ImportKind.PRODUCTS: "product_id product_name category price",
    ImportKind.RECEIPTS: "receipt_id customer_id at amount product_id quantity",
    ImportKind.RECEIPT_LINES: "receipt_id number product_id amount quantity",
}


@dataclass(frozen=True)
class Here:
    """The parts of an installation that an import needs."""

    settings: Settings
    database: Database


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Here:
    """Settings with a data folder of this test, and the database."""
    return Here(load_settings(data_dir=tmp_path), database)


def _cells(kind: ImportKind, draw: random.Random) -> list[str]:
    """A row: of few things, so that they come again, and wrong in one of twenty cells."""
    known = {
        "external_id": f"C-{draw.randrange(300)}",
        "customer_id": f"C-{draw.randrange(20)}",
        "first_name": draw.choice(["Anna", "Boris", ""]),
        "birth_date": draw.choice(["1990-12-31", "31.12.1990", ""]),
        "email": draw.choice(["a@b.test", "bad", ""]),
        "subscribed_email": draw.choice("YN"),
        "field.size": draw.choice(["XL", ""]),
        "receipt_id": f"R-{draw.randrange(250)}",
        "at": "2026-07-01",
        "amount": f"{draw.randrange(1000)}.50",
        "price": str(draw.randrange(9)),
        "product_id": f"P-{draw.randrange(40)}",
        "product_name": draw.choice(["Tea", ""]),
        "category": draw.choice(["Food", ""]),
        "quantity": str(draw.randrange(1, 4)),
        "number": str(draw.randrange(1, 4)),
    }
    if "receipt_id" in COLUMNS[kind]:
        known["customer_id"] = f"C-{int(known['receipt_id'][2:]) % 20}"
    names = COLUMNS[kind].split()
    return [known[name] if draw.random() > 0.02 else "\t=?" for name in names]


def _file(kind: ImportKind, seed: int, rows: int = 700) -> bytes:
    draw, target = random.Random(seed), StringIO()
    writer = csv.writer(target)
    writer.writerow(COLUMNS[kind].split())
    writer.writerows(_cells(kind, draw) for _ in range(rows))
    return target.getvalue().encode()


def _announced(site: Here, tenant_id: int, kind: ImportKind, content: bytes) -> int:
    path = store_upload(site.settings.data_dir, BytesIO(content))
    with site.database.tenant_session(tenant_id) as session:
        return create_import(session, tenant_id, kind, "a.csv", path)


def _imported(site: Here, tenant_id: int, kind: ImportKind, content: bytes) -> ImportStatus:
    number = _announced(site, tenant_id, kind, content)
    return run_import(site, tenant_id, number, batch_lines=BATCH)


def _prepare(site: Here, tenant_id: int, kind: ImportKind) -> None:
    """Let there be what a kind of file refers to, and some of what it changes."""
    customers = "external_id\n" + "".join(f"C-{n}\n" for n in range(20))
    _imported(site, tenant_id, ImportKind.CUSTOMERS, customers.encode())
    if kind != ImportKind.CUSTOMERS:
        _imported(site, tenant_id, ImportKind.RECEIPTS, _file(ImportKind.RECEIPTS, 1, 200))
    else:
        leaving = b"external_id,subscribed_email\nC-1,N\nC-2,N\n"
        _imported(site, tenant_id, ImportKind.CUSTOMERS, leaving)


def _contents(database: Database, tenant_id: int) -> list[Any]:
    """Everything that imports write, without numbers that the database gives."""
    queries = (
        "SELECT external_id, first_name, birth_date, email FROM customer WHERE tenant_id = :t",
        "SELECT text_value FROM customer_value WHERE tenant_id = :t",
        "SELECT code FROM custom_field WHERE tenant_id = :t",
        "SELECT channel, address FROM opt_out WHERE tenant_id = :t",
        "SELECT external_id, name, category, price FROM product WHERE tenant_id = :t",
        "SELECT external_id, amount, items FROM receipt WHERE tenant_id = :t",
        "SELECT product_id > 0, number, amount, quantity FROM receipt_line WHERE tenant_id = :t",
        "SELECT token FROM customer_token WHERE tenant_id = :t",
    )
    with database.tenant_connection(tenant_id) as connection:
        return [
            sorted(map(str, connection.execute(text(query), {"t": tenant_id}).all()))
            for query in queries
        ]


def _mapping(kind: ImportKind) -> Mapping:
    return Mapping(columns=tuple(COLUMNS[kind].split()))


def _checked(site: Here, tenant_id: int, kind: ImportKind, content: bytes) -> ImportStatus:
    number = _announced(site, tenant_id, kind, content)
    with site.database.tenant_connection(tenant_id) as connection:
        connection.execute(
            text("UPDATE import SET state = 5 WHERE tenant_id = :t AND id = :i"),
            {"t": tenant_id, "i": number},
        )
    with site.database.tenant_session(tenant_id) as session:
        start_check(session, tenant_id, number, _mapping(kind))
    return run_import(site, tenant_id, number, batch_lines=BATCH)


@pytest.mark.parametrize("kind", list(COLUMNS))
@pytest.mark.parametrize("seed", [2, 3])
def test_a_dry_run_writes_nothing_and_tells_what_the_import_does(
    site: Here, tenant_id: int, kind: ImportKind, seed: int
) -> None:
    _prepare(site, tenant_id, kind)
    before = _contents(site.database, tenant_id)
    checked = _checked(site, tenant_id, kind, _file(kind, seed))
    assert checked.state == ImportState.CHECKED, checked.message
    assert _contents(site.database, tenant_id) == before
    with site.database.tenant_session(tenant_id) as session:
        start_import(session, tenant_id, checked.id)
    done = run_import(site, tenant_id, checked.id, batch_lines=BATCH)
    assert done.state == ImportState.DONE
    assert done.counts == checked.trial
    assert done.counts is not None
    assert done.counts.refused > 0
    assert done.counts.created + done.counts.changed > 0
    assert done.reasons == checked.reasons
    assert (done.counts.kept_opt_outs > 0) == (kind == ImportKind.CUSTOMERS)
    again = _imported(site, tenant_id, kind, _file(kind, seed))
    assert again.counts is not None
    assert (again.counts.created, again.counts.changed) == (0, 0)


KILLED = """
import os, signal, sys
from types import SimpleNamespace
from envoi.customers.import_run import run_import
from envoi.db import connect
from envoi.settings import load_settings

url, folder, tenant_id, number, upto = sys.argv[1:]

def die(read, saved, lines):
    if saved >= int(upto):
        os.kill(os.getpid(), signal.SIGKILL)

site = SimpleNamespace(settings=load_settings(data_dir=folder), database=connect(url))
run_import(site, int(tenant_id), int(number), die, batch_lines=100)
"""


def _killed(site: Here, tenant_id: int, number: int, upto: int) -> None:
    url = site.database.engine.url.render_as_string(hide_password=False)
    arguments = [url, site.settings.data_dir, tenant_id, number, upto]
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize("kind", [ImportKind.CUSTOMERS, ImportKind.RECEIPTS])
def test_a_killed_import_goes_on_and_ends_as_one_that_was_not(
    site: Here, database: Database, tenant_id: int, kind: ImportKind
) -> None:
    other = create_tenant(database, slug=f"o{uuid4().hex[:12]}", name="Other").id
    content = _file(kind, 5)
    for tenant in (tenant_id, other):
        _prepare(site, tenant, kind)
    number = _announced(site, tenant_id, kind, content)
    _killed(site, tenant_id, number, 300)
    with database.tenant_session(tenant_id) as session:
        assert find_import(session, tenant_id, number).position == 300
        assert import_status(session, tenant_id, number).state == ImportState.RUNNING
    due = text(
        "SELECT ref FROM due_work WHERE tenant_id = :t AND kind = 'import_file' AND due_at <= now()"
    )
    with database.system_session() as session:
        assert list(session.scalars(due, {"t": tenant_id})) == [number]
    _killed(site, tenant_id, number, 500)
    resumed = run_import(site, tenant_id, number, batch_lines=BATCH)
    untouched = _imported(site, other, kind, content)
    assert resumed.counts == untouched.counts
    assert resumed.reasons == untouched.reasons
    assert _contents(database, tenant_id) == _contents(database, other)
    files = [
        error_file_path(site.settings.data_dir, tenant, status.id).read_text("utf-8-sig")
        for tenant, status in ((tenant_id, resumed), (other, untouched))
    ]
    assert files[0] == files[1]


def test_a_worker_that_is_to_end_leaves_the_import_announced(site: Here, tenant_id: int) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, _file(ImportKind.CUSTOMERS, 7))
    told: list[int] = []

    def tell(_read: int, saved: int, _lines: int) -> None:
        told.append(saved)

    def stopping() -> bool:
        return bool(told) and told[-1] >= 200

    status = run_import(site, tenant_id, number, tell, stopping=stopping, batch_lines=BATCH)
    assert status.state == ImportState.RUNNING
    assert run_import(site, tenant_id, number, batch_lines=BATCH).state == ImportState.DONE


def test_a_cancelled_import_stops_after_its_batch(site: Here, tenant_id: int) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, _file(ImportKind.CUSTOMERS, 8))

    def cancel(_read: int, saved: int, lines: int) -> None:
        if 200 <= saved < lines:
            with site.database.tenant_session(tenant_id) as session:
                if import_status(session, tenant_id, number).state == ImportState.RUNNING:
                    cancel_import(session, tenant_id, number)

    status = run_import(site, tenant_id, number, cancel, batch_lines=BATCH)
    assert status.state == ImportState.CANCELLED
    assert status.counts is None
    with site.database.tenant_session(tenant_id) as session:
        assert find_import(session, tenant_id, number).position == 200
    assert list((site.settings.data_dir / "uploads").iterdir()) == []


def test_files_are_forgotten_after_their_time(site: Here, tenant_id: int) -> None:
    folder = site.settings.data_dir / "uploads"
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, b'external_id\nC-1\n""\n')
    ended = run_import(site, tenant_id, number)
    errors = error_file_path(site.settings.data_dir, tenant_id, number)
    due = text("SELECT due_at FROM due_work WHERE tenant_id = :t AND kind = 'import_file'")
    for age, left in ((6, 1), (8, 0)):
        with site.database.tenant_session(tenant_id) as session:
            session.execute(
                text("UPDATE import SET finished_at = now() - make_interval(days => :d)"),
                {"d": age},
            )
        run_import(site, tenant_id, number)
        assert (len(list(folder.iterdir())), errors.is_file()) == (left, bool(left))
        with site.database.system_session() as session:
            assert (session.scalar(due, {"t": tenant_id}) is not None) == bool(left)
    with site.database.tenant_session(tenant_id) as session:
        assert import_status(session, tenant_id, number).counts == ended.counts


Bad = Callable[[int], str]


@pytest.mark.parametrize(
    ("kind", "header", "bad"),
    [
        (ImportKind.CUSTOMERS, "external_id,gender", lambda n: f"C-1,{'X' if n % 2 else 'F'}"),
        (ImportKind.RECEIPTS, "receipt_id,customer_id,at,amount", lambda n: f"R-{n},C-{n},x,1"),
        (
            ImportKind.RECEIPTS,
            "receipt_id,customer_id,at,amount",
            lambda n: f"R-1,C-{n},2026-07-01,1",
        ),
    ],
)
def test_many_bad_rows_are_counted_and_bounded(
    site: Here, tenant_id: int, kind: ImportKind, header: str, bad: Bad
) -> None:
    rows = 60_000
    content = "\n".join([header, *(bad(n) for n in range(rows))]).encode()
    number = _announced(site, tenant_id, kind, content)
    counts = run_import(site, tenant_id, number).counts
    assert counts is not None
    assert counts.total == rows
    assert counts.refused + counts.superseded == rows - counts.imported
    assert counts.imported <= 1
    lines = error_file_path(site.settings.data_dir, tenant_id, number).read_text("utf-8-sig")
    assert lines.count("\n") == 50_002
    assert f"{counts.refused + counts.warnings - 50_000:,} more lines are not listed" in lines
