"""What can be done with exports: ask for one, write it, hand it out, delete it when old."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.errors import EnvoiError, NotFoundError
from envoi.exports.kinds import CONTACTS, EXPORT_KINDS, ExportContext, ExportRows
from envoi.exports.models import Export, ExportState
from envoi.exports.writers import counting, masking, write_csv
from envoi.jobs import Work, announce, withdraw
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import company_zone, tenant_settings
from envoi.twice import one_by_one

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
"""How long a file can be downloaded."""

_FETCHED = 2_000
_REPORT_SECONDS = 2.0


class Site(Protocol):
    """What writing an export needs of an installation."""

    @property
    def settings(self) -> Settings:
        """The settings, for the data folder."""

    @property
    def database(self) -> Database:
        """The database."""

    @property
    def plugins(self) -> Plugins:
        """All plugins."""


@dataclass(frozen=True, kw_only=True)
class ExportStatus:
    """An export as its list shows it; `total` is None until the rows are counted."""

    id: int
    kind: str
    name: str
    state: ExportState
    rows: int
    total: int | None
    message: str
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    ready: bool


def request_export(
    session: Session,
    tenant_id: int,
    kind: str,
    params: Mapping[str, Any],
    account_id: int | None = None,
    *,
    name: str = "",
) -> Export:
    """Announce an export and return its row.

    Args:
        session: An open session of the tenant; the caller commits and hints.
        tenant_id: The tenant.
        kind: One of `EXPORT_KINDS`.
        params: What the kind needs; `contacts: true` leaves contacts in full.
        account_id: Who asks; only they can download it.
        name: What the file is of, until it is written.
    """
    if kind not in EXPORT_KINDS:
        raise NotFoundError(f"There is no export of the kind {kind}.")
    waiting = _waiting(session, tenant_id, kind, params, account_id)
    if waiting is not None:
        return waiting
    row = Export(
        tenant_id=tenant_id, kind=kind, name=name, params=dict(params), created_by=account_id
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    announce(session, tenant_id, Work.EXPORT, row.id)
    return row


def _waiting(
    session: Session, tenant_id: int, kind: str, params: Mapping[str, Any], account_id: int | None
) -> Export | None:
    """The same export that the same person is waiting for already: a form sent twice."""
    one_by_one(session, "export", tenant_id, account_id)
    c = table(Export).c
    open_states = (int(ExportState.WAITING), int(ExportState.RUNNING))
    mine = (c.tenant_id == tenant_id, c.created_by == account_id, c.state.in_(open_states))
    rows = session.scalars(select(Export).where(*mine, c.kind == kind))
    return next((row for row in rows if row.params == dict(params)), None)


def list_exports(
    session: Session, tenant_id: int, account_id: int | None, limit: int = 50
) -> list[ExportStatus]:
    """List what somebody asked for, newest first."""
    c = table(Export).c
    mine = (c.tenant_id == tenant_id, c.created_by == account_id)
    query = select(Export).where(*mine).order_by(c.id.desc()).limit(limit)
    return [_status(row) for row in session.scalars(query)]


def export_status(
    session: Session, tenant_id: int, export_id: int, account_id: int | None
) -> ExportStatus:
    """Tell how far one's export is; `NotFoundError` where it is another's."""
    return _status(_own(session, tenant_id, export_id, account_id))


def export_file(session: Session, tenant_id: int, export_id: int, account_id: int | None) -> Path:
    """Return one's finished file; `NotFoundError` once it is deleted."""
    path = _own(session, tenant_id, export_id, account_id).path
    if not path or not Path(path).is_file():
        raise NotFoundError(
            "The file is not here any more: files are kept for 7 days. Export it again."
        )
    return Path(path)


def run_export(site: Site, tenant_id: int, export_id: int) -> None:
    """Write an announced export, or delete the file of one that is old.

    One that was interrupted begins again, and what it had written is deleted.
    """
    with site.database.tenant_session(tenant_id) as session:
        row = _find(session, tenant_id, export_id)
        if row.state in (ExportState.DONE, ExportState.FAILED):
            _expire(session, row)
            return
        row.state = ExportState.RUNNING
    try:
        _write(site, row)
    except OperationalError:
        raise
    except EnvoiError as error:
        _fail(site.database, row, str(error))
    except Exception:
        reason = "The export stopped at an error of the program. Tell an administrator its number."
        _fail(site.database, row, reason)
        raise


def _write(site: Site, row: Export) -> None:
    now = datetime.now(UTC)
    folder = site.settings.data_dir / "exports" / str(row.tenant_id)
    for left in folder.glob(f"{row.id}-*.part"):
        left.unlink(missing_ok=True)
    path = folder / f"{row.id}-{secrets.token_hex(16)}.csv"
    with site.database.tenant_session(row.tenant_id) as session:
        context = ExportContext(
            session=session,
            tenant_id=row.tenant_id,
            params=row.params,
            plugins=site.plugins,
            now=now,
        )
        rows = EXPORT_KINDS[row.kind](context)
        _save(site.database, row, name=rows.name, total=_counted(session, rows))
        written = _stream(context, rows, path, _reporter(site.database, row))
    with site.database.tenant_session(row.tenant_id) as session:
        _change(session, row, state=ExportState.DONE, rows=written, path=str(path), finished_at=now)
        withdraw(session, row.tenant_id, Work.EXPORT, row.id)
        announce(session, row.tenant_id, Work.EXPORT, row.id, now + KEPT)


def _counted(session: Session, rows: ExportRows) -> int:
    counted = rows.query.order_by(None).subquery()
    return session.scalar(select(func.count()).select_from(counted)) or 0


def _stream(
    context: ExportContext, rows: ExportRows, path: Path, told: Callable[[int], None]
) -> int:
    """Write by a cursor of the server, so that memory stays flat whatever the size."""
    header = [column.name for column in rows.query.selected_columns]
    found = context.session.execute(rows.query, execution_options={"yield_per": _FETCHED})
    cells: Any = counting(found, _FETCHED, told)
    if not context.params.get("contacts"):
        cells = masking(header, CONTACTS, cells)
    zone = company_zone(tenant_settings(context.session, context.tenant_id))
    return write_csv(path, header, cells, zone)


def _reporter(database: Database, row: Export) -> Callable[[int], None]:
    """Write the progress down every two seconds, in transactions of its own."""
    last = time.monotonic()

    def told(count: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            _save(database, row, rows=count)

    return told


def _expire(session: Session, row: Export) -> None:
    """Delete the file of an export that has ended."""
    withdraw(session, row.tenant_id, Work.EXPORT, row.id)
    if row.path and row.finished_at and datetime.now(UTC) < row.finished_at + KEPT:
        announce(session, row.tenant_id, Work.EXPORT, row.id, row.finished_at + KEPT)
    elif row.path:
        Path(row.path).unlink(missing_ok=True)
        row.path = ""


def _fail(database: Database, row: Export, reason: str) -> None:
    log.warning("export_failed", tenant=row.tenant_id, export=row.id, reason=reason)
    with database.tenant_session(row.tenant_id) as session:
        ended = {"state": ExportState.FAILED, "finished_at": datetime.now(UTC)}
        _change(session, row, message=reason, **ended)
        withdraw(session, row.tenant_id, Work.EXPORT, row.id)


def _save(database: Database, row: Export, **values: Any) -> None:
    with database.tenant_session(row.tenant_id, durable=False) as session:
        _change(session, row, **values)


def _change(session: Session, row: Export, **values: Any) -> None:
    export = table(Export)
    mine = (export.c.tenant_id == row.tenant_id, export.c.id == row.id)
    session.execute(update(export).where(*mine).values(**values))


def _find(session: Session, tenant_id: int, export_id: int) -> Export:
    row = session.get(Export, (tenant_id, export_id))
    if row is None:
        raise NotFoundError("There is no such export.")
    return row


def _own(session: Session, tenant_id: int, export_id: int, account_id: int | None) -> Export:
    row = _find(session, tenant_id, export_id)
    if account_id is None or row.created_by != account_id:
        raise NotFoundError("There is no such export.")
    return row


def _status(row: Export) -> ExportStatus:
    return ExportStatus(
        id=row.id,
        kind=row.kind,
        name=row.name,
        state=ExportState(row.state),
        rows=row.rows,
        total=row.total,
        message=row.message,
        created_at=row.created_at,
        finished_at=row.finished_at,
        expires_at=row.finished_at + KEPT if row.finished_at and row.path else None,
        ready=bool(row.path),
    )


__all__ = [
    "EXPORT_KINDS",
    "Export",
    "ExportStatus",
    "export_file",
    "export_status",
    "list_exports",
    "request_export",
    "run_export",
]
