"""Reports that are slow to count are kept with their run, and say as of when they are.

A report that is counted within a second is never kept, so that small mailings are always live.
The lift of a window that has ended is kept for good: of all that a report holds it is the
slowest, and only a new attribution changes it, which drops what was kept.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, literal, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Run
from envoi.mailings import service
from envoi.mailings.report import MailingReport, report_of_mailing
from envoi.plugins import Plugins

WHILE_OPEN = timedelta(minutes=5)
"""How old a kept report may be while receipts still come in."""

ONCE_CLOSED = timedelta(days=1)
"""Afterwards only late opens and complaints change it."""

SLOW_SECONDS = 1.0
_REPORT = TypeAdapter(MailingReport)


def kept_report(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    mailing_id: int,
    *,
    with_machines: bool = False,
    now: datetime | None = None,
    slow_seconds: float = SLOW_SECONDS,
) -> MailingReport:
    """Return the kept report while it is fresh enough, else count and keep it.

    Args:
        session: An open session of the tenant; the caller commits.
        plugins: For the sentences of policies' reasons.
        tenant_id: The tenant.
        mailing_id: A launched mailing; raises as `report_of_mailing` does.
        with_machines: As for `report_of_mailing`; kept beside the other.
        now: The moment the report is for.
        slow_seconds: A report that takes less is not kept.
    """
    now = now or datetime.now(UTC)
    run = service.get_run(session, service.get_mailing(session, tenant_id, mailing_id))
    name = "machines" if with_machines else "people"
    kept = _kept(run, name)
    if kept is not None and now - kept.as_of < (WHILE_OPEN if kept.lift.is_open else ONCE_CLOSED):
        return kept
    lift = kept.lift if kept is not None and not kept.lift.is_open else None
    began = time.monotonic()
    report = report_of_mailing(
        session, plugins, tenant_id, mailing_id, now=now, with_machines=with_machines, lift=lift
    )
    if time.monotonic() - began >= slow_seconds:
        _keep(session, tenant_id, name, report)
    return report


def _kept(run: Run | None, name: str) -> MailingReport | None:
    """Read what was kept; what another release wrote may not fit any more."""
    document = (run.report or {}).get(name) if run else None
    if document is None:
        return None
    try:
        return _REPORT.validate_json(document)
    except ValidationError:
        return None


def _keep(session: Session, tenant_id: int, name: str, report: MailingReport) -> None:
    run = table(Run)
    document: dict[str, Any] = {name: _REPORT.dump_json(report).decode()}
    kept = func.coalesce(run.c.report, literal({}, JSONB)).op("||")(literal(document, JSONB))
    mine = (run.c.tenant_id == tenant_id, run.c.id == report.run_id)
    session.execute(update(run).where(*mine).values(report=kept))
