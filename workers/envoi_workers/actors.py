"""The actors: each finds the work by its numbers and lets the core do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from random import sample
from time import monotonic

import structlog
from dramatiq import Broker, actor
from sqlalchemy import func
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from envoi.audience.collection import collect as collect_audience
from envoi.customers.import_run import run_import
from envoi.db import table
from envoi.delivery.cascade import move_on
from envoi.delivery.copies import send_copies
from envoi.delivery.probing import probe_gateway
from envoi.exports.service import run_export
from envoi.feedback.rates import look_at_rates
from envoi.feedback.reports import match_waiting
from envoi.installation import Installation
from envoi.jobs import QUEUES, Work, due, hint
from envoi.mailings.kept import count_report
from envoi.mailings.launch import launch_due
from envoi.operations.metrics import WORK, WORK_SECONDS
from envoi.receipts.attribution import attribute_when_due
from envoi.segments.figures import refresh_figures
from envoi.target_audiences.pending import change_pending
from envoi.tenants.models import DueWork
from envoi.tracking.judging import reclassify
from envoi_workers.workshop import Workshop, workshop_of

log = structlog.get_logger()

FAILED_AGAIN_SECONDS = 60
"""How long work rests that failed for a reason nobody foresaw."""
SEND_SECONDS = 20.0
"""After so long a sender hands its place back to the queue."""
SLICE_SECONDS = 1.0
"""After so long it looks whose turn it is."""

MOST_LAUNCHES = 200
"""So many mailings one hand launches before it looks what else there is to do."""
LAUNCHES = 20
"""So many it takes at a time: meanwhile others have launched some of what was due."""

Job = Callable[[Workshop, int, int], None]
Piece = Callable[[Installation, int, int], object]


def launch(workshop: Workshop, tenant_id: int, mailing_id: int) -> None:
    """Launch a mailing whose time has come, and others: a thousand may be due at the same moment.

    They are taken in any order, a few at a time, so that several hands seldom reach for the same
    one.
    """
    taken = [(tenant_id, Work.LAUNCH.value, mailing_id)]
    for _ in range(MOST_LAUNCHES // LAUNCHES):
        _launch_each(workshop, taken)
        with workshop.installation.database.system_session() as session:
            others = due(session, [Work.LAUNCH], MOST_LAUNCHES)
        taken = sample(others, min(LAUNCHES, len(others)))
        if not taken:
            return


def _launch_each(workshop: Workshop, mailings: Iterable[tuple[int, str, int]]) -> None:
    for tenant, _kind, mailing in mailings:
        if workshop.stopping.is_set():
            return
        start = partial(launch_due, workshop.installation, tenant, mailing)
        with _resting_on_failure(workshop, Work.LAUNCH, tenant, mailing):
            workshop.once(Work.LAUNCH, tenant, mailing, start)


def collect(workshop: Workshop, tenant_id: int, run_id: int) -> None:
    """Write down who is to receive a run."""
    installation = workshop.installation
    where = (installation.database, installation.plugins, tenant_id, run_id)
    workshop.once(Work.COLLECT, tenant_id, run_id, partial(collect_audience, *where))
    hint(installation.broker, Work.SEND, tenant_id, run_id)


def send(workshop: Workshop, tenant_id: int, run_id: int) -> None:
    """Send due blocks for a while: of the run that was hinted at, and of others by turns."""
    turns, stop = workshop.turns, workshop.stopping.is_set
    until = monotonic() + SEND_SECONDS
    run = turns.next((tenant_id, run_id))
    while run is not None and not stop():
        if monotonic() >= until:
            hint(workshop.installation.broker, Work.SEND, *run)
            return
        more = False
        workshop.begin(run[0])
        with turns.taken(run), _resting_on_failure(workshop, Work.SEND, *run):
            more = workshop.engine.send_run(*run, stop, SLICE_SECONDS)
        if more:
            turns.keep(run)
        else:
            turns.drop(run)
        run = turns.next()


def import_file(workshop: Workshop, tenant_id: int, import_id: int) -> None:
    """Import a file of customers or receipts."""
    run_import(workshop.installation, tenant_id, import_id, stopping=workshop.stopping.is_set)


def rates(workshop: Workshop, tenant_id: int, run_id: int) -> None:
    """Pause a run of which too much bounces, or too many complain."""
    look_at_rates(workshop.installation.database, tenant_id, run_id)


ALONE: dict[Work, Piece] = {
    Work.CASCADE: lambda site, *which: move_on(site.database, *which),
    Work.ATTRIBUTE: lambda site, *which: attribute_when_due(site.database, *which),
    Work.REPORT: lambda site, *which: count_report(site.database, site.plugins, *which),
    Work.FIGURES: lambda site, *which: refresh_figures(site.database, site.plugins, *which),
    Work.AUDIENCE: lambda site, *which: change_pending(site.database, site.plugins, *which),
    Work.JUDGE: lambda site, *which: reclassify(site.database, *which),
    Work.EXPORT: run_export,
    Work.COPIES: send_copies,
    Work.PROBE: probe_gateway,
    Work.MATCH: lambda site, *which: match_waiting(site.database, *which),
}
"""What one process at a time does of the same number."""


def _alone(kind: Work, do: Piece) -> Job:
    def job(workshop: Workshop, tenant_id: int, ref: int) -> None:
        workshop.once(kind, tenant_id, ref, partial(do, workshop.installation, tenant_id, ref))

    return job


JOBS: dict[Work, Job] = {
    Work.LAUNCH: launch,
    Work.COLLECT: collect,
    Work.SEND: send,
    Work.IMPORT: import_file,
    Work.RATES: rates,
    **{kind: _alone(kind, do) for kind, do in ALONE.items()},
}


def perform(workshop: Workshop, kind: Work, tenant_id: int, ref: int) -> bool:
    """Do a piece of work now; false when this process has no hand free."""
    with workshop.seat(tenant_id) as seated:
        if not seated or workshop.stopping.is_set():
            return False
        with _resting_on_failure(workshop, kind, tenant_id, ref):
            JOBS[kind](workshop, tenant_id, ref)
    return True


def bind_actors(broker: Broker) -> None:
    """Declare an actor for each kind of work; a hint is never retried, the database is."""
    for kind in JOBS:
        _bind(broker, kind)


def _bind(broker: Broker, kind: Work) -> None:
    def work(tenant_id: int, ref: int) -> None:
        perform(workshop_of(broker), kind, tenant_id, ref)

    actor(broker=broker, actor_name=kind.value, queue_name=QUEUES[kind])(work)


@contextmanager
def _resting_on_failure(workshop: Workshop, kind: Work, tenant_id: int, ref: int) -> Iterator[None]:
    """Log what fails unforeseen and let it rest a while: the database still says it is due."""
    began, result = monotonic(), "done"
    with bound_contextvars(work=kind.value, tenant=tenant_id, ref=ref):
        try:
            with workshop.about(kind, tenant_id, ref):
                yield
        except Exception:
            log.exception("work_failed")
            result = "failed"
            _rest(workshop, kind, tenant_id, ref)
    WORK.add(1, kind.value, result)
    WORK_SECONDS.observe(monotonic() - began, kind.value)


def _rest(workshop: Workshop, kind: Work, tenant_id: int, ref: int) -> None:
    work = table(DueWork)
    c = work.c
    mine = (c.tenant_id == tenant_id, c.kind == kind.value, c.ref == ref)
    later = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, FAILED_AGAIN_SECONDS)
    database = workshop.installation.database
    # The database may be what has failed.
    with suppress(SQLAlchemyError), database.system_session() as session:
        session.execute(work.update().where(*mine).values(due_at=later))
