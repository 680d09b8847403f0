"""Filters that an employee keeps under a name, in their preferences for one company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from envoi.accounts.models import Membership
from envoi.errors import NotFoundError, Problem, ValidationFailedError

MOST_VIEWS = 20
LONGEST_NAME = 60
LONGEST_QUERY = 2_000


@dataclass(frozen=True)
class SavedView:
    """A name and the query part of a list's address."""

    name: str
    query: str


def saved_views(
    session: Session, tenant_id: int, account_id: int | None, place: str
) -> list[SavedView]:
    """List an employee's views of a list by name; `place` names the list."""
    if account_id is None:
        return []
    found = session.get(Membership, (tenant_id, account_id))
    return [SavedView(**view) for view in _stored(found, place)]


def save_view(
    session: Session, tenant_id: int, account_id: int | None, place: str, view: SavedView
) -> None:
    """Keep a view; one of the same name is replaced.

    Raises:
        ValidationFailedError: The name is empty or too long, or there are too many views.
    """
    membership = _locked(session, tenant_id, account_id)
    name = " ".join(view.name.split())
    others = [stored for stored in _stored(membership, place) if stored["name"] != name]
    if not 0 < len(name) <= LONGEST_NAME or len(view.query) > LONGEST_QUERY:
        raise ValidationFailedError([Problem("name", "Enter a name of at most 60 characters.")])
    if len(others) >= MOST_VIEWS:
        problem = "You have 20 saved views, which is the most. Delete one first."
        raise ValidationFailedError([Problem("name", problem)])
    kept = sorted([*others, {"name": name, "query": view.query}], key=_by_name)
    _store(membership, place, kept)


def delete_view(
    session: Session, tenant_id: int, account_id: int | None, place: str, name: str
) -> None:
    """Forget a view; one that is not there is no error."""
    membership = _locked(session, tenant_id, account_id)
    _store(membership, place, [v for v in _stored(membership, place) if v["name"] != name])


def _locked(session: Session, tenant_id: int, account_id: int | None) -> Membership:
    found = session.get(Membership, (tenant_id, account_id or 0), with_for_update=True)
    if found is None:
        raise NotFoundError("You do not work for this company any more.")
    return found


def _stored(membership: Membership | None, place: str) -> list[dict[str, Any]]:
    views: dict[str, Any] = membership.preferences.get("views", {}) if membership else {}
    return list(views.get(place, []))


def _store(membership: Membership, place: str, views: list[dict[str, Any]]) -> None:
    kept = membership.preferences
    membership.preferences = {**kept, "views": {**kept.get("views", {}), place: views}}


def _by_name(view: dict[str, Any]) -> str:
    return str(view["name"]).casefold()
