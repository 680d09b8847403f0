"""What a run has cost so far, and the budget at which it stops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import BigInteger, Connection, ScalarSelect, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Run, RunCost
from envoi.delivery.prices import UNITS
from envoi.errors import EnvoiError


class BudgetSpentError(EnvoiError):
    """A run has cost what it may; it waits for a person."""

    def __init__(self, budget: int) -> None:
        super().__init__(f"The budget of {budget / UNITS:,.2f} is used up. Raise it, then resume.")


class Charged(Protocol):
    """A message that costs something."""

    @property
    def step(self) -> int:
        """Its step."""

    @property
    def parts(self) -> int:
        """How many messages a provider counts it as; 0 costs nothing."""

    @property
    def amount(self) -> int:
        """What they cost."""


def note_cost(
    session: Session | Connection,
    tenant_id: int,
    run_id: int,
    gateway_id: int,
    messages: Sequence[Charged],
) -> None:
    """Add what messages of a run cost; said late, since all senders of a run meet here."""
    parts: dict[int, int] = defaultdict(int)
    amounts: dict[int, int] = defaultdict(int)
    for message in messages:
        if message.parts:
            parts[message.step] += message.parts
            amounts[message.step] += message.amount
    if not parts:
        return
    mine = {"tenant_id": tenant_id, "run_id": run_id, "gateway_id": gateway_id}
    new = insert(table(RunCost)).values(
        [{**mine, "step": s, "parts": parts[s], "amount": amounts[s]} for s in sorted(parts)]
    )
    old = table(RunCost).c
    session.execute(
        new.on_conflict_do_update(
            index_elements=["tenant_id", "run_id", "step", "gateway_id"],
            set_={name: old[name] + new.excluded[name] for name in ("parts", "amount")},
        )
    )


def spent(session: Session, tenant_id: int, run_id: int) -> int:
    """What a run has cost so far."""
    return session.scalars(select(_spent(tenant_id, run_id))).one()


def _spent(tenant_id: int, run_id: int) -> ScalarSelect[int]:
    c = table(RunCost).c
    total = select(cast(func.coalesce(func.sum(c.amount), 0), BigInteger))
    return total.where(c.tenant_id == tenant_id, c.run_id == run_id).scalar_subquery()


def require_budget(session: Session, tenant_id: int, run_id: int) -> None:
    """Raise `BudgetSpentError` when a run has cost what it may.

    Asked before every block: the messages of blocks that are under way still leave.
    """
    run = table(Run).c
    budget = cast(run.settings["budget"].astext, BigInteger)
    query = select(budget, _spent(tenant_id, run_id)).where(
        run.tenant_id == tenant_id, run.id == run_id
    )
    most, so_far = session.execute(query).one()
    if most is not None and so_far >= most:
        raise BudgetSpentError(most)
