"""The ledger with one row for each customer of a run, however many steps their cascade took.

Numbers of people come from here. What a customer is counted as is their best message: one that
has arrived, else one that was taken, else the last. What happened is of any of them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run

_PERSON = ("tenant_id", "run_id", "launched_on", "customer_id")
_OF_THE_BEST = ("step", "state", "stage", "variant", "code", "detail", "bounced_at")
_FIRST = (
    *("accepted_at", "delivered_at", "opened_at", "clicked_at"),
    *("complained_at", "unsubscribed_at"),
)


def people_of(run: Run) -> FromClause:
    """The rows by which the customers of a run are counted; a run without steps has them as is."""
    return people() if run.settings.get("steps") else table(Message)


def of_run(run: Run) -> ColumnElement[bool]:
    """The condition on `people_of` that means a run's customers, with their partition."""
    c = people_of(run).c
    return and_(c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on)


@cache
def people() -> FromClause:
    """All customers of all runs: the conditions of who asks are pushed down by the planner."""
    m = table(Message).c
    arrived = m.delivered_at.is_not(None) | m.opened_at.is_not(None)
    best_first = (arrived.desc(), (m.state == MessageState.ACCEPTED).desc(), m.step.desc())

    def best(name: str) -> ColumnElement[Any]:
        return func.array_agg(aggregate_order_by(m[name], *best_first))[1].label(name)

    columns = [*map(best, _OF_THE_BEST), *(func.min(m[name]).label(name) for name in _FIRST)]
    keys = [m[name] for name in _PERSON]
    return select(*keys, *columns).group_by(*keys).subquery("people")
