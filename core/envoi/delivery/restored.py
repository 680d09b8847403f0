"""Whether the database is the one that was sending, or a copy of it restored from a backup.

What left after a backup was taken is not in it, so a restored copy would send it again. The
database knows where it lives: the server's own number, the line of its history (which a
recovery to a point in time and a promoted stand-by begin anew), and the number of the database
in the server. Nothing can be claimed where that differs from what was written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.models import UNFINISHED, Instance, Message, MessageState, Run
from envoi.delivery.states import OPEN_STATES
from envoi.tenants.service import tenant_ids


@dataclass(frozen=True, kw_only=True)
class AtStake:
    """A run that was at work in the backup.

    `waiting` messages are sent once sending goes on; those that left after the backup was taken
    arrive twice. Of `unconfirmed` ones not even the backup knows.
    """

    tenant_id: int
    run_id: int
    waiting: int
    unconfirmed: int


def is_at_home() -> ColumnElement[bool]:
    """The condition under which messages may leave."""
    home = table(Instance).c.identity == func.envoi_identity()
    return select(table(Instance).c.id).where(home).exists()


def may_send(session: Session) -> bool:
    """Whether messages may leave; false in a copy until somebody has confirmed it."""
    return bool(session.scalar(select(is_at_home())))


def settle_in(database: Database) -> None:
    """Write down that this is the database that sends from now on."""
    with database.engine.begin() as connection:
        connection.execute(table(Instance).update().values(identity=func.envoi_identity()))


def at_stake(database: Database) -> list[AtStake]:
    """List the runs at work of all companies."""
    found: list[AtStake] = []
    for tenant_id in tenant_ids(database):
        with database.tenant_session(tenant_id) as session:
            found += _of_tenant(session, tenant_id)
    return found


def _of_tenant(session: Session, tenant_id: int) -> Sequence[AtStake]:
    run, m = table(Run).c, table(Message).c
    open_runs = session.execute(
        select(run.id, run.launched_on).where(
            run.tenant_id == tenant_id, run.status.in_(UNFINISHED), run.finished_at.is_(None)
        )
    ).all()
    waits = func.count().filter(m.state.in_(sorted(OPEN_STATES)))
    unknown = func.count().filter(m.state == MessageState.UNCONFIRMED)
    counts = select(waits, unknown).where(m.tenant_id == tenant_id)
    return [
        AtStake(tenant_id=tenant_id, run_id=run_id, waiting=waiting, unconfirmed=unconfirmed)
        for run_id, launched_on in open_runs
        for waiting, unconfirmed in session.execute(
            counts.where(m.run_id == run_id, m.launched_on == launched_on)
        )
    ]
