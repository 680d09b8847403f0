"""Open work of a tenant that nobody has announced, kind by kind.

Announcements are made in the transaction of what they belong to, so there is none to find, but
for a bug, a restored backup or a hand in the database; and lost work is what nobody notices.
Hits to be judged again are no kind of their own here: the scheduler announces them from the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sqlalchemy import Integer, and_, func, select
from sqlalchemy.orm import Session

from envoi.customers.models import Import, ImportState
from envoi.db import table
from envoi.delivery.models import Circuit, Run, RunBlock, RunStatus
from envoi.exports.models import Export, ExportState
from envoi.feedback.rates import excesses_of
from envoi.feedback.reports import gateways_with_waiting
from envoi.jobs import Work
from envoi.mailings.kept import runs_to_report
from envoi.mailings.launch import is_missed
from envoi.mailings.models import Mailing, MailingState
from envoi.receipts.attribution import runs_to_attribute
from envoi.segments.models import Segment
from envoi.target_audiences.models import TargetAudience
from envoi.tenants.models import DueWork

Lost = tuple[Work, int, datetime | None]
"""The kind of work, what it is about, and when it falls due; None is now."""

_OPEN_RUNS = {
    RunStatus.COLLECTING: Work.COLLECT,
    RunStatus.SENDING: Work.SEND,
    RunStatus.CANCELLED: Work.SEND,
}


def lost_work(session: Session, tenant_id: int) -> list[Lost]:
    """List what is open and not announced.

    Work that begins or ends between two of the questions seems lost, but not twice.
    """
    found = _unannounced(session, tenant_id)
    still = {lost[:2] for lost in _unannounced(session, tenant_id)} if found else set()
    return [lost for lost in found if lost[:2] in still]


def _unannounced(session: Session, tenant_id: int) -> list[Lost]:
    work = table(DueWork).c
    query = select(work.kind, work.ref).where(work.tenant_id == tenant_id)
    known = {(kind, ref) for kind, ref in session.execute(query)}
    found = (lost for look in _LOOKS for lost in look(session, tenant_id))
    return [lost for lost in found if (lost[0].value, lost[1]) not in known]


def _launches(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Confirmed mailings; one that has missed its time waits for a person."""
    now, c = datetime.now(UTC), table(Mailing).c
    created = select(Mailing).where(c.tenant_id == tenant_id, c.state == MailingState.CREATED)
    for mailing in session.scalars(created):
        if not is_missed(mailing, now):
            yield Work.LAUNCH, mailing.id, mailing.starts_at


def _runs(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Runs at work; those whose volume lists copies are sent as such."""
    c = table(Run).c
    copies = c.volume.has_key("copies")
    query = select(c.id, c.status, copies).where(
        c.tenant_id == tenant_id, c.status.in_(list(_OPEN_RUNS)), c.finished_at.is_(None)
    )
    for run_id, status, has_copies in session.execute(query):
        yield Work.COPIES if has_copies else _OPEN_RUNS[RunStatus(status)], run_id, None


def _cascades(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Runs at work whose messages may still be followed by others."""
    c, block = table(Run).c, table(RunBlock).c
    query = (
        select(c.id, func.min(block.moves_at))
        .join(table(RunBlock), and_(block.tenant_id == c.tenant_id, block.run_id == c.id))
        .where(c.tenant_id == tenant_id, c.status == RunStatus.SENDING)
        .where(block.tenant_id == tenant_id, block.moves_at.is_not(None))
        .group_by(c.id)
    )
    for run_id, moves_at in session.execute(query):
        yield Work.CASCADE, run_id, moves_at


def _attributions(session: Session, tenant_id: int) -> Iterator[Lost]:
    for run_id in runs_to_attribute(session, tenant_id, datetime.now(UTC)):
        yield Work.ATTRIBUTE, run_id, None


def _reports(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Reports of runs that have ended since they were counted; pages renew older ones."""
    for run_id in runs_to_report(session, tenant_id, datetime.now(UTC)):
        yield Work.REPORT, run_id, None


def _rates(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Runs at work that are to be paused: whoever looked at their rates would have done so."""
    c = table(Run).c
    at_work = c.status.in_((RunStatus.COLLECTING, RunStatus.SENDING))
    for run in session.scalars(select(Run).where(c.tenant_id == tenant_id, at_work)).all():
        if excesses_of(session, run):
            yield Work.RATES, run.id, None


def _imports(session: Session, tenant_id: int) -> Iterator[Lost]:
    c = table(Import).c
    under_way = (ImportState.WAITING, ImportState.RUNNING)
    query = select(c.id).where(c.tenant_id == tenant_id, c.state.in_(under_way))
    for import_id in session.scalars(query):
        yield Work.IMPORT, import_id, None


def _exports(session: Session, tenant_id: int) -> Iterator[Lost]:
    """Files to be written, and written ones, which are deleted one day."""
    c = table(Export).c
    is_open = c.state.in_((ExportState.WAITING, ExportState.RUNNING)) | (c.path != "")
    for export_id in session.scalars(select(c.id).where(c.tenant_id == tenant_id, is_open)):
        yield Work.EXPORT, export_id, None


def _figures(session: Session, tenant_id: int) -> Iterator[Lost]:
    c = table(Segment).c
    counted = c.figures["version"].as_string().cast(Integer)
    query = select(c.id).where(c.tenant_id == tenant_id, counted.is_distinct_from(c.version))
    for segment_id in session.scalars(query):
        yield Work.FIGURES, segment_id, None


def _probes(session: Session, tenant_id: int) -> Iterator[Lost]:
    c = table(Circuit).c
    query = select(c.gateway_id, c.next_try_at).where(
        c.tenant_id == tenant_id, c.opened_at.is_not(None)
    )
    for gateway_id, next_try_at in session.execute(query):
        yield Work.PROBE, gateway_id, next_try_at


def _audiences(session: Session, tenant_id: int) -> Iterator[Lost]:
    c = table(TargetAudience).c
    waiting = func.jsonb_array_length(c.pending) > 0
    for audience_id in session.scalars(select(c.id).where(c.tenant_id == tenant_id, waiting)):
        yield Work.AUDIENCE, audience_id, None


def _waiting_reports(session: Session, tenant_id: int) -> Iterator[Lost]:
    for gateway_id in gateways_with_waiting(session, tenant_id):
        yield Work.MATCH, gateway_id, None


_LOOKS: tuple[Callable[[Session, int], Iterator[Lost]], ...] = (
    *(_launches, _runs, _cascades, _attributions, _reports, _rates),
    *(_imports, _exports, _figures, _probes, _audiences),
    _waiting_reports,
)
