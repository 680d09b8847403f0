"""What the operations page shows: one company's sending, and the installation it runs on.

Made to be asked every few seconds: blocks and counters are read, never the ledger. Of the
installation only what is no other company's business is shown: processes, chores, hints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.gateway_list import ListedGateway, list_gateways
from envoi.delivery.models import (
    UNFINISHED,
    BlockState,
    GatewayMinute,
    Run,
    RunBlock,
    RunKind,
    RunStatus,
    RunTraffic,
    Sender,
)
from envoi.delivery.run_traffic import Counted, counted_of, rate_of
from envoi.delivery.sender import EXPIRES_AFTER
from envoi.feedback.models import Inbound
from envoi.installation import Installation
from envoi.jobs import waiting_hints
from envoi.mailings.models import Mailing
from envoi.operations.chores import chores
from envoi.operations.metrics import BUFFER
from envoi.operations.reporter import states
from envoi.settings import Settings
from envoi.tenants.models import DueWork
from envoi.valkey import connect_valkey

MOST_RUNS = 50
AN_HOUR = timedelta(hours=1)
A_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class WorkLine:
    """Work of a kind: how much is due and for how long, and how much falls due later."""

    kind: str
    due: int
    oldest: float | None
    later: int


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run that is not over; `waiting` and `claimed` are messages."""

    run_id: int
    mailing_id: int
    name: str
    status: RunStatus
    waiting: int
    claimed: int
    limit_per_minute: int | None
    counted: Counted


@dataclass(frozen=True, kw_only=True)
class GatewayLine:
    """A gateway as it is now, and how many messages a second it has taken in the last minute."""

    listed: ListedGateway
    per_second: float


@dataclass(frozen=True, kw_only=True)
class SenderLine:
    """A sending process, with the blocks of this company that it holds."""

    id: int
    host: str
    pid: int
    heartbeat: float
    alive: bool
    blocks: int
    messages: int


@dataclass(frozen=True, kw_only=True)
class CompanyFigures:
    """How a company's sending is doing now."""

    works: Sequence[WorkLine]
    runs: Sequence[RunLine]
    gateways: Sequence[GatewayLine]
    senders: Sequence[SenderLine]
    unconfirmed: int
    inbound: int


@dataclass(frozen=True, kw_only=True)
class InstallationFigures:
    """How the installation is doing; None and missing is what nobody answers for."""

    chores: Mapping[str, float]
    hints: Mapping[str, int] | None
    buffered: int | None


def company_figures(session: Session, tenant_id: int, now: datetime) -> CompanyFigures:
    """Look at a company's sending."""
    recent = select(table(Run).c.id).where(
        table(Run).c.tenant_id == tenant_id, table(Run).c.created_at > now - A_WEEK
    )
    traffic, inbound = table(RunTraffic).c, table(Inbound).c
    unconfirmed = select(func.sum(traffic.unconfirmed)).where(
        traffic.tenant_id == tenant_id, traffic.run_id.in_(recent)
    )
    received = select(func.count()).where(
        inbound.tenant_id == tenant_id, inbound.received_at > now - AN_HOUR
    )
    return CompanyFigures(
        works=_works(session, tenant_id, now),
        runs=_runs(session, tenant_id, now),
        gateways=_gateways(session, tenant_id, now),
        senders=_senders(session, tenant_id, now),
        unconfirmed=session.scalar(unconfirmed) or 0,
        inbound=session.scalar(received) or 0,
    )


def installation_figures(installation: Installation, now: datetime) -> InstallationFigures:
    """Look at the processes, the chores and the queue."""
    with installation.database.system_session() as session:
        ages = {name: chore.age(now) for name, chore in chores(session).items()}
    hints = waiting_hints(installation.broker)
    buffered = None if hints is None else _buffered(installation.settings)
    return InstallationFigures(chores=ages, hints=hints, buffered=buffered)


def _buffered(settings: Settings) -> int | None:
    """How many hits wait in all processes; None where Valkey is away or nobody has reported."""
    try:
        with connect_valkey(settings.redis_url.get_secret_value()) as client:
            found = states(client).get(BUFFER.sample())
    except (RedisError, OSError):
        return None
    return None if found is None else int(found)


def _works(session: Session, tenant_id: int, now: datetime) -> Sequence[WorkLine]:
    work = table(DueWork).c
    due = work.due_at <= now
    query = (
        select(
            work.kind,
            func.count().filter(due).label("due"),
            func.min(work.due_at).filter(due).label("oldest"),
            func.count().filter(~due).label("later"),
        )
        .where(work.tenant_id == tenant_id)
        .group_by(work.kind)
        .order_by(work.kind)
    )
    return [
        WorkLine(
            kind=row.kind,
            due=row.due,
            oldest=(now - row.oldest).total_seconds() if row.oldest else None,
            later=row.later,
        )
        for row in session.execute(query)
    ]


def _runs(session: Session, tenant_id: int, now: datetime) -> Sequence[RunLine]:
    run, mailing = table(Run).c, table(Mailing).c
    query = (
        select(run.id, run.status, run.settings, mailing.id.label("mailing_id"), mailing.name)
        .join_from(
            table(Run),
            table(Mailing),
            (mailing.tenant_id == run.tenant_id) & (mailing.id == run.mailing_id),
        )
        .where(run.tenant_id == tenant_id, run.kind == RunKind.MAILING)
        .where(run.status.in_(UNFINISHED))
        .order_by(run.id.desc())
    )
    rows = session.execute(query.limit(MOST_RUNS)).all()
    ids = [row.id for row in rows]
    counted = counted_of(session, tenant_id, ids, now)
    sizes = _sizes(session, tenant_id, ids)
    return [
        RunLine(
            run_id=row.id,
            mailing_id=row.mailing_id,
            name=row.name,
            status=RunStatus(row.status),
            waiting=sizes.get((row.id, BlockState.READY), 0),
            claimed=sizes.get((row.id, BlockState.CLAIMED), 0),
            limit_per_minute=row.settings.get("limit_per_minute"),
            counted=counted.get(row.id, Counted()),
        )
        for row in rows
    ]


def _sizes(
    session: Session, tenant_id: int, run_ids: Sequence[int]
) -> dict[tuple[int, BlockState], int]:
    block = table(RunBlock).c
    query = (
        select(block.run_id, block.state, func.sum(block.size))
        .where(block.tenant_id == tenant_id, block.run_id.in_(run_ids))
        .where(block.state.in_((BlockState.READY, BlockState.CLAIMED)))
        .group_by(block.run_id, block.state)
    )
    return {(run_id, BlockState(state)): size for run_id, state, size in session.execute(query)}


def _gateways(session: Session, tenant_id: int, now: datetime) -> Sequence[GatewayLine]:
    c = table(GatewayMinute).c
    minute = now.replace(second=0, microsecond=0)
    before = minute - timedelta(minutes=1)
    query = select(c.gateway_id, c.minute, c.accepted).where(
        c.tenant_id == tenant_id, c.minute.in_((minute, before))
    )
    counts = {(row.gateway_id, row.minute): row.accepted for row in session.execute(query)}
    return [
        GatewayLine(
            listed=listed,
            per_second=rate_of(
                minute,
                counts.get((listed.gateway.id, minute), 0),
                counts.get((listed.gateway.id, before), 0),
                now,
            ),
        )
        for listed in list_gateways(session, tenant_id)
    ]


def _senders(session: Session, tenant_id: int, now: datetime) -> Sequence[SenderLine]:
    sender, block = table(Sender).c, table(RunBlock).c
    held = (
        select(block.sender_id, func.count().label("blocks"), func.sum(block.size).label("size"))
        .where(block.tenant_id == tenant_id, block.state == BlockState.CLAIMED)
        .group_by(block.sender_id)
        .subquery()
    )
    query = (
        select(sender.id, sender.host, sender.pid, sender.heartbeat_at, held.c.blocks, held.c.size)
        .join_from(table(Sender), held, held.c.sender_id == sender.id, isouter=True)
        .where(sender.ended_at.is_(None))
        .order_by(sender.host, sender.id)
    )
    return [
        SenderLine(
            id=row.id,
            host=row.host,
            pid=row.pid,
            heartbeat=(age := max(0.0, (now - row.heartbeat_at).total_seconds())),
            alive=age < EXPIRES_AFTER,
            blocks=row.blocks or 0,
            messages=row.size or 0,
        )
        for row in session.execute(query)
    ]
