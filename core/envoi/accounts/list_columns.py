"""Which columns of a list an employee wants to see, in their preferences for one company."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from envoi.accounts.models import Membership
from envoi.errors import NotFoundError


def chosen_columns(
    session: Session, tenant_id: int, account_id: int | None, place: str
) -> list[str] | None:
    """Return the columns that an employee chose for a list, None before they chose any."""
    found = session.get(Membership, (tenant_id, account_id or 0))
    columns: list[str] | None = (found.preferences if found else {}).get("columns", {}).get(place)
    return columns


def choose_columns(
    session: Session, tenant_id: int, account_id: int | None, place: str, columns: Sequence[str]
) -> None:
    """Keep the columns that an employee wants in a list; `place` names the list."""
    found = session.get(Membership, (tenant_id, account_id or 0), with_for_update=True)
    if found is None:
        raise NotFoundError("You do not work for this company any more.")
    kept = found.preferences
    chosen = {**kept.get("columns", {}), place: list(columns)}
    found.preferences = {**kept, "columns": chosen}
