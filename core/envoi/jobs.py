"""Hints for the workers: put on the queue by name and numbers, after the commit, never in its way.

The database is the truth: a hint that is lost is found again in `due_work`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from dramatiq import Broker, Message
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import BrokerConnectionError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Select, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from structlog.contextvars import get_contextvars

from envoi.db import table
from envoi.operations.metrics import HINTS_LOST
from envoi.tenants.models import DueWork

__all__ = [
    "Broker",
    "Work",
    "announce",
    "connect_broker",
    "due",
    "due_by_turns",
    "hint",
    "hints_in",
    "is_announced",
    "lease",
    "waiting_hints",
    "withdraw",
]

log = structlog.get_logger()

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""A queue that gives no answer keeps no page and no worker longer than that."""

MOST_HINTS = 100
"""So many hints may wait in a queue; what is due is found without them as well."""


class Work(StrEnum):
    """Kinds of work that fall due; each has the actor of the same name in `envoi_workers`.

    `ref` of a due work is the mailing's number for LAUNCH, the run's for COLLECT, SEND, COPIES,
    CASCADE, ATTRIBUTE, RATES, REPORT and JUDGE, the import's for IMPORT, the segment's for
    FIGURES, the export's for EXPORT, the gateway's for PROBE and MATCH, the audience's for
    AUDIENCE.
    """

    LAUNCH = "launch"
    COLLECT = "collect"
    SEND = "send"
    CASCADE = "move_on"
    ATTRIBUTE = "attribute"
    REPORT = "count_report"
    IMPORT = "import_file"
    FIGURES = "segment_figures"
    EXPORT = "export_file"
    COPIES = "send_copies"
    RATES = "look_at_rates"
    JUDGE = "judge_hits"
    PROBE = "probe_gateway"
    AUDIENCE = "change_audience"
    MATCH = "match_reports"


QUEUES = {
    Work.LAUNCH: "quick",
    Work.COLLECT: "bulk",
    Work.SEND: "send",
    Work.CASCADE: "quick",
    Work.ATTRIBUTE: "bulk",
    Work.REPORT: "bulk",
    Work.IMPORT: "bulk",
    Work.FIGURES: "bulk",
    Work.EXPORT: "bulk",
    Work.COPIES: "quick",
    Work.RATES: "quick",
    Work.JUDGE: "bulk",
    Work.PROBE: "quick",
    Work.AUDIENCE: "bulk",
    Work.MATCH: "quick",
}


def announce(
    session: Session | Connection,
    tenant_id: int,
    kind: Work,
    ref: int,
    due_at: datetime | None = None,
    *,
    urgent: bool = False,
) -> None:
    """Write down that work falls due, in the transaction of the state it belongs to.

    Announcing the same work again keeps the earlier moment; what was urgent stays so.
    """
    due = literal(due_at) if due_at else func.now()
    work = table(DueWork)
    values = {"tenant_id": tenant_id, "kind": kind.value, "ref": ref, "due_at": due}
    statement = insert(work).values(**values, urgent=urgent)
    new = statement.excluded
    changes = {
        "due_at": func.least(work.c.due_at, new.due_at),
        "urgent": work.c.urgent | new.urgent,
    }
    session.execute(
        statement.on_conflict_do_update(index_elements=["tenant_id", "kind", "ref"], set_=changes)
    )


def withdraw(
    session: Session, tenant_id: int, kind: Work, ref: int, *, due_at: datetime | None = None
) -> None:
    """Take an announcement back: the work is done, or will not be.

    With `due_at` only the one that is due then, as `lease` has left it.
    """
    work = table(DueWork)
    mine = [work.c.tenant_id == tenant_id, work.c.kind == kind.value, work.c.ref == ref]
    if due_at is not None:
        mine.append(work.c.due_at == due_at)
    session.execute(work.delete().where(*mine))


def lease(session: Session, tenant_id: int, kind: Work, ref: int, until: datetime) -> bool:
    """Put due work that is begun off until it must be taken for lost; false where none is due.

    Whoever announces it meanwhile makes it due again, and so `withdraw` leaves it.
    """
    work = table(DueWork)
    mine = (work.c.tenant_id == tenant_id, work.c.kind == kind.value, work.c.ref == ref)
    begun = work.update().where(*mine, work.c.due_at <= func.now()).values(due_at=until)
    return session.execute(begun.returning(work.c.ref)).first() is not None


def is_announced(session: Session, tenant_id: int, kind: Work, ref: int) -> bool:
    """Whether work is due, will be, or is being done under a lease."""
    work = table(DueWork).c
    mine = (work.tenant_id == tenant_id, work.kind == kind.value, work.ref == ref)
    return session.scalar(select(work.ref).where(*mine)) is not None


def due(
    session: Session, kinds: Collection[Work] = tuple(Work), limit: int = 100
) -> list[tuple[int, str, int]]:
    """List what is due now of these kinds as (tenant_id, kind, ref), tenants by turns."""
    rows = session.execute(due_by_turns(kinds, limit))
    return [(row.tenant_id, row.kind, row.ref) for row in rows]


def due_by_turns(kinds: Collection[Work], limit: int) -> Select[tuple[int, str, int, bool]]:
    """Select what is due: the first of every tenant, then the second of every tenant, ...

    So no tenant hides another one's work, however much it has. Of a tenant what is urgent goes
    first, then what has been due longest.
    """
    work = table(DueWork).c
    order = (work.urgent.desc(), work.due_at)
    turn = func.row_number().over(partition_by=work.tenant_id, order_by=order).label("turn")
    waiting = (
        select(work.tenant_id, work.kind, work.ref, work.urgent, work.due_at, turn)
        .where(work.due_at <= func.now(), work.kind.in_([kind.value for kind in kinds]))
        .subquery()
        .c
    )
    query = select(waiting.tenant_id, waiting.kind, waiting.ref, waiting.urgent)
    return query.order_by(waiting.turn, waiting.urgent.desc(), waiting.due_at).limit(limit)


def connect_broker(url: str) -> Broker | None:
    """Return the queue at a Redis or Valkey address, or None without one."""
    if not url:
        return None
    client = Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS
    )
    return RedisBroker(client=client, middleware=[], heartbeat_timeout=15_000)  # type: ignore[no-untyped-call]


def waiting_hints(broker: Broker | None) -> dict[str, int] | None:
    """Count the hints that wait in each queue; None when the broker is away."""
    if not isinstance(broker, RedisBroker):
        return None
    try:
        return {queue: hints_in(broker, queue) for queue in sorted(set(QUEUES.values()))}
    except (RedisError, OSError):
        return None


def hints_in(broker: RedisBroker, queue: str) -> int:
    """Count the hints that wait in a queue; raise `RedisError` when the broker is away."""
    return int(broker.client.llen(f"{broker.namespace}:{queue}"))


def hint(broker: Broker | None, kind: Work, tenant_id: int, ref: int, **options: Any) -> bool:
    """Wake a worker; false when the broker is away or full, which never fails the caller."""
    if broker is None:
        return False
    message: Message[Any] = Message(
        queue_name=QUEUES[kind],
        actor_name=kind.value,
        args=(tenant_id, ref),
        kwargs={},
        # Whatever the hint leads to is logged under the request that it came from.
        options={"request": get_contextvars().get("request")},
    )
    try:
        # A person may press a button for ever.
        if isinstance(broker, RedisBroker) and hints_in(broker, QUEUES[kind]) >= MOST_HINTS:
            return False
        broker.declare_queue(QUEUES[kind])
        broker.enqueue(message, **options)
    except (BrokerConnectionError, RedisError, OSError) as error:
        HINTS_LOST.add(1)
        log.warning("hint_lost", work=kind.value, tenant=tenant_id, ref=ref, error=str(error))
        return False
    return True
