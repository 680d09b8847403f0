"""What runs did, kept with each run, so that a list of mailings never counts the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Subquery, func, select

from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run
from envoi.delivery.states import RECIPIENT_STATES
from envoi.receipts.models import Attribution


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """How many messages of a run came how far."""

    recipients: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0


def count_figures(
    connection: Connection, tenant_id: int, run_ids: Sequence[int]
) -> dict[int, RunFigures]:
    """Count the ledger of these runs; for runs that are still at work."""
    if not run_ids:
        return {}
    rows = connection.execute(select(_counted(connection, tenant_id, run_ids))).mappings()
    return {row["run_id"]: RunFigures(**{k: row[k] for k in _COUNTED}) for row in rows}


def keep_figures(connection: Connection, tenant_id: int, run_ids: Sequence[int]) -> None:
    """Count the ledger of these runs once and keep the figures with them."""
    if not run_ids:
        return
    run, counted = table(Run), _counted(connection, tenant_id, run_ids)
    figures = {name: counted.c[name] for name in _COUNTED}
    mine = (run.c.tenant_id == tenant_id, run.c.id == counted.c.run_id)
    connection.execute(run.update().where(*mine).values(**figures))


def keep_sales(connection: Connection, tenant_id: int, run_ids: Sequence[int]) -> None:
    """Keep with these runs how many receipts are attributed to them, and their amount."""
    run, sale = table(Run), table(Attribution).c
    theirs = (sale.tenant_id == tenant_id, sale.run_id == run.c.id)
    receipts = select(func.count()).where(*theirs).scalar_subquery()
    amount = select(func.coalesce(func.sum(sale.amount), 0)).where(*theirs).scalar_subquery()
    mine = (run.c.tenant_id == tenant_id, run.c.id.in_(run_ids))
    connection.execute(run.update().where(*mine).values(receipts=receipts, amount=amount))


_COUNTED = ("recipients", "sent", "delivered", "failed")


def _counted(connection: Connection, tenant_id: int, run_ids: Sequence[int]) -> Subquery:
    """Count by run; the days are asked first, so that only their partitions are read."""
    run, c = table(Run).c, table(Message).c
    days = connection.execute(
        select(func.min(run.launched_on), func.max(run.launched_on)).where(
            run.tenant_id == tenant_id, run.id.in_(run_ids)
        )
    ).one()
    accepted = c.state == MessageState.ACCEPTED
    return (
        select(
            c.run_id,
            func.count().filter(c.state.in_(sorted(RECIPIENT_STATES))).label("recipients"),
            func.count().filter(accepted).label("sent"),
            func.count().filter(accepted, c.bounced_at.is_(None)).label("delivered"),
            func.count().filter(c.state == MessageState.FAILED).label("failed"),
        )
        .where(c.tenant_id == tenant_id, c.run_id.in_(run_ids), c.launched_on.between(*days))
        .group_by(c.run_id)
        .subquery()
    )
