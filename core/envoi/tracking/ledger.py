"""Writes hits: raw rows, counters, and the facts at the message, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.tracking.classify import VERSION, Mark, Signals, is_machine
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef

_MESSAGES = text(
    "SELECT m.run_id, m.customer_id, m.step, m.state, m.accepted_at,"
    " m.opened_at IS NULL AS unopened, m.clicked_at IS NULL AS unclicked"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    " CAST(:steps AS smallint[])) AS k(run_id, customer_id, step)"
    " JOIN message m ON m.tenant_id = :tenant AND m.launched_on = :day"
    " AND m.run_id = k.run_id AND m.customer_id = k.customer_id AND m.step = k.step"
)

_EVENTS = text(
    "INSERT INTO message_event (tenant_id, launched_on, classifier, run_id, customer_id, step,"
    " variant, kind, at, link, machine, marks, ip, agent)"
    " SELECT :tenant, :day, :version, * FROM unnest(CAST(:runs AS bigint[]),"
    " CAST(:customers AS bigint[]), CAST(:steps AS smallint[]), CAST(:variants AS smallint[]),"
    " CAST(:kinds AS smallint[]), CAST(:times AS timestamptz[]), CAST(:links AS smallint[]),"
    " CAST(:machines AS boolean[]), CAST(:marks AS smallint[]), CAST(:ips AS text[]),"
    " CAST(:agents AS text[]))"
)

_COUNTERS = text(
    "INSERT INTO event_counter (tenant_id, run_id, variant, hour, kind, machine, hits)"
    " SELECT :tenant, * FROM unnest(CAST(:runs AS bigint[]), CAST(:variants AS smallint[]),"
    " CAST(:hours AS timestamptz[]), CAST(:kinds AS smallint[]), CAST(:machines AS boolean[]),"
    " CAST(:hits AS bigint[]))"
    " ON CONFLICT (tenant_id, run_id, variant, hour, kind, machine)"
    " DO UPDATE SET hits = event_counter.hits + excluded.hits"
)

_FACTS = text(
    "UPDATE message m SET delivered_at = coalesce(m.delivered_at, f.at),"
    " opened_at = coalesce(m.opened_at, f.at),"
    " clicked_at = CASE WHEN f.clicked_at IS NULL THEN m.clicked_at"
    " ELSE coalesce(m.clicked_at, f.clicked_at) END"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    " CAST(:steps AS smallint[]), CAST(:times AS timestamptz[]), CAST(:clicks AS timestamptz[]))"
    " AS f(run_id, customer_id, step, at, clicked_at)"
    " WHERE m.tenant_id = :tenant AND m.launched_on = :day"
    " AND m.run_id = f.run_id AND m.customer_id = f.customer_id AND m.step = f.step"
)

_Key = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One open or click as it arrived."""

    message: MessageRef
    kind: EventKind
    at: datetime
    link: int | None = None
    marks: Mark = Mark.NONE
    ip: str = ""
    agent: str = ""

    @property
    def key(self) -> _Key:
        """The message within its tenant and launch day."""
        return self.message.run_id, self.message.customer_id, self.message.step


@dataclass(frozen=True, slots=True)
class _Judged:
    hit: Hit
    machine: bool
    fills: bool


def write(database: Database, tenant_id: int, launched_on: date, hits: Sequence[Hit]) -> None:
    """Write hits of one tenant and launch day; those of messages that are gone are left out."""
    fixed = {"tenant": tenant_id, "day": launched_on}
    with database.tenant_connection(tenant_id, durable=False) as connection:
        judged = _judge(connection, fixed, hits)
        if not judged:
            return
        connection.execute(_EVENTS, fixed | {"version": VERSION} | _event_columns(judged))
        connection.execute(_COUNTERS, {"tenant": tenant_id} | _counter_columns(judged))
        if facts := [j for j in judged if j.fills]:
            connection.execute(_FACTS, fixed | _fact_columns(facts))


def _judge(connection: Connection, fixed: dict[str, Any], hits: Sequence[Hit]) -> list[_Judged]:
    keys = sorted({hit.key for hit in hits})
    columns = _columns(keys, "runs", "customers", "steps")
    found = {
        (row.run_id, row.customer_id, row.step): row
        for row in connection.execute(_MESSAGES, fixed | columns)
    }
    return [_judged(hit, found[hit.key]) for hit in hits if hit.key in found]


def _judged(hit: Hit, message: Any) -> _Judged:
    machine = is_machine(
        Signals(
            at=hit.at,
            agent=hit.agent,
            marks=hit.marks,
            accepted_at=message.accepted_at,
            on_the_wire=message.state == MessageState.CLAIMED,
        )
    )
    missing = message.unopened or (hit.kind == EventKind.CLICK and message.unclicked)
    return _Judged(hit, machine, fills=missing and not machine)


def _event_columns(judged: Iterable[_Judged]) -> dict[str, Any]:
    rows = [
        (
            *j.hit.key,
            j.hit.message.variant,
            int(j.hit.kind),
            j.hit.at,
            j.hit.link,
            j.machine,
            int(j.hit.marks),
            j.hit.ip,
            j.hit.agent,
        )
        for j in judged
    ]
    names = ("runs", "customers", "steps", "variants", "kinds", "times", "links", "machines")
    return _columns(rows, *names, "marks", "ips", "agents")


def _counter_columns(judged: Iterable[_Judged]) -> dict[str, Any]:
    """Sum up in the order of the key, so that two processes never wait for each other in turn."""
    counted = Counter(
        (
            j.hit.message.run_id,
            j.hit.message.variant,
            j.hit.at.replace(minute=0, second=0, microsecond=0),
            int(j.hit.kind),
            j.machine,
        )
        for j in judged
    )
    rows = [(*key, hits) for key, hits in sorted(counted.items())]
    return _columns(rows, "runs", "variants", "hours", "kinds", "machines", "hits")


def _fact_columns(facts: Iterable[_Judged]) -> dict[str, Any]:
    """The first hit and the first click of each message; a click implies an open."""
    first: dict[_Key, datetime] = {}
    clicked: dict[_Key, datetime] = {}
    for hit in sorted((j.hit for j in facts), key=lambda hit: hit.at):
        first.setdefault(hit.key, hit.at)
        if hit.kind == EventKind.CLICK:
            clicked.setdefault(hit.key, hit.at)
    rows = [(*key, at, clicked.get(key)) for key, at in sorted(first.items())]
    return _columns(rows, "runs", "customers", "steps", "times", "clicks")


def _columns(rows: Iterable[tuple[Any, ...]], *names: str) -> dict[str, Any]:
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
