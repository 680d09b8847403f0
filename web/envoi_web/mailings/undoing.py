"""The strip that undoes a start just confirmed, on every page of whoever confirmed it.

It is kept in the employee's own session, so that no page asks the database for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import session as browser

from envoi.mailings.models import Mailing
from envoi.webkit import current
from envoi_web.mailings.blueprint import mailings

_KEY = "undo"


def remember(mailing: Mailing) -> None:
    """Offer to undo a mailing until it starts."""
    assert mailing.starts_at is not None
    browser[_KEY] = {
        "company": mailing.tenant_id,
        "mailing": mailing.id,
        "name": mailing.name,
        "until": mailing.starts_at.timestamp(),
    }


def forget(mailing_id: int) -> None:
    """Offer it no more."""
    if browser.get(_KEY, {}).get("mailing") == mailing_id:
        del browser[_KEY]


@mailings.app_context_processor
def _undo_strip() -> dict[str, Any]:
    return {"undo_strip": _strip}


def _strip() -> dict[str, Any] | None:
    """Return the mailing that can be undone here, with the seconds left."""
    kept = browser.get(_KEY)
    if kept is None or current.employee is None or kept["company"] != current.tenant_id:
        return None
    seconds = int(kept["until"] - datetime.now(UTC).timestamp())
    return (
        {"id": kept["mailing"], "name": kept["name"], "seconds": seconds} if seconds > 0 else None
    )
