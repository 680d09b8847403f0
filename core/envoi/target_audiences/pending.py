"""Changes of target audiences that a worker makes, for they may take a while.

A segment is added or taken out, or everybody behind a number of a report is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.exc import DataError, ProgrammingError
from sqlalchemy.orm import Session

from envoi.db import Database
from envoi.errors import (
    ConflictError,
    EnvoiError,
    NotFoundError,
    PluginError,
    ValidationFailedError,
)
from envoi.jobs import Work, announce, withdraw
from envoi.mailings.outcomes import customer_ids_of
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.target_audiences.models import TargetAudience
from envoi.target_audiences.service import add_customers, change_by_segment, get_audience

log = structlog.get_logger(__name__)

_IMPOSSIBLE = (
    *(NotFoundError, ConflictError, PluginError, ValidationFailedError),
    *(DataError, ProgrammingError),
)
"""A change that fails so would fail again."""

_REFUSED = "The database cannot work out who belongs to it."


def ask_change(
    session: Session,
    tenant_id: int,
    audience_id: int,
    tree: Mapping[str, Any],
    *,
    add: bool,
    plugins: Plugins,
) -> None:
    """Announce a change of an audience by a segment's tree; one that waits already waits once.

    Raises:
        ValidationFailedError: The tree cannot be counted.
    """
    customer_ids(session, tenant_id, tree, now=datetime.now(UTC), plugins=plugins)
    _ask(session, tenant_id, audience_id, {"tree": dict(tree), "add": add})


def ask_for_outcome(
    session: Session, tenant_id: int, audience_id: int, mailing_id: int, outcome: str
) -> None:
    """Announce that everybody behind a number of a mailing's report is added to an audience.

    Raises:
        ConflictError: The mailing has not started.
    """
    customer_ids_of(session, tenant_id, mailing_id, outcome)
    _ask(session, tenant_id, audience_id, {"mailing": mailing_id, "outcome": outcome})


def change_pending(database: Database, plugins: Plugins, tenant_id: int, audience_id: int) -> None:
    """Make the changes that wait, each in a transaction of its own, oldest first.

    Two workers never do this for one audience at a time.
    """
    while _change_next(database, plugins, tenant_id, audience_id):
        pass


def _change_next(database: Database, plugins: Plugins, tenant_id: int, audience_id: int) -> bool:
    change = _first(database, tenant_id, audience_id)
    if change is None:
        return False
    trouble = ""
    try:
        with database.tenant_session(tenant_id) as session:
            _make(session, tenant_id, audience_id, change, plugins)
    except _IMPOSSIBLE as error:
        # What the change uses was deleted or broke; others wait behind it.
        log.warning("audience_not_changed", audience=audience_id, reason=str(error))
        trouble = str(error) if isinstance(error, EnvoiError) else _REFUSED
    # Apart, so that nobody who asks for another change waits for this one. A worker that is
    # killed before makes the same change again, which changes nothing.
    with database.tenant_session(tenant_id) as session:
        audience = _locked(session, tenant_id, audience_id)
        if audience is not None:
            audience.pending = audience.pending[1:]
            audience.trouble = trouble or audience.trouble
    return True


def _make(
    session: Session, tenant_id: int, audience_id: int, change: dict[str, Any], plugins: Plugins
) -> None:
    if "outcome" in change:
        ids = customer_ids_of(session, tenant_id, change["mailing"], change["outcome"])
        add_customers(session, tenant_id, audience_id, ids)
    else:
        mine = (session, tenant_id, audience_id, change["tree"])
        change_by_segment(*mine, add=change["add"], plugins=plugins)


def _ask(session: Session, tenant_id: int, audience_id: int, wanted: dict[str, Any]) -> None:
    get_audience(session, tenant_id, audience_id)
    audience = _locked(session, tenant_id, audience_id)
    if audience is None:
        raise NotFoundError(f"There is no target audience number {audience_id}.")
    if not audience.pending or audience.pending[-1] != wanted:
        audience.pending = [*audience.pending, wanted]
    audience.trouble = ""
    announce(session, tenant_id, Work.AUDIENCE, audience_id)


def _first(database: Database, tenant_id: int, audience_id: int) -> dict[str, Any] | None:
    """Return the oldest change that waits; where none does, the work is over."""
    with database.tenant_session(tenant_id) as session:
        audience = _locked(session, tenant_id, audience_id)
        if audience is None or not audience.pending:
            withdraw(session, tenant_id, Work.AUDIENCE, audience_id)
            return None
        return audience.pending[0]


def _locked(session: Session, tenant_id: int, audience_id: int) -> TargetAudience | None:
    """Lock an audience, yet not against members that are being added."""
    return session.get(
        TargetAudience,
        (tenant_id, audience_id),
        with_for_update={"key_share": True},
        populate_existing=True,
    )
