"""send, ledger and large_run: the way from a collected run to its recorded outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text

from bench import mailing
from bench.audience import make_contacts
from bench.baseline import best_rate
from bench.figures import Figure, at_least, at_most, info
from bench.processes import cpu_seconds, peak_megabytes, postmaster, smtp_sink, wait_for, workers
from bench.stage import Stage
from envoi.audience.recheck import recheck_of_run
from envoi.db import table
from envoi.delivery.claim import claim_block
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunStatus
from envoi.delivery.outcomes import Outcome, record
from envoi.delivery.runs import get_run, progress
from envoi.delivery.sender import SenderSession
from envoi.jobs import Work, hint
from envoi.tracking.ledger import Hit, write
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef

SEND_PEOPLE = 40_000
LEDGER_PEOPLE = 100_000
LARGE_RUNS = (100_000, 1_000_000)
PROCESSES, THREADS = 2, 4
HITS_AT_ONCE = 500

SEND_RATE, SEND_RATIO, SEND_CPU_MS = 3_000, 0.40, 0.5
LEDGER_CPU_US, LEDGER_ROW_BYTES, LEDGER_WAL_BYTES = 80, 400, 2048
COST_RATIO, MEMORY_RATIO, MEMORY_MB = 1.15, 1.1, 150

CAP = {
    "kind": "frequency_cap",
    "settings": {"most": 100, "period": 30, "unit": "day", "channels": ["email"]},
}
"""Counts everybody's messages of 30 days and holds back nobody."""


def send(
    stage: Stage, people: int = SEND_PEOPLE, processes: int = PROCESSES, threads: int = THREADS
) -> list[Figure]:
    """Send to everybody by real workers, and the same bytes by smtplib to the same sink."""
    tenant_id = stage.tenant()
    mailing.make_people(stage, tenant_id, people)
    with smtp_sink() as (port, sink):
        gateway_id = mailing.make_gateway(stage, tenant_id, port)
        run = mailing.collected_run(stage, tenant_id, gateway_id, mailing.email())
        size = mailing.email_bytes(stage, run)
        assert size >= mailing.EMAIL_BYTES, f"the emails have {size} bytes only"
        with workers(stage, processes, threads) as senders:
            watched = {"sender": senders, "database": [postmaster(stage)], "sink": [sink]}
            before = cpu_of(watched)
            _send_all(stage, run, people, processes * threads)
            used = {name: cpu - before[name] for name, cpu in cpu_of(watched).items()}
        baseline = best_rate(port, size)
    rate = people / sending_seconds(stage, run)
    return [
        at_least("send.rate", rate, "messages/s", SEND_RATE),
        info("send.baseline", baseline, "messages/s"),
        at_least("send.ratio", rate / baseline, "x smtplib", SEND_RATIO),
        at_most(
            "send.cpu_ms",
            1000 * (used["sender"] + used["database"]) / people,
            "ms/message",
            SEND_CPU_MS,
        ),
        *(
            info(f"send.cpu_ms.{name}", 1000 * seconds / people, "ms/message")
            for name, seconds in used.items()
        ),
        info("send.bytes", size, "bytes/message"),
    ]


def ledger(stage: Stage, people: int = LEDGER_PEOPLE) -> list[Figure]:
    """Claim, re-check and record without a transport, then let everybody open and click."""
    tenant_id = stage.tenant()
    mailing.make_people(stage, tenant_id, people)
    run = mailing.collected_run(stage, tenant_id, None, mailing.email())
    plain = _turn_over(stage, run)
    hits = _open_and_click(stage, run)
    mailing.settle(stage)
    row_bytes = _ledger_bytes(stage) / people
    with stage.database.tenant_connection(tenant_id) as connection:
        make_contacts(connection, tenant_id)
    run = mailing.collected_run(stage, tenant_id, None, mailing.email(), [CAP])
    capped = _turn_over(stage, run)
    return [
        at_most("ledger.cpu_us", plain.cpu_us, "us/message", LEDGER_CPU_US),
        info("ledger.cpu_us.with_cap", capped.cpu_us, "us/message"),
        info("ledger.cpu_us.hits", hits, "us/hit"),
        at_most("ledger.row_bytes", row_bytes, "bytes/message", LEDGER_ROW_BYTES),
        at_most("ledger.wal_bytes", plain.wal_bytes, "bytes/message", LEDGER_WAL_BYTES),
    ]


def large_run(stage: Stage, people: Sequence[int] = LARGE_RUNS) -> list[Figure]:
    """Compare the whole cost of a run of short emails with that of one ten times as large."""
    costs, peaks = [], []
    with smtp_sink() as (port, _):
        for count in people:
            tenant_id = stage.tenant()
            mailing.make_people(stage, tenant_id, count)
            gateway_id = mailing.make_gateway(stage, tenant_id, port)
            content = mailing.email(links=1, prose=1)
            run = mailing.collected_run(stage, tenant_id, gateway_id, content)
            with workers(stage, PROCESSES, THREADS) as senders:
                watched = {"all": [*senders, postmaster(stage)]}
                before = cpu_of(watched)["all"]
                _send_all(stage, run, count, PROCESSES * THREADS)
                costs.append(1000 * (cpu_of(watched)["all"] - before) / count)
                peaks.append(max(peak_megabytes(pid) for pid in senders))
    return [
        at_most("send.cost_ratio", costs[1] / costs[0], "x small run", COST_RATIO),
        info("send.cost_ms.small", costs[0], "ms/message"),
        info("send.cost_ms.large", costs[1], "ms/message"),
        at_most("memory.ratio", peaks[1] / peaks[0], "x small run", MEMORY_RATIO),
        at_most("memory.peak", peaks[1], "MB", MEMORY_MB),
    ]


@dataclass(frozen=True)
class _Cost:
    """What the database spent on a message."""

    cpu_us: float
    wal_bytes: float


def _send_all(stage: Stage, run: Run, people: int, hints: int) -> None:
    """Wake the workers as the scheduler does, and wait until everybody is served."""
    for _ in range(hints):
        assert hint(stage.installation.broker, Work.SEND, run.tenant_id, run.id)
    wait_for(lambda: has_ended(stage, run), "the run", seconds=60 + people / 100)
    with stage.database.tenant_session(run.tenant_id) as session:
        assert progress(session, run.tenant_id, run.id).accepted == people


def has_ended(stage: Stage, run: Run) -> bool:
    """Return whether nothing of a run is left to do."""
    with stage.database.tenant_session(run.tenant_id) as session:
        return get_run(session, run.tenant_id, run.id).status == RunStatus.SENT


def sending_seconds(stage: Stage, run: Run) -> float:
    """The time from the first claim to the last recorded answer."""
    block, message = table(RunBlock).c, table(Message).c
    first = select(func.min(block.claimed_at)).where(
        block.tenant_id == run.tenant_id, block.run_id == run.id
    )
    last = select(func.max(message.accepted_at)).where(
        message.tenant_id == run.tenant_id,
        message.run_id == run.id,
        message.launched_on == run.launched_on,
    )
    with stage.database.tenant_session(run.tenant_id) as session:
        took: timedelta = session.scalars(last).one() - session.scalars(first).one()
    return took.total_seconds()


def cpu_of(watched: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the CPU time of processes by what they are."""
    return {name: sum(map(cpu_seconds, pids)) for name, pids in watched.items()}


def _turn_over(stage: Stage, run: Run) -> _Cost:
    """Take every block of a run and record that all of it was accepted."""
    recheck = recheck_of_run(stage.installation.plugins, run)
    database, server, done = stage.database, postmaster(stage), 0
    with SenderSession(database, stage.installation.settings.data_dir, 1) as sender:
        cpu, wal = cpu_seconds(server), _wal_position(stage)
        while True:
            with database.tenant_connection(run.tenant_id) as connection:
                claim = claim_block(connection, run.tenant_id, run.id, sender.id, recheck)
            if claim is None:
                break
            outcomes = [
                Outcome(m.customer_id, m.step, MessageState.ACCEPTED, 250) for m in claim.messages
            ]
            with database.tenant_session(run.tenant_id) as session:
                record(session, sender.id, claim.key, outcomes)
            done += len(outcomes)
        cpu, wal = cpu_seconds(server) - cpu, _wal_position(stage) - wal
    return _Cost(cpu_us=1e6 * cpu / done, wal_bytes=wal / done)


def _open_and_click(stage: Stage, run: Run) -> float:
    """Let every recipient open and later click, in no order; return microseconds a hit."""
    c = table(Message).c
    recipients = select(c.customer_id).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with stage.database.tenant_session(run.tenant_id) as session:
        people = session.scalars(recipients.order_by(func.md5(c.customer_id.concat("")))).all()
    server = postmaster(stage)
    cpu = cpu_seconds(server)
    for kind, link in ((EventKind.OPEN, None), (EventKind.CLICK, 3)):
        for first in range(0, len(people), HITS_AT_ONCE):
            hits = [_hit(run, one, kind, link) for one in people[first : first + HITS_AT_ONCE]]
            write(stage.database, run.tenant_id, run.launched_on, hits)
    return 1e6 * (cpu_seconds(server) - cpu) / (2 * len(people))


def _hit(run: Run, customer_id: int, kind: EventKind, link: int | None) -> Hit:
    message = MessageRef(
        tenant_id=run.tenant_id,
        run_id=run.id,
        customer_id=customer_id,
        launched_on=run.launched_on,
        step=1,
        variant=1,
    )
    return Hit(message=message, kind=kind, at=datetime.now(UTC), link=link, agent="Mozilla/5.0")


def _ledger_bytes(stage: Stage) -> int:
    """The size of the ledger with its indexes, free space of all pages included."""
    sizes = text("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('message')")
    return int(_scalar(stage, sizes))


def _wal_position(stage: Stage) -> int:
    return int(_scalar(stage, text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")))


def _scalar(stage: Stage, statement: Any) -> Any:
    with stage.database.system_session() as session:
        return session.scalar(statement)
