"""What is true now of the whole installation, asked of the database and the queue at a scrape.

Companies' own tables are asked for those with due work only: what is being sent or collected,
and every open circuit, has some.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.gateway_list import list_gateways
from envoi.delivery.models import UNFINISHED, BlockState, Run, RunBlock, RunStatus
from envoi.delivery.sender import count_senders
from envoi.delivery.steps import channel_at
from envoi.installation import Installation
from envoi.jobs import waiting_hints
from envoi.operations.chores import chores
from envoi.operations.metrics import Metric, Samples
from envoi.tenants.models import DueWork

DUE = Metric("envoi_due_work", "Pieces of work that are due now.", "kind")
OLDEST = Metric(
    "envoi_due_work_oldest_seconds", "How long the oldest of them has been due.", "kind"
)
HINTS = Metric("envoi_hints_waiting", "Hints that wait in a queue.", "queue")
QUEUE_UP = Metric("envoi_queue_up", "Whether Valkey answers: 1 or 0.")
SENDERS = Metric(
    "envoi_senders",
    "Sending processes: `alive`, or `silent` without a heartbeat and not settled yet.",
    "state",
)
CHORE_AGE = Metric(
    "envoi_chore_age_seconds", "How long ago the scheduler last did a chore.", "chore"
)
RUNS = Metric(
    "envoi_runs", "Runs that are not over, of companies with due work.", "tenant", "status"
)
WAITING = Metric(
    "envoi_messages_waiting",
    "Messages in blocks that wait (`ready`) or are with a sender (`claimed`).",
    "tenant",
    "channel",
    "state",
)
GATEWAYS = Metric(
    "envoi_gateways",
    "Gateways by health, of companies with due work; `silent` has its circuit open.",
    "tenant",
    "channel",
    "state",
)

FOUND: tuple[Metric, ...] = (
    *(DUE, OLDEST, HINTS, QUEUE_UP, SENDERS, CHORE_AGE, RUNS, WAITING, GATEWAYS),
)


def gauges(installation: Installation) -> Samples:
    """Look at the database and the queue."""
    database = installation.database
    with database.system_session() as session:
        found = dict(_due(session)) | dict(_senders(session)) | dict(_chores(session))
        tenants = session.scalars(select(table(DueWork).c.tenant_id).distinct()).all()
    for tenant_id in tenants:
        found |= _of_tenant(database, tenant_id)
    hints = waiting_hints(installation.broker)
    found |= {HINTS.sample(queue): float(count) for queue, count in (hints or {}).items()}
    return found | {QUEUE_UP.sample(): float(hints is not None)}


def _due(session: Session) -> Iterator[tuple[str, float]]:
    work = table(DueWork).c
    query = select(work.kind, func.count(), func.min(work.due_at)).where(work.due_at <= func.now())
    now = datetime.now(UTC)
    for kind, count, oldest in session.execute(query.group_by(work.kind)):
        yield DUE.sample(kind), float(count)
        yield OLDEST.sample(kind), max(0.0, (now - oldest).total_seconds())


def _senders(session: Session) -> Iterator[tuple[str, float]]:
    for state, count in zip(("alive", "silent"), count_senders(session), strict=True):
        yield SENDERS.sample(state), float(count)


def _chores(session: Session) -> Iterator[tuple[str, float]]:
    now = datetime.now(UTC)
    for name, chore in chores(session).items():
        yield CHORE_AGE.sample(name), chore.age(now)


def _of_tenant(database: Database, tenant_id: int) -> Samples:
    run, block = table(Run).c, table(RunBlock).c
    unfinished = (run.tenant_id == tenant_id, run.status.in_(UNFINISHED))
    open_ones = (BlockState.READY, BlockState.CLAIMED)
    by_status = select(run.status, func.count()).where(*unfinished).group_by(run.status)
    channel = channel_at(block.step).label("way")
    by_state = (
        select(channel, block.state, func.sum(block.size))
        .where(*unfinished, block.tenant_id == tenant_id, block.run_id == run.id)
        .where(block.state.in_(open_ones))
        .group_by("way", block.state)
    )
    with database.tenant_session(tenant_id) as session:
        found = {
            RUNS.sample(tenant_id, RunStatus(status).name.lower()): float(count)
            for status, count in session.execute(by_status)
        }
        for channel, state, size in session.execute(by_state):
            name = BlockState(state).name.lower()
            found[WAITING.sample(tenant_id, channel, name)] = float(size)
        for listed in list_gateways(session, tenant_id):
            name = GATEWAYS.sample(tenant_id, listed.gateway.channel, listed.health.value)
            found[name] = found.get(name, 0.0) + 1
    return found
