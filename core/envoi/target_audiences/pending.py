"""Adding a segment to a target audience, or taking it out, by a worker: it may take a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from envoi.db import Database
from envoi.errors import NotFoundError, ValidationFailedError
from envoi.jobs import Work, announce, withdraw
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.target_audiences.models import TargetAudience
from envoi.target_audiences.service import change_by_segment, get_audience

log = structlog.get_logger(__name__)


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
    audience = _locked(session, tenant_id, audience_id)
    wanted = {"tree": dict(tree), "add": add}
    if not audience.pending or audience.pending[-1] != wanted:
        audience.pending = [*audience.pending, wanted]
    announce(session, tenant_id, Work.AUDIENCE, audience_id)


def change_pending(database: Database, plugins: Plugins, tenant_id: int, audience_id: int) -> None:
    """Make the changes that wait, each in a transaction of its own, oldest first."""
    while _change_next(database, plugins, tenant_id, audience_id):
        pass


def _change_next(database: Database, plugins: Plugins, tenant_id: int, audience_id: int) -> bool:
    with database.tenant_session(tenant_id) as session:
        try:
            audience = _locked(session, tenant_id, audience_id)
        except NotFoundError:
            withdraw(session, tenant_id, Work.AUDIENCE, audience_id)
            return False
        if not audience.pending:
            withdraw(session, tenant_id, Work.AUDIENCE, audience_id)
            return False
        [change, *rest] = audience.pending
        audience.pending = rest
        session.flush()
        try:
            mine = (session, tenant_id, audience_id, change["tree"])
            change_by_segment(*mine, add=change["add"], plugins=plugins)
        except ValidationFailedError as error:
            # Something that the segment uses was deleted after the change was asked for.
            log.warning("audience_not_changed", audience=audience_id, reason=str(error))
    return True


def _locked(session: Session, tenant_id: int, audience_id: int) -> TargetAudience:
    get_audience(session, tenant_id, audience_id)
    key = (tenant_id, audience_id)
    found = session.get(TargetAudience, key, with_for_update=True, populate_existing=True)
    if found is None:
        raise NotFoundError(f"There is no target audience number {audience_id}.")
    return found
