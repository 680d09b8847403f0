"""What went wrong in plugins: written down where it is fenced off, shown to administrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from envoi.db import Database, storable, table
from envoi.errors import EnvoiError, PluginError
from envoi.logs import masked
from envoi.operations.models import PluginFault
from envoi.plugins import Key, Plugins, fence

log = structlog.get_logger()

KEPT = timedelta(days=30)
MOST_KEPT = 200
"""So many different things are kept of a plugin: one that quotes what it was given says others
each time."""
LATELY = timedelta(days=1)
MOST_WORDS = 300


def note_fault(database: Database, tenant_id: int, error: BaseException) -> None:
    """Write down what a plugin is to blame for, in a transaction of its own; never fails."""
    if (blamed := _blamed(error)) is None:
        return
    try:
        with database.tenant_session(tenant_id) as session:
            _add(session, tenant_id, blamed)
    except SQLAlchemyError as trouble:
        log.warning("fault_not_noted", plugin=blamed.plugin, error=str(trouble))


def add_fault(session: Session, tenant_id: int, error: BaseException) -> None:
    """Write down what a plugin is to blame for, with what the transaction does besides."""
    if (blamed := _blamed(error)) is not None:
        _add(session, tenant_id, blamed)


def asked(
    session: Session, plugins: Plugins, tenant_id: int, what: Key, ask: Callable[[], Any]
) -> Any:
    """Ask a plugin what a page can do without: None where it fails, which is written down.

    What its statements break ends with a savepoint, so `ask` has to take its connection from the
    session itself.
    """
    kind, name = what
    try:
        with session.begin_nested():
            return fence(plugins, kind, name, ask)
    except EnvoiError as error:
        log.error("plugin_left_out", kind=kind, name=name, reason=str(error))
        add_fault(session, tenant_id, error)
        return None


def faults_of(session: Session, tenant_id: int, plugin: str) -> Sequence[PluginFault]:
    """Return what went wrong in a plugin, the latest first."""
    c = table(PluginFault).c
    mine = select(PluginFault).where(c.tenant_id == tenant_id, c.plugin == plugin)
    return session.scalars(mine.order_by(c.last_at.desc()).limit(50)).all()


def lately(session: Session, tenant_id: int) -> dict[str, int]:
    """Count by plugin the different things that went wrong within a day."""
    c = table(PluginFault).c
    query = select(c.plugin, func.count().label("things")).where(
        c.tenant_id == tenant_id, c.last_at > func.now() - LATELY
    )
    return {row.plugin: row.things for row in session.execute(query.group_by(c.plugin))}


def forget_faults(session: Session, tenant_id: int) -> None:
    """Delete what has not happened again for a month, and what is too much of a plugin."""
    c = table(PluginFault).c
    place = func.row_number().over(partition_by=c.plugin, order_by=c.last_at.desc())
    newest = select(c.last_at, c.plugin, c.place, c.sentence, place.label("number"))
    ranked = newest.where(c.tenant_id == tenant_id).subquery().c
    too_much = select(ranked.plugin, ranked.place, ranked.sentence).where(
        or_(ranked.number > MOST_KEPT, ranked.last_at < func.now() - KEPT)
    )
    which = tuple_(c.plugin, c.place, c.sentence).in_(too_much)
    session.execute(delete(table(PluginFault)).where(c.tenant_id == tenant_id, which))


def _add(session: Session, tenant_id: int, error: PluginError) -> None:
    """Add a row, or count the same again."""
    fault = table(PluginFault)
    new = upsert(fault).values(
        tenant_id=tenant_id, plugin=error.plugin, place=error.place, sentence=_sentence(error)
    )
    again = {"count": fault.c.count + 1, "last_at": func.now()}
    session.execute(new.on_conflict_do_update(constraint=fault.primary_key, set_=again))


def _blamed(error: BaseException | None) -> PluginError | None:
    """Find whom an error blames: it may stand behind one that says what was being done."""
    while error is not None:
        if isinstance(error, PluginError) and error.place:
            return error
        error = error.__cause__
    return None


def _sentence(error: PluginError) -> str:
    return storable(masked(str(error))[:MOST_WORDS])
