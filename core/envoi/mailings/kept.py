"""Reports of large runs are counted in the background and kept, and say as of when they are.

Pages show what is kept; where that is old, they ask for a newer one and do not wait for it. The
report of a small run is counted while its page is made, unless that took long once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import DateTime, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from envoi.audience.volume import Volume
from envoi.db import Database, table
from envoi.delivery.models import Run
from envoi.jobs import Work, announce, is_announced, lease, withdraw
from envoi.mailings import service
from envoi.mailings.report import MailingReport, and_machines, report_of_mailing
from envoi.plugins import Plugins

LARGE_RUN = 50_000
"""Customers of a run from which on its report is counted in the background."""

WHILE_SENDING = timedelta(minutes=1)
WHILE_OPEN = timedelta(minutes=5)
"""How old a kept report may be while receipts still come in."""

ONCE_CLOSED = timedelta(days=1)
"""Afterwards only late opens and complaints change it."""

SLOW_SECONDS = 1.0
_LONGEST = timedelta(minutes=10)
"""After so long, a count of which nothing was heard is begun again."""

_MOMENT = DateTime(timezone=True)
_REPORT = TypeAdapter(MailingReport)


def report_to_show(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    mailing_id: int,
    *,
    with_machines: bool = False,
    now: datetime | None = None,
    slow_seconds: float = SLOW_SECONDS,
) -> MailingReport | None:
    """Return the report that can be shown at once; None while the first is being counted.

    What is not there, or not fresh, is announced as work.

    Args:
        session: An open session of the tenant; the caller commits.
        plugins: For the sentences of policies' reasons.
        tenant_id: The tenant.
        mailing_id: A launched mailing; raises as `report_of_mailing` does.
        with_machines: As for `report_of_mailing`; kept beside the other.
        now: The moment the report is for.
        slow_seconds: A report of a small run that took longer is kept from then on.
    """
    now = now or datetime.now(UTC)
    run = service.get_run(session, service.get_mailing(session, tenant_id, mailing_id))
    if run is None or not is_kept(run):
        began = time.monotonic()
        where = (session, plugins, tenant_id, mailing_id)
        report = report_of_mailing(*where, now=now, with_machines=with_machines)
        if time.monotonic() - began >= slow_seconds:
            _keep(session, tenant_id, report)
        return report
    kept = _kept(run, "machines" if with_machines else "people")
    is_fresh = kept is not None and now - kept.as_of < _fresh_for(kept)
    if not is_fresh and not is_announced(session, tenant_id, Work.REPORT, run.id):
        announce(session, tenant_id, Work.REPORT, run.id)
    return kept


def is_kept(run: Run) -> bool:
    """Whether counting a run's report would keep a person waiting, or has done so once."""
    volume = Volume.from_document(run.volume)
    return bool(run.report) or (volume is not None and volume.segment >= LARGE_RUN)


def count_report(database: Database, plugins: Plugins, tenant_id: int, run_id: int) -> None:
    """Do the work of `Work.REPORT` where it is due: count a report that is kept, and keep it.

    An announcement that comes meanwhile is not taken back, for it may speak of newer receipts.
    """
    until = datetime.now(UTC) + _LONGEST
    with database.tenant_session(tenant_id) as session:
        if not lease(session, tenant_id, Work.REPORT, run_id, until):
            return
    with database.tenant_session(tenant_id) as session:
        run = session.get(Run, (tenant_id, run_id))
        if run is not None and run.mailing_id is not None and is_kept(run):
            people = report_of_mailing(session, plugins, tenant_id, run.mailing_id)
            for report in (people, and_machines(session, run, people)):
                _keep(session, tenant_id, report)
        withdraw(session, tenant_id, Work.REPORT, run_id, due_at=until)


def runs_to_report(session: Session, tenant_id: int, now: datetime) -> Sequence[int]:
    """Runs that ended lately and whose kept report was counted before that."""
    c = table(Run).c
    counted_at = cast(cast(c.report["people"].as_string(), JSONB)["as_of"].as_string(), _MOMENT)
    query = select(c.id).where(
        c.tenant_id == tenant_id, c.finished_at > now - ONCE_CLOSED, c.finished_at > counted_at
    )
    return session.scalars(query).all()


def _fresh_for(kept: MailingReport) -> timedelta:
    if kept.finished_at is None:
        return WHILE_SENDING
    return WHILE_OPEN if kept.lift.is_open else ONCE_CLOSED


def _kept(run: Run, name: str) -> MailingReport | None:
    """Read what was kept; what another release wrote may not fit any more."""
    document = (run.report or {}).get(name)
    if document is None:
        return None
    try:
        return _REPORT.validate_json(document)
    except ValidationError:
        return None


def _keep(session: Session, tenant_id: int, report: MailingReport) -> None:
    run, name = table(Run), "machines" if report.with_machines else "people"
    document: dict[str, Any] = {name: _REPORT.dump_json(report).decode()}
    kept = func.coalesce(run.c.report, literal({}, JSONB)).op("||")(literal(document, JSONB))
    mine = (run.c.tenant_id == tenant_id, run.c.id == report.run_id)
    session.execute(update(run).where(*mine).values(report=kept))
