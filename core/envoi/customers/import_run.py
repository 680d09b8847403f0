"""Running an import: alone, told of, stopped when asked, and taken up where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, func, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.customers.batches import BATCH_LINES, Course, import_table
from envoi.customers.error_file import ErrorFile
from envoi.customers.import_kinds import FORMS, ImportKind
from envoi.customers.imports import (
    ENDED,
    ImportStatus,
    counted,
    error_file_path,
    find_import,
    import_status,
)
from envoi.customers.intake import forget_uploads, open_table
from envoi.customers.mapping import Mapping, by_header
from envoi.customers.models import Import, ImportState
from envoi.customers.staging import Applied, ImportCounts, Importer, Progress
from envoi.db import Database, table
from envoi.errors import EnvoiError, NotFoundError
from envoi.jobs import Work, announce, withdraw
from envoi.receipts.attribution import announce_attribution
from envoi.settings import Settings

log = structlog.get_logger(__name__)

ATTRIBUTED_AFTER = timedelta(minutes=1)
"""How often receipts are attributed while their import goes on."""

ANALYZE_FROM = 50_000
"""Imports of more rows than this refresh the planner's statistics."""

_REPORT_SECONDS = 2.0
_OVER = frozenset((ImportState.CHECKED, ImportState.DONE, ImportState.FAILED))


class Site(Protocol):
    """What running an import needs of an installation."""

    @property
    def settings(self) -> Settings:
        """The settings, for the data folder."""

    @property
    def database(self) -> Database:
        """The database."""


class _StoppedError(EnvoiError):
    """The import was cancelled, or this process is to end; what is saved is saved."""


def run_import(
    site: Site,
    tenant_id: int,
    import_id: int,
    progress: Progress | None = None,
    *,
    stopping: Callable[[], bool] = lambda: False,
    batch_lines: int = BATCH_LINES,
) -> ImportStatus:
    """Run an announced import to its end; one that is running elsewhere or done is left alone.

    A file that cannot be used ends as FAILED with the reason. Lost connections are raised and
    leave the import announced, so that it goes on after its last batch.

    Args:
        site: Settings and database.
        tenant_id: The tenant.
        import_id: The import.
        progress: Is told how far it is, besides the row that pages look at.
        stopping: Tells that this process is to end; the import is left announced then.
        batch_lines: How many lines are joined in at a time.
    """
    with _alone(site.database, import_id) as alone:
        if alone:
            row = _begin(site, tenant_id, import_id)
            if row is not None:
                teller = _Teller(site.database, tenant_id, import_id, progress, stopping)
                _run(site, tenant_id, row, teller, batch_lines)
    with site.database.tenant_session(tenant_id) as session:
        return import_status(session, tenant_id, import_id)


def _run(site: Site, tenant_id: int, row: Import, teller: _Teller, batch_lines: int) -> None:
    try:
        _import(site, tenant_id, row, teller, batch_lines)
    except OperationalError:
        raise
    except _StoppedError:
        log.info("import_stopped", tenant=tenant_id, import_id=row.id)
    except EnvoiError as error:
        _fail(site.database, tenant_id, row.id, str(error))
    except Exception:
        reason = (
            "The import stopped at an error of the program; what it had saved is kept."
            f" Tell an administrator the number of the import, {row.id}."
        )
        _fail(site.database, tenant_id, row.id, reason)
        raise
    with site.database.tenant_session(tenant_id) as session:
        if find_import(session, tenant_id, row.id).state in _OVER:
            _keep_files(session, tenant_id, row, site.settings)
        forget_uploads(session, tenant_id, site.settings)


def _import(site: Site, tenant_id: int, row: Import, teller: _Teller, batch_lines: int) -> None:
    if not row.path or not Path(row.path).is_file():
        raise NotFoundError("The uploaded file is gone. Upload it again.")
    form, file = FORMS[ImportKind(row.kind)], open_table(Path(row.path))
    mapping = Mapping(**row.mapping) if row.mapping else by_header(file.header, form.columns)
    course = Course(
        dry_run=row.dry_run,
        position=0 if row.dry_run else row.position,
        applied=Applied() if row.dry_run else Applied(**row.details.get("applied", {})),
        tell=teller.tell,
        keep=partial(_keep, tenant_id, row),
        batch_lines=batch_lines,
    )
    error_path = error_file_path(site.settings.data_dir, tenant_id, row.id)
    with (
        ErrorFile(error_path) as errors,
        site.database.tenant_transactions(tenant_id) as transaction,
    ):

        def make(connection: Connection) -> Importer:
            return form.importer(connection, tenant_id, mapping)

        counts = import_table(transaction, make, file, errors, course)
    with site.database.tenant_session(tenant_id) as session:
        details = counted(counts, errors.reasons, dry_run=row.dry_run)
        _finish(session, tenant_id, row, counts, details)


def _keep(
    tenant_id: int, row: Import, connection: Connection, position: int, applied: Applied
) -> None:
    """Write down where the import stands and what follows of it, in the batch's transaction."""
    details = {"applied": applied._asdict()}
    if not _save(connection, tenant_id, row.id, details, position=position):
        raise _StoppedError
    if FORMS[ImportKind(row.kind)].attributes and not row.dry_run:
        soon = datetime.now(UTC) + ATTRIBUTED_AFTER
        announce_attribution(connection, tenant_id, due_at=soon)


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


def _begin(site: Site, tenant_id: int, import_id: int) -> Import | None:
    """Begin an import; one that is over has been announced for its files to be deleted."""
    with site.database.tenant_session(tenant_id) as session:
        row = find_import(session, tenant_id, import_id)
        if row.state not in (ImportState.WAITING, ImportState.RUNNING):
            withdraw(session, tenant_id, Work.IMPORT, import_id)
            forget_uploads(session, tenant_id, site.settings)
            session.refresh(row)
            if row.path:
                _keep_files(session, tenant_id, row, site.settings)
            return None
        row.state = ImportState.RUNNING
    return row


def _keep_files(session: Session, tenant_id: int, row: Import, settings: Settings) -> None:
    """Announce that the files of an import are to be deleted when nobody needs them any more."""
    since = row.finished_at or datetime.now(UTC)
    announce(session, tenant_id, Work.IMPORT, row.id, since + timedelta(days=settings.upload_days))


class _Teller:
    """Writes the progress down every two seconds and stops an import that is not wanted."""

    def __init__(
        self,
        database: Database,
        tenant_id: int,
        import_id: int,
        progress: Progress | None,
        stopping: Callable[[], bool],
    ) -> None:
        self._database, self._tenant_id, self._import_id = database, tenant_id, import_id
        self._progress, self._stopping = progress, stopping
        self._last = time.monotonic()

    def tell(self, read: int, saved: int, lines: int) -> None:
        """Tell of the progress; raise where the import is to stop."""
        if self._progress:
            self._progress(read, saved, lines)
        if self._stopping():
            raise _StoppedError
        if time.monotonic() - self._last >= _REPORT_SECONDS or saved == lines:
            self._last = time.monotonic()
            self._write({"lines_read": read, "lines_saved": saved, "lines": lines})

    def _write(self, details: dict[str, Any]) -> None:
        with self._database.tenant_connection(self._tenant_id, durable=False) as connection:
            if not _save(connection, self._tenant_id, self._import_id, details):
                raise _StoppedError


def _finish(
    session: Session, tenant_id: int, row: Import, counts: ImportCounts, details: dict[str, Any]
) -> None:
    """Write the end down; a person may have cancelled the import in the last moment."""
    values: dict[str, Any] = {"state": ImportState.CHECKED}
    if not row.dry_run:
        names = ("total", "created", "changed", "unchanged", "refused")
        values = {name: getattr(counts, name) for name in names}
        values |= {"state": ImportState.DONE, "finished_at": func.now()}
        if counts.total > ANALYZE_FROM:
            session.execute(text(_ANALYZE))
    _save(session, tenant_id, row.id, details, **values)
    withdraw(session, tenant_id, Work.IMPORT, row.id)
    if FORMS[ImportKind(row.kind)].attributes and not row.dry_run:
        announce_attribution(session, tenant_id)


_ANALYZE = (
    "ANALYZE customer, customer_token, customer_value, opt_out, receipt, receipt_line, product"
)


def _fail(database: Database, tenant_id: int, import_id: int, reason: str) -> None:
    log.warning("import_failed", tenant=tenant_id, import_id=import_id, reason=reason)
    with database.tenant_session(tenant_id) as session:
        ended = {"state": ImportState.FAILED, "finished_at": func.now()}
        _save(session, tenant_id, import_id, {}, message=reason, **ended)
        withdraw(session, tenant_id, Work.IMPORT, import_id)


def _save(
    session: Session | Connection,
    tenant_id: int,
    import_id: int,
    details: dict[str, Any],
    **values: Any,
) -> bool:
    """Change an import; false where it has been cancelled."""
    imports = table(Import)
    mine = (imports.c.tenant_id == tenant_id, imports.c.id == import_id)
    wanted = imports.c.state.not_in([int(state) for state in ENDED])
    merged = imports.c.details.op("||")(details)
    statement = update(imports).where(*mine, wanted).values(details=merged, **values)
    return session.execute(statement.returning(imports.c.id)).first() is not None
