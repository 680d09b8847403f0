"""When each chore of the scheduler was last done: the sign that it lives."""

from __future__ import annotations

import socket

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.operations.models import Chore

GIVE_HINTS = "give_hints"
RECONCILE = "reconcile"
SIGN_SECONDS = 5.0
"""A chore that is done more often is not written down each time."""


def note_chore(database: Database, name: str, seconds: float) -> None:
    """Write down that a chore has just been done."""
    row = insert(table(Chore)).values(
        name=name, done_at=func.now(), seconds=seconds, host=socket.gethostname()
    )
    new = {column: row.excluded[column] for column in ("done_at", "seconds", "host")}
    with database.system_session() as session:
        session.execute(row.on_conflict_do_update(index_elements=["name"], set_=new))


def chores(session: Session) -> dict[str, Chore]:
    """Return the chores that were done at least once, by name."""
    return {chore.name: chore for chore in session.scalars(select(Chore).order_by("name"))}
