"""Imports as jobs: announced, run once, followed, and ended with a clear result."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import text

from envoi.customers.import_kinds import ImportKind
from envoi.customers.import_run import run_import
from envoi.customers.imports import (
    ImportStatus,
    create_import,
    error_file_path,
    import_status,
)
from envoi.customers.intake import store_upload
from envoi.customers.models import ImportState
from envoi.db import Database
from envoi.errors import NotFoundError
from envoi.settings import Settings, load_settings
from factories.customers import make_customers


@dataclass(frozen=True)
class Here:
    """The parts of an installation that an import needs."""

    settings: Settings
    database: Database


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Here:
    """Settings with a data folder of this test, and the database."""
    return Here(load_settings(data_dir=tmp_path), database)


def _announced(site: Here, tenant_id: int, kind: ImportKind, content: bytes) -> int:
    path = store_upload(site.settings.data_dir, BytesIO(content))
    with site.database.tenant_session(tenant_id) as session:
        return create_import(session, tenant_id, kind, "C:/lists/a.csv", path, account_id=1)


def _due(site: Here, tenant_id: int) -> list[str]:
    query = text("SELECT kind FROM due_work WHERE tenant_id = :t AND due_at <= now() ORDER BY kind")
    with site.database.system_session() as session:
        return list(session.scalars(query, {"t": tenant_id}))


def test_an_import_runs_to_its_end_once(site: Here, tenant_id: int) -> None:
    content = b"external_id,email\nC-1,a@b.test\nC-2,nothing\n,x@b.test\n"
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, content)
    assert _due(site, tenant_id) == ["import_file"]
    told: list[tuple[int, int, int]] = []
    status = run_import(site, tenant_id, number, lambda *now: told.append(now))
    assert status.state == ImportState.DONE
    assert status.counts is not None
    assert (status.counts.created, status.counts.refused, status.counts.warnings) == (2, 1, 1)
    assert (status.lines_read, status.lines_saved, status.lines) == told[-1] == (3, 3, 3)
    assert _due(site, tenant_id) == []
    assert run_import(site, tenant_id, number) == status
    errors = error_file_path(site.settings.data_dir, tenant_id, number).read_text("utf-8-sig")
    assert errors.count("\n") == 3


def test_receipts_announce_their_attribution(site: Here, tenant_id: int) -> None:
    with site.database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 1)
    content = b"receipt_id,customer_id,at,amount\nR-1,C-1,2026-07-01,5\n"
    number = _announced(site, tenant_id, ImportKind.RECEIPTS, content)
    assert run_import(site, tenant_id, number).state == ImportState.DONE
    assert _due(site, tenant_id) == ["attribute"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name\nAnna\n", "no column external_id"),
        (b"external_id,city\nC-1,K\xf6ln\n", "Line 2 is not UTF-8"),
        (b"", "empty"),
    ],
)
def test_an_unusable_file_ends_with_the_reason(
    site: Here, tenant_id: int, content: bytes, reason: str
) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, content)
    status = run_import(site, tenant_id, number)
    assert status.state == ImportState.FAILED
    assert reason in status.message
    assert status.counts is None
    assert _due(site, tenant_id) == []


def test_a_file_that_is_gone(site: Here, tenant_id: int) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, b"external_id\nC-1\n")
    (upload,) = (site.settings.data_dir / "uploads").iterdir()
    upload.unlink()
    status = run_import(site, tenant_id, number)
    assert (status.state, status.message) == (
        ImportState.FAILED,
        "The uploaded file is gone. Upload it again.",
    )


def test_an_import_that_runs_elsewhere_is_left_alone(site: Here, tenant_id: int) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, b"external_id\nC-1\n")
    seen: list[ImportStatus] = []

    def meanwhile(*_: int) -> None:
        if not seen:
            seen.append(run_import(site, tenant_id, number))

    status = run_import(site, tenant_id, number, meanwhile)
    assert [s.state for s in seen] == [ImportState.RUNNING]
    assert status.state == ImportState.DONE
    assert status.file_name == "a.csv"


def test_an_import_belongs_to_its_tenant(site: Here, tenant_id: int) -> None:
    number = _announced(site, tenant_id, ImportKind.CUSTOMERS, b"external_id\nC-1\n")
    other = tenant_id + 1_000_000
    with site.database.tenant_session(other) as session, pytest.raises(NotFoundError):
        import_status(session, other, number)


def test_uploads_are_private_and_cannot_be_guessed(tmp_path: Path) -> None:
    paths = {store_upload(tmp_path, BytesIO(b"x")) for _ in range(3)}
    assert len({path.name for path in paths}) == 3
    assert {oct(path.stat().st_mode & 0o777) for path in paths} == {"0o600"}
    assert oct((tmp_path / "uploads").stat().st_mode & 0o777) == "0o700"
