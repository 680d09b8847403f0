"""Counters compared with the raw hits, and made again from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert

from envoi.db import Database, table
from envoi.delivery.models import Run
from envoi.errors import NotFoundError
from envoi.tracking.models import EventCounter, MessageEvent

_COMPARE = text(
    "WITH counted AS (SELECT variant, hour, kind, machine, hits FROM event_counter"
    "  WHERE tenant_id = :tenant AND run_id = :run),"
    " found AS (SELECT variant, date_trunc('hour', at, 'UTC') AS hour, kind, machine,"
    "  count(*) AS hits FROM message_event"
    "  WHERE tenant_id = :tenant AND run_id = :run AND launched_on = :day GROUP BY 1, 2, 3, 4)"
    " SELECT variant, hour, kind, machine, coalesce(counted.hits, 0) AS counted,"
    " coalesce(found.hits, 0) AS rows"
    " FROM counted FULL JOIN found USING (variant, hour, kind, machine)"
    " WHERE coalesce(counted.hits, 0) <> coalesce(found.hits, 0)"
    " ORDER BY variant, hour, kind, machine"
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
        day = launched_on(connection, tenant_id, run_id)
        # One statement sees one moment, whatever is being written meanwhile.
        rows = connection.execute(_COMPARE, {"tenant": tenant_id, "run": run_id, "day": day})
        return [Difference(**row) for row in rows.mappings()]


def rebuild(database: Database, tenant_id: int, run_id: int) -> None:
    """Count a run's hits again; hits that arrive meanwhile wait for the lock and are added."""
    with database.tenant_connection(tenant_id) as connection:
        day = launched_on(connection, tenant_id, run_id)
        connection.execute(text("LOCK TABLE event_counter IN SHARE ROW EXCLUSIVE MODE"))
        counter = table(EventCounter)
        mine = (counter.c.tenant_id == tenant_id, counter.c.run_id == run_id)
        connection.execute(counter.delete().where(*mine))
        names = ["variant", "hour", "kind", "machine", "hits", "tenant_id", "run_id"]
        connection.execute(insert(counter).from_select(names, _rows(tenant_id, run_id, day)))


def launched_on(connection: Connection, tenant_id: int, run_id: int) -> date:
    """The launch day of a run; raises `NotFoundError` where there is no such run."""
    run = table(Run).c
    query = select(run.launched_on).where(run.tenant_id == tenant_id, run.id == run_id)
    found: date | None = connection.scalar(query)
    if found is None:
        raise NotFoundError(f"There is no run number {run_id}.")
    return found


def _rows(tenant_id: int, run_id: int, day: date) -> Any:
    event = table(MessageEvent).c
    hour = func.date_trunc("hour", event.at, "UTC").label("hour")
    key = (event.variant, hour, event.kind, event.machine)
    return (
        select(*key, func.count(), literal(tenant_id), literal(run_id))
        .where(event.tenant_id == tenant_id, event.run_id == run_id, event.launched_on == day)
        .group_by(*key)
    )
