"""What runs did, kept with each run, so that a list of mailings never counts the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, FromClause, Subquery, func, select

from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run
from envoi.delivery.people import people
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
    counted = _counted(connection, tenant_id, run_ids)
    rows = [row for each in counted for row in connection.execute(select(each)).mappings()]
    return {row["run_id"]: RunFigures(**{k: row[k] for k in _COUNTED}) for row in rows}


def keep_figures(connection: Connection, tenant_id: int, run_ids: Sequence[int]) -> None:
    """Count the ledger of these runs once and keep the figures with them."""
    run = table(Run)
    for counted in _counted(connection, tenant_id, run_ids):
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


def _counted(connection: Connection, tenant_id: int, run_ids: Sequence[int]) -> Iterator[Subquery]:
    """Count by run, cascades for themselves: their people may have several messages."""
    run = table(Run).c
    has_steps = func.coalesce(func.jsonb_array_length(run.settings["steps"]), 0) > 0
    query = select(run.id, run.launched_on, has_steps.label("has_steps")).where(
        run.tenant_id == tenant_id, run.id.in_(run_ids)
    )
    found = connection.execute(query).all() if run_ids else []
    for ledger, wanted in ((table(Message), False), (people(), True)):
        if some := [row for row in found if row.has_steps == wanted]:
            days = [row.launched_on for row in some]
            # The days are named, so that only their partitions are read.
            between = ledger.c.launched_on.between(min(days), max(days))
            yield _sums(ledger, tenant_id, [row.id for row in some], between)


def _sums(
    ledger: FromClause, tenant_id: int, run_ids: Sequence[int], between: ColumnElement[bool]
) -> Subquery:
    c = ledger.c
    accepted = c.state == MessageState.ACCEPTED
    return (
        select(
            c.run_id,
            func.count().filter(c.state.in_(sorted(RECIPIENT_STATES))).label("recipients"),
            func.count().filter(accepted).label("sent"),
            func.count().filter(accepted, c.bounced_at.is_(None)).label("delivered"),
            func.count().filter(c.state == MessageState.FAILED).label("failed"),
        )
        .where(c.tenant_id == tenant_id, c.run_id.in_(run_ids), between)
        .group_by(c.run_id)
        .subquery()
    )
