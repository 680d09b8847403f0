"""What follows from a verdict that changes: counters, first opens and first clicks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from envoi.tracking.arrays import columns
from envoi.tracking.classify import VERSION

# A verdict that another process changed meanwhile is looked at again, so counters stay exact.
_JUDGE = text(
    "UPDATE message_event e SET machine = j.machine, classifier = :version"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:times AS timestamptz[]),"
    " CAST(:steps AS smallint[]), CAST(:kinds AS smallint[]), CAST(:ids AS bigint[]),"
    " CAST(:machines AS boolean[])) AS j(customer_id, at, step, kind, id, machine)"
    " WHERE e.tenant_id = :tenant AND e.run_id = :run AND e.launched_on = :day"
    " AND e.customer_id = j.customer_id AND e.at = j.at AND e.step = j.step AND e.kind = j.kind"
    " AND e.id = j.id AND e.machine <> j.machine"
    " RETURNING e.customer_id, e.step, e.variant, e.at, e.kind, e.machine"
)

_COUNTERS = text(
    "INSERT INTO event_counter (tenant_id, run_id, variant, hour, kind, machine, hits)"
    " SELECT :tenant, * FROM unnest(CAST(:runs AS bigint[]), CAST(:variants AS smallint[]),"
    " CAST(:hours AS timestamptz[]), CAST(:kinds AS smallint[]), CAST(:machines AS boolean[]),"
    " CAST(:hits AS bigint[]))"
    " ON CONFLICT (tenant_id, run_id, variant, hour, kind, machine)"
    " DO UPDATE SET hits = event_counter.hits + excluded.hits"
)

# Only times that follow from hits: what a provider reported stays.
_FACTS = text(
    "UPDATE message m SET opened_at = f.opened_at, clicked_at = f.clicked_at"
    " FROM (SELECT k.customer_id, k.step, min(e.at) FILTER (WHERE NOT e.machine) AS opened_at,"
    "  min(e.at) FILTER (WHERE e.kind = 2 AND NOT e.machine) AS clicked_at"
    "  FROM unnest(CAST(:customers AS bigint[]), CAST(:steps AS smallint[]))"
    "  AS k(customer_id, step)"
    "  LEFT JOIN message_event e ON e.tenant_id = :tenant AND e.run_id = :run"
    "  AND e.launched_on = :day AND e.customer_id = k.customer_id AND e.step = k.step"
    "  AND e.kind IN (1, 2, 5)"
    "  GROUP BY k.customer_id, k.step) AS f"
    " WHERE m.tenant_id = :tenant AND m.run_id = :run AND m.launched_on = :day"
    " AND m.customer_id = f.customer_id AND m.step = f.step"
    " AND (m.opened_at, m.clicked_at) IS DISTINCT FROM (f.opened_at, f.clicked_at)"
)

CounterKey = tuple[int, int, datetime, int, bool]
"""Run, variant, hour, kind, machine."""


class Verdict(NamedTuple):
    """A hit's key within its run, and what is thought of it now."""

    customer_id: int
    at: datetime
    step: int
    kind: int
    id: int
    machine: bool


def hour_of(at: datetime) -> datetime:
    """The hour that a hit is counted in."""
    return at.replace(minute=0, second=0, microsecond=0)


def count(connection: Connection, tenant_id: int, counted: Counter[CounterKey]) -> None:
    """Add to counters, in the order of their key, so that two processes never wait in turn."""
    rows = [(*key, hits) for key, hits in sorted(counted.items()) if hits]
    if rows:
        names = ("runs", "variants", "hours", "kinds", "machines", "hits")
        connection.execute(_COUNTERS, {"tenant": tenant_id} | columns(rows, *names))


def change(connection: Connection, run: dict[str, Any], verdicts: Sequence[Verdict]) -> int:
    """Store verdicts that differ, with all that follows from them; return how many changed sides.

    Args:
        connection: A transaction of the tenant.
        run: The run as `tenant`, `run` and `day`.
        verdicts: At most some thousand.
    """
    if not verdicts:
        return 0
    names = ("customers", "times", "steps", "kinds", "ids", "machines")
    given = columns(sorted(verdicts), *names)
    changed = connection.execute(_JUDGE, run | given | {"version": VERSION}).all()
    if changed:
        count(connection, run["tenant"], _moved(run["run"], changed))
        messages = sorted({(row.customer_id, row.step) for row in changed})
        connection.execute(_FACTS, run | columns(messages, "customers", "steps"))
    return len(changed)


def _moved(run_id: int, changed: Iterable[Any]) -> Counter[CounterKey]:
    moved: Counter[CounterKey] = Counter()
    for row in changed:
        place = (run_id, row.variant, hour_of(row.at), row.kind)
        moved[*place, row.machine] += 1
        moved[*place, not row.machine] -= 1
    return moved
