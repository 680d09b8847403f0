"""Counters and facts made again from the raw hits, and compared with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert

from envoi.db import Database, table
from envoi.delivery.models import MessageState, Run
from envoi.errors import NotFoundError
from envoi.tracking.classify import VERSION, Mark, Signals, is_machine
from envoi.tracking.models import EventCounter, MessageEvent

_BATCH = 5_000

_HITS = text(
    "SELECT e.customer_id, e.at, e.step, e.kind, e.id, e.machine, e.classifier, e.marks, e.agent,"
    " m.accepted_at, m.state"
    " FROM message_event e JOIN message m ON m.tenant_id = e.tenant_id AND m.run_id = e.run_id"
    " AND m.customer_id = e.customer_id AND m.step = e.step AND m.launched_on = e.launched_on"
    " WHERE e.tenant_id = :tenant AND e.run_id = :run AND e.launched_on = :day"
    " AND m.tenant_id = :tenant AND m.run_id = :run AND m.launched_on = :day"
)

_JUDGE = text(
    "UPDATE message_event e SET machine = j.machine, classifier = :version"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:times AS timestamptz[]),"
    " CAST(:steps AS smallint[]), CAST(:kinds AS smallint[]), CAST(:ids AS bigint[]),"
    " CAST(:machines AS boolean[])) AS j(customer_id, at, step, kind, id, machine)"
    " WHERE e.tenant_id = :tenant AND e.run_id = :run AND e.launched_on = :day"
    " AND e.customer_id = j.customer_id AND e.at = j.at AND e.step = j.step AND e.kind = j.kind"
    " AND e.id = j.id"
)

_FACTS = text(
    "UPDATE message m SET opened_at = f.opened_at, clicked_at = f.clicked_at"
    " FROM (SELECT g.customer_id, g.step, min(e.at) FILTER (WHERE NOT e.machine) AS opened_at,"
    "  min(e.at) FILTER (WHERE e.kind = 2 AND NOT e.machine) AS clicked_at"
    "  FROM message g LEFT JOIN message_event e ON e.tenant_id = :tenant AND e.run_id = :run"
    "  AND e.launched_on = :day AND e.customer_id = g.customer_id AND e.step = g.step"
    "  AND e.kind IN (1, 2)"
    "  WHERE g.tenant_id = :tenant AND g.run_id = :run AND g.launched_on = :day"
    "  GROUP BY g.customer_id, g.step) AS f"
    " WHERE m.tenant_id = :tenant AND m.run_id = :run AND m.launched_on = :day"
    " AND m.customer_id = f.customer_id AND m.step = f.step"
    " AND (m.opened_at, m.clicked_at) IS DISTINCT FROM (f.opened_at, f.clicked_at)"
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One counter that does not agree with the rows."""

    variant: int
    hour: datetime
    kind: int
    machine: bool
    counted: int
    rows: int


def compare(database: Database, tenant_id: int, run_id: int) -> list[Difference]:
    """Name every counter of a run that differs from its rows; none is the right answer."""
    with database.tenant_connection(tenant_id) as connection:
        day = _launched_on(connection, tenant_id, run_id)
        counter = table(EventCounter).c
        query = select(
            counter.variant, counter.hour, counter.kind, counter.machine, counter.hits
        ).where(counter.tenant_id == tenant_id, counter.run_id == run_id)
        counted = _by_key(connection.execute(query))
        rows = _by_key(connection.execute(_counted_rows(tenant_id, run_id, day)))
    return [
        Difference(
            variant=key[0],
            hour=key[1],
            kind=key[2],
            machine=key[3],
            counted=counted.get(key, 0),
            rows=rows.get(key, 0),
        )
        for key in sorted(counted.keys() | rows.keys())
        if counted.get(key) != rows.get(key)
    ]


def rebuild(database: Database, tenant_id: int, run_id: int) -> None:
    """Count a run's hits again; hits that arrive meanwhile wait for the lock and are added."""
    with database.tenant_connection(tenant_id) as connection:
        _rebuild(connection, tenant_id, run_id, _launched_on(connection, tenant_id, run_id))


def reclassify(database: Database, tenant_id: int, run_id: int) -> int:
    """Judge a run's hits by the present rules; return how many changed sides.

    First opens and first clicks follow, and the counters; `delivered_at` stays, because
    reports fill it as well.
    """
    with database.tenant_connection(tenant_id) as connection:
        day = _launched_on(connection, tenant_id, run_id)
        fixed = {"tenant": tenant_id, "run": run_id, "day": day}
        hits = connection.execute(_HITS, fixed).all()
        judged = [(hit, _judge(hit)) for hit in hits]
        stale = [(h, machine) for h, machine in judged if _is_stale(h, machine)]
        for start in range(0, len(stale), _BATCH):
            _save(connection, fixed, stale[start : start + _BATCH])
        if any(hit.machine != machine for hit, machine in stale):
            connection.execute(_FACTS, fixed)
            _rebuild(connection, tenant_id, run_id, day)
    return sum(hit.machine != machine for hit, machine in stale)


def _judge(hit: Any) -> bool:
    return is_machine(
        Signals(
            at=hit.at,
            agent=hit.agent,
            marks=Mark(hit.marks),
            accepted_at=hit.accepted_at,
            on_the_wire=hit.state == MessageState.CLAIMED,
        )
    )


def _is_stale(hit: Any, machine: bool) -> bool:
    return bool(hit.machine != machine or hit.classifier != VERSION)


def _save(connection: Connection, fixed: dict[str, Any], judged: Sequence[Any]) -> None:
    rows = [(h.customer_id, h.at, h.step, h.kind, h.id, machine) for h, machine in judged]
    names = ("customers", "times", "steps", "kinds", "ids", "machines")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    connection.execute(_JUDGE, fixed | columns | {"version": VERSION})


def _rebuild(connection: Connection, tenant_id: int, run_id: int, day: date) -> None:
    connection.execute(text("LOCK TABLE event_counter IN SHARE ROW EXCLUSIVE MODE"))
    counter = table(EventCounter)
    mine = (counter.c.tenant_id == tenant_id, counter.c.run_id == run_id)
    connection.execute(counter.delete().where(*mine))
    rows = _counted_rows(tenant_id, run_id, day).add_columns(literal(tenant_id), literal(run_id))
    names = ["variant", "hour", "kind", "machine", "hits", "tenant_id", "run_id"]
    connection.execute(insert(counter).from_select(names, rows))


def _counted_rows(tenant_id: int, run_id: int, day: date) -> Any:
    event = table(MessageEvent).c
    hour = func.date_trunc("hour", event.at, "UTC").label("hour")
    return (
        select(event.variant, hour, event.kind, event.machine, func.count().label("hits"))
        .where(event.tenant_id == tenant_id, event.run_id == run_id, event.launched_on == day)
        .group_by(event.variant, hour, event.kind, event.machine)
    )


def _by_key(rows: Iterable[Any]) -> dict[tuple[int, datetime, int, bool], int]:
    return {(r.variant, r.hour, r.kind, r.machine): r.hits for r in rows}


def _launched_on(connection: Connection, tenant_id: int, run_id: int) -> date:
    run = table(Run).c
    query = select(run.launched_on).where(run.tenant_id == tenant_id, run.id == run_id)
    found: date | None = connection.scalar(query)
    if found is None:
        raise NotFoundError(f"There is no run number {run_id}.")
    return found
