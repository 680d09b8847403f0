"""What can be done with imports: take a file in, run it, tell how far it is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

import structlog
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.customers.error_file import ErrorFile
from envoi.customers.importing import import_customers
from envoi.customers.models import Import, ImportState
from envoi.customers.staging import ImportCounts, Progress
from envoi.db import Database, table
from envoi.errors import EnvoiError, NotFoundError
from envoi.jobs import Work, announce, withdraw
from envoi.receipts.importing import import_receipts
from envoi.settings import Settings

log = structlog.get_logger(__name__)

EVERY_RUN = 0
"""Stands for the run of an announced attribution that concerns all open windows."""

_REPORT_SECONDS = 2.0
_CHUNK = 1 << 20


class ImportKind(StrEnum):
    """What a file holds."""

    CUSTOMERS = "customers"
    RECEIPTS = "receipts"


ImportFile = Callable[[Connection, int, Path, ErrorFile, Progress], ImportCounts]

_IMPORTERS: dict[ImportKind, ImportFile] = {
    ImportKind.CUSTOMERS: import_customers,
    ImportKind.RECEIPTS: import_receipts,
}


class Site(Protocol):
    """What running an import needs of an installation."""

    @property
    def settings(self) -> Settings:
        """The settings, for the data folder."""

    @property
    def database(self) -> Database:
        """The database."""


@dataclass(frozen=True, kw_only=True)
class ImportStatus:
    """An import as a page or a terminal shows it; the counts are None until it is done."""

    id: int
    kind: ImportKind
    file_name: str
    state: ImportState
    lines_read: int
    lines: int
    counts: ImportCounts | None
    message: str
    created_at: datetime
    finished_at: datetime | None


def store_upload(data_dir: Path, stream: IO[bytes]) -> Path:
    """Keep an uploaded file under a name that nobody can guess, readable by us alone."""
    folder = data_dir / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.csv"
    with path.open("xb") as target:
        path.chmod(0o600)
        while chunk := stream.read(_CHUNK):
            target.write(chunk)
    return path


def create_import(
    session: Session,
    tenant_id: int,
    kind: ImportKind,
    file_name: str,
    path: Path,
    account_id: int | None = None,
) -> int:
    """Announce the import of a stored file and return its number."""
    row = Import(
        tenant_id=tenant_id,
        kind=kind,
        file_name=Path(file_name).name[:200],
        path=str(path),
        created_by=account_id,
    )
    session.add(row)
    session.flush()
    announce(session, tenant_id, Work.IMPORT, row.id)
    return row.id


def error_file_path(data_dir: Path, tenant_id: int, import_id: int) -> Path:
    """Return where an import's error file is."""
    return data_dir / "imports" / str(tenant_id) / f"{import_id}.csv"


def import_status(session: Session, tenant_id: int, import_id: int) -> ImportStatus:
    """Tell how far an import is; `NotFoundError` where the tenant has none of this number."""
    return _status(_find(session, tenant_id, import_id))


def recent_imports(session: Session, tenant_id: int, limit: int = 10) -> list[ImportStatus]:
    """List the latest imports of a tenant, newest first."""
    c = table(Import).c
    query = select(Import).where(c.tenant_id == tenant_id).order_by(c.id.desc()).limit(limit)
    return [_status(row) for row in session.scalars(query)]


def _status(row: Import) -> ImportStatus:
    counts = row.details.get("counts")
    return ImportStatus(
        id=row.id,
        kind=ImportKind(row.kind),
        file_name=row.file_name,
        state=ImportState(row.state),
        lines_read=row.details.get("lines_read", 0),
        lines=row.details.get("lines", 0),
        counts=ImportCounts(**counts) if counts else None,
        message=row.message,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def run_import(
    site: Site, tenant_id: int, import_id: int, progress: Progress | None = None
) -> ImportStatus:
    """Run an announced import to its end; one that is running elsewhere or done is left alone.

    A file that cannot be used ends as FAILED with the reason. Lost connections are raised and
    leave the import announced, so that it is run again from the start.

    Args:
        site: Settings and database.
        tenant_id: The tenant.
        import_id: The import, made by `create_import`.
        progress: Is told how far the reading is, besides the row that pages look at.
    """
    with _alone(site.database, import_id) as alone:
        if alone:
            row = _begin(site.database, tenant_id, import_id)
            if row is not None:
                _run(site, tenant_id, row, progress or (lambda *_: None))
    with site.database.tenant_session(tenant_id) as session:
        return import_status(session, tenant_id, import_id)


def _run(site: Site, tenant_id: int, row: Import, progress: Progress) -> None:
    try:
        _import(site, tenant_id, row, _reporter(site.database, tenant_id, row.id, progress))
    except OperationalError:
        raise
    except EnvoiError as error:
        _fail(site.database, tenant_id, row.id, str(error))
    except Exception:
        reason = (
            "The import stopped at an error of the program and changed nothing."
            f" Tell an administrator the number of the import, {row.id}."
        )
        _fail(site.database, tenant_id, row.id, reason)
        raise


def _import(site: Site, tenant_id: int, row: Import, progress: Progress) -> None:
    path = Path(row.path)
    if not path.is_file():
        raise NotFoundError("The uploaded file is gone. Upload it again.")
    kind = ImportKind(row.kind)
    error_path = error_file_path(site.settings.data_dir, tenant_id, row.id)
    with ErrorFile(error_path) as errors, site.database.tenant_session(tenant_id) as session:
        counts = _IMPORTERS[kind](session.connection(), tenant_id, path, errors, progress)
        _finish(session, tenant_id, row.id, counts)
        if kind == ImportKind.RECEIPTS:
            announce(session, tenant_id, Work.ATTRIBUTE, EVERY_RUN)


@contextmanager
def _alone(database: Database, import_id: int) -> Iterator[bool]:
    """Hold an import for this process; the lock of one that is killed frees itself."""
    lock = {"space": "envoi.import", "import": import_id}
    key = "hashtextextended(:space, :import)"
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        alone = bool(connection.scalar(text(f"SELECT pg_try_advisory_lock({key})"), lock))
        try:
            yield alone
        finally:
            if alone:
                connection.execute(text(f"SELECT pg_advisory_unlock({key})"), lock)


def _begin(database: Database, tenant_id: int, import_id: int) -> Import | None:
    with database.tenant_session(tenant_id) as session:
        row = _find(session, tenant_id, import_id)
        if row.state in (ImportState.DONE, ImportState.FAILED):
            withdraw(session, tenant_id, Work.IMPORT, import_id)
            return None
        row.state = ImportState.RUNNING
    return row


def _reporter(database: Database, tenant_id: int, import_id: int, tell: Progress) -> Progress:
    """Write the progress down every two seconds, in transactions of its own."""
    last = time.monotonic()

    def report(done: int, lines: int) -> None:
        nonlocal last
        tell(done, lines)
        if time.monotonic() - last >= _REPORT_SECONDS or done == lines:
            last = time.monotonic()
            with database.tenant_session(tenant_id, durable=False) as session:
                _save(session, tenant_id, import_id, {"lines_read": done, "lines": lines})

    return report


def _finish(session: Session, tenant_id: int, import_id: int, counts: ImportCounts) -> None:
    shown = {
        "state": ImportState.DONE,
        "total": counts.total,
        "created": counts.created,
        "changed": counts.changed,
        "refused": counts.refused,
        "finished_at": func.now(),
    }
    _save(session, tenant_id, import_id, {"counts": asdict(counts)}, **shown)
    withdraw(session, tenant_id, Work.IMPORT, import_id)


def _fail(database: Database, tenant_id: int, import_id: int, reason: str) -> None:
    log.warning("import_failed", tenant=tenant_id, import_id=import_id, reason=reason)
    with database.tenant_session(tenant_id) as session:
        ended = {"state": ImportState.FAILED, "finished_at": datetime.now(UTC)}
        _save(session, tenant_id, import_id, {}, message=reason, **ended)
        withdraw(session, tenant_id, Work.IMPORT, import_id)


def _save(
    session: Session, tenant_id: int, import_id: int, details: dict[str, Any], **values: Any
) -> None:
    imports = table(Import)
    mine = (imports.c.tenant_id == tenant_id, imports.c.id == import_id)
    merged = imports.c.details.op("||")(details)
    session.execute(update(imports).where(*mine).values(details=merged, **values))


def _find(session: Session, tenant_id: int, import_id: int) -> Import:
    c = table(Import).c
    row = session.scalar(select(Import).where(c.tenant_id == tenant_id, c.id == import_id))
    if row is None:
        raise NotFoundError("There is no such import.")
    return row
