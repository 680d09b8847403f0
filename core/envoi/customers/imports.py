"""What can be done with imports: take a file in, check it, run it, tell how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from filecmp import cmp
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.customers.error_file import Reason
from envoi.customers.import_kinds import FORMS, ImportKind
from envoi.customers.mapping import Mapping, check_mapping
from envoi.customers.models import Import, ImportState
from envoi.customers.preview import Preview
from envoi.customers.staging import ImportCounts
from envoi.db import table
from envoi.errors import ConflictError, NotFoundError
from envoi.jobs import Work, announce, withdraw
from envoi.twice import A_MOMENT, one_by_one

ENDED = frozenset((ImportState.DONE, ImportState.FAILED, ImportState.CANCELLED))
_UNDER_WAY = frozenset((ImportState.WAITING, ImportState.RUNNING))
_DECIDED_BY_PEOPLE = frozenset((ImportState.MAPPING, ImportState.CHECKED))


@dataclass(frozen=True, kw_only=True)
class ImportStatus:
    """An import as a page or a terminal shows it; the counts are None until it is done."""

    id: int
    kind: ImportKind
    file_name: str
    state: ImportState
    dry_run: bool
    lines_read: int
    lines_saved: int
    lines: int
    trial: ImportCounts | None
    """What the dry run found."""
    counts: ImportCounts | None
    reasons: list[Reason]
    mapping: Mapping
    preview: Preview | None
    message: str
    created_at: datetime
    finished_at: datetime | None
    created_by: str = ""

    @property
    def under_way(self) -> bool:
        """Whether a worker has it, or is going to."""
        return self.state in _UNDER_WAY


def create_import(
    session: Session,
    tenant_id: int,
    kind: ImportKind,
    file_name: str,
    path: Path,
    account_id: int | None = None,
    mapping: Mapping | None = None,
) -> int:
    """Announce the import of a stored file and return its number.

    Without a mapping the first line of the file has to name our columns.
    """
    row = _new(tenant_id, kind, file_name, path, account_id)
    if mapping:
        row.mapping = mapping.model_dump(mode="json")
    if (again := _just_taken_in(session, row)) is not None:
        return again
    session.add(row)
    session.flush()
    announce(session, tenant_id, Work.IMPORT, row.id)
    return row.id


def create_mapping(
    session: Session,
    tenant_id: int,
    kind: ImportKind,
    file_name: str,
    path: Path,
    preview: Preview,
    account_id: int | None = None,
) -> int:
    """Keep a stored file whose columns a person is going to map; return the import's number."""
    row = _new(tenant_id, kind, file_name, path, account_id)
    row.state = ImportState.MAPPING
    row.details = {"preview": preview.model_dump()}
    if (again := _just_taken_in(session, row)) is not None:
        return again
    session.add(row)
    session.flush()
    return row.id


def _just_taken_in(session: Session, wanted: Import) -> int | None:
    """Return the import of the same file by the same person a moment ago: a form sent twice.

    The file that came last is deleted then.
    """
    if wanted.created_by is None:
        return None
    one_by_one(session, "import", wanted.tenant_id, wanted.created_by)
    same = ("tenant_id", "created_by", "kind", "file_name")
    c = table(Import).c
    alike = (c[column] == getattr(wanted, column) for column in same)
    recent = select(Import).where(*alike, c.created_at > func.now() - A_MOMENT)
    path = Path(wanted.path)
    for other in session.scalars(recent.order_by(c.id)):
        there = Path(other.path)
        if there.is_file() and not cmp(path, there, shallow=False):
            continue
        if not wanted.mapping or wanted.mapping == other.mapping:
            path.unlink(missing_ok=True)
            return other.id
    return None


def _new(
    tenant_id: int, kind: ImportKind, file_name: str, path: Path, account_id: int | None
) -> Import:
    return Import(
        tenant_id=tenant_id,
        kind=kind,
        file_name=Path(file_name.replace("\\", "/")).name[:200].replace("\0", ""),
        path=str(path),
        created_by=account_id,
    )


def start_check(session: Session, tenant_id: int, import_id: int, mapping: Mapping) -> None:
    """Announce the dry run of a file by a mapping; `ValidationFailedError` says what it lacks.

    A file whose check is under way already is left alone.
    """
    row = find_import(session, tenant_id, import_id)
    check_mapping(mapping, FORMS[ImportKind(row.kind)].columns)
    kept = ("preview",)
    values = {
        "dry_run": True,
        "mapping": mapping.model_dump(),
        "details": {name: row.details[name] for name in kept if name in row.details},
    }
    _announce(session, tenant_id, import_id, _DECIDED_BY_PEOPLE, values)


def start_import(session: Session, tenant_id: int, import_id: int) -> None:
    """Announce the import of a checked file; one that is announced already is left alone."""
    find_import(session, tenant_id, import_id)
    values = {"dry_run": False, "position": 0}
    _announce(session, tenant_id, import_id, frozenset((ImportState.CHECKED,)), values)


def _announce(
    session: Session,
    tenant_id: int,
    import_id: int,
    states: frozenset[ImportState],
    values: dict[str, Any],
) -> None:
    if change(session, tenant_id, import_id, states, {**values, "state": ImportState.WAITING}):
        announce(session, tenant_id, Work.IMPORT, import_id)


def cancel_import(session: Session, tenant_id: int, import_id: int) -> None:
    """Cancel an import that has not ended; what it has saved stays, the rest is never read."""
    find_import(session, tenant_id, import_id)
    open_states = _UNDER_WAY | _DECIDED_BY_PEOPLE
    values = {"state": ImportState.CANCELLED, "finished_at": func.now()}
    if not change(session, tenant_id, import_id, open_states, values):
        raise ConflictError("The import has ended already.")
    withdraw(session, tenant_id, Work.IMPORT, import_id)


def change(
    session: Session,
    tenant_id: int,
    import_id: int,
    states: frozenset[ImportState],
    values: dict[str, Any],
) -> bool:
    """Change an import that is in one of these states; false where it is not."""
    imports = table(Import)
    mine = (imports.c.tenant_id == tenant_id, imports.c.id == import_id)
    statement = update(imports).where(*mine, imports.c.state.in_([int(s) for s in states]))
    return session.execute(statement.values(**values).returning(imports.c.id)).first() is not None


def error_file_path(data_dir: Path, tenant_id: int, import_id: int) -> Path:
    """Return where an import's error file is."""
    return data_dir / "imports" / str(tenant_id) / f"{import_id}.csv"


def import_status(session: Session, tenant_id: int, import_id: int) -> ImportStatus:
    """Tell how far an import is; `NotFoundError` where the tenant has none of this number."""
    return _statuses(session, [find_import(session, tenant_id, import_id)])[0]


def recent_imports(session: Session, tenant_id: int, limit: int = 25) -> list[ImportStatus]:
    """List the latest imports of a tenant, newest first."""
    c = table(Import).c
    query = select(Import).where(c.tenant_id == tenant_id).order_by(c.id.desc()).limit(limit)
    return _statuses(session, list(session.scalars(query)))


def find_import(session: Session, tenant_id: int, import_id: int) -> Import:
    """Return an import; `NotFoundError` where the tenant has none of this number."""
    c = table(Import).c
    row = session.scalar(select(Import).where(c.tenant_id == tenant_id, c.id == import_id))
    if row is None:
        raise NotFoundError("There is no such import.")
    return row


def _statuses(session: Session, rows: Sequence[Import]) -> list[ImportStatus]:
    c = table(Account).c
    accounts = {row.created_by for row in rows if row.created_by}
    shown = func.coalesce(func.nullif(c.name, ""), c.email).label("name")
    query = select(c.id, shown).where(c.id.in_(accounts))
    names = {row.id: row.name for row in session.execute(query)} if accounts else {}
    return [_status(row, names.get(row.created_by, "")) for row in rows]


def _status(row: Import, created_by: str) -> ImportStatus:
    details = row.details
    trial, counts, preview = (details.get(name) for name in ("trial", "counts", "preview"))
    return ImportStatus(
        id=row.id,
        kind=ImportKind(row.kind),
        file_name=row.file_name,
        state=ImportState(row.state),
        dry_run=row.dry_run,
        lines_read=details.get("lines_read", 0),
        lines_saved=details.get("lines_saved", 0),
        lines=details.get("lines", 0),
        trial=ImportCounts(**trial) if trial else None,
        counts=ImportCounts(**counts) if counts else None,
        reasons=[Reason(**reason) for reason in details.get("reasons", [])],
        mapping=Mapping(**row.mapping),
        preview=Preview(**preview) if preview else None,
        message=row.message,
        created_at=row.created_at,
        finished_at=row.finished_at,
        created_by=created_by,
    )


def counted(counts: ImportCounts, reasons: Sequence[Reason], *, dry_run: bool) -> dict[str, Any]:
    """Return what is kept of a run's end among the details of an import."""
    name = "trial" if dry_run else "counts"
    return {name: asdict(counts), "reasons": [asdict(reason) for reason in reasons[:10]]}
