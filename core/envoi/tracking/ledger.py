"""Writes hits: raw rows, counters, and the facts at the message, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from envoi.db import Database
from envoi.delivery.handover import Come, come_to, wait_for_prices
from envoi.delivery.models import MessageState
from envoi.tracking.arrays import columns
from envoi.tracking.classify import (
    BURST_LINKS,
    BURST_SPAN,
    TOO_QUICK,
    VERSION,
    Mark,
    in_bursts,
    rule_shown,
)
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef
from envoi.tracking.verdicts import Verdict, change

# Messages with an earlier click that a burst could have begun with.
_FOLLOWED = text(
    "SELECT k.run_id, k.customer_id, k.step"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    " CAST(:steps AS smallint[]), CAST(:clicks AS timestamptz[]))"
    " AS k(run_id, customer_id, step, click_at)"
    " WHERE EXISTS (SELECT FROM message_event e"
    "  WHERE e.tenant_id = :tenant AND e.launched_on = :day AND e.run_id = k.run_id"
    "  AND e.customer_id = k.customer_id AND e.step = k.step AND e.kind = 2"
    "  AND e.at > k.click_at - CAST(:span AS interval))"
)

_NEAR = text(
    "SELECT e.customer_id, e.at, e.step, e.kind, e.id, e.link, e.machine, e.run_id"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    " CAST(:steps AS smallint[]), CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]))"
    " AS k(run_id, customer_id, step, first, last)"
    " JOIN message_event e ON e.tenant_id = :tenant AND e.launched_on = :day"
    " AND e.run_id = k.run_id AND e.customer_id = k.customer_id AND e.step = k.step"
    " AND e.kind = 2 AND e.at BETWEEN k.first - CAST(:span AS interval)"
    " AND k.last + CAST(:span AS interval)"
)

# All in one statement, so that no row of it travels. What a request shows is judged before; the
# rule that needs the message is `classify._too_quick`. Counters come before facts, here as
# everywhere, so that two processes never wait for each other.
_WRITE = text(
    "WITH hit AS MATERIALIZED (SELECT h.*, m.opened_at IS NULL AS unopened,"
    "  m.clicked_at IS NULL AS unclicked, h.shown OR CASE WHEN m.accepted_at IS NULL"
    "  THEN m.state = :claimed ELSE h.at < m.accepted_at + CAST(:quick AS interval) END AS machine"
    "  FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    "  CAST(:steps AS smallint[]), CAST(:variants AS smallint[]), CAST(:kinds AS smallint[]),"
    "  CAST(:times AS timestamptz[]), CAST(:links AS smallint[]), CAST(:shown AS boolean[]),"
    "  CAST(:marks AS smallint[]), CAST(:ips AS text[]), CAST(:agents AS text[]))"
    "  AS h(run_id, customer_id, step, variant, kind, at, link, shown, marks, ip, agent)"
    "  JOIN message m ON m.tenant_id = :tenant AND m.launched_on = :day"
    "  AND m.run_id = h.run_id AND m.customer_id = h.customer_id AND m.step = h.step),"
    " written AS (INSERT INTO message_event (tenant_id, launched_on, classifier, run_id,"
    "  customer_id, step, variant, kind, at, link, machine, marks, ip, agent)"
    "  SELECT :tenant, :day, :version, run_id, customer_id, step, variant, kind, at, link,"
    "  machine, marks, ip, agent FROM hit),"
    " counted AS (INSERT INTO event_counter"
    "  (tenant_id, run_id, variant, hour, kind, machine, hits)"
    "  SELECT :tenant, run_id, variant, date_trunc('hour', at, 'UTC'), kind, machine, count(*)"
    "  FROM hit GROUP BY 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6"
    "  ON CONFLICT (tenant_id, run_id, variant, hour, kind, machine)"
    "  DO UPDATE SET hits = event_counter.hits + excluded.hits RETURNING 1)"
    " UPDATE message m SET delivered_at = coalesce(m.delivered_at, f.at),"
    " opened_at = coalesce(m.opened_at, f.at),"
    " clicked_at = coalesce(m.clicked_at, f.clicked_at)"
    " FROM (SELECT run_id, customer_id, step, min(at) AS at,"
    "  min(at) FILTER (WHERE kind = 2) AS clicked_at FROM hit WHERE NOT machine"
    "  GROUP BY 1, 2, 3 HAVING bool_or(unopened OR kind = 2 AND unclicked)"
    "  ORDER BY 1, 2, 3) AS f"
    " WHERE m.tenant_id = :tenant AND m.launched_on = :day"
    " AND m.run_id = f.run_id AND m.customer_id = f.customer_id AND m.step = f.step"
    " AND (SELECT count(*) FROM counted) > 0"
)

_RULES = {"claimed": int(MessageState.CLAIMED), "quick": TOO_QUICK, "version": VERSION}
_Key = tuple[int, int, int]


# Every hit makes one; a named tuple takes a third of a frozen data class.
class Hit(NamedTuple):
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
        ref = self.message
        return ref.run_id, ref.customer_id, ref.step


def write(database: Database, tenant_id: int, launched_on: date, hits: Sequence[Hit]) -> None:
    """Write hits of one tenant and launch day; those of messages that are gone are left out."""
    fixed = {"tenant": tenant_id, "day": launched_on}
    with database.tenant_connection(tenant_id, durable=False) as connection:
        # Who has followed a link of a further step's message has got it.
        further = [hit for hit in hits if hit.message.step > 1]
        if further:
            wait_for_prices(connection, tenant_id, [hit.message.run_id for hit in further])
            signs = [Come(*hit.key, hit.at - TOO_QUICK) for hit in further]
            come_to(connection, tenant_id, launched_on, signs)
        bursts, earlier = _bursts(connection, fixed, hits)
        connection.execute(_WRITE, fixed | _RULES | _columns(hits, bursts))
        for run_id, verdicts in earlier.items():
            change(connection, fixed | {"run": run_id}, verdicts)


def _bursts(
    connection: Connection, fixed: dict[str, Any], hits: Iterable[Hit]
) -> tuple[set[Hit], Mapping[int, Sequence[Verdict]]]:
    """Find clicks that belong to a burst: these hits, and by run what was written before."""
    suspect = _suspect(connection, fixed, hits)
    mine: set[Hit] = set()
    earlier: dict[int, list[Verdict]] = defaultdict(list)
    near = _near(connection, fixed, suspect) if suspect else {}
    for key, new in suspect.items():
        every = sorted([*new, *near.get(key, ())], key=lambda click: click.at)
        for place in in_bursts([(click.at, click.link) for click in every]):
            click = every[place]
            if isinstance(click, Hit):
                mine.add(click)
            elif not click.machine:
                earlier[key[0]].append(
                    Verdict(click.customer_id, click.at, click.step, click.kind, click.id, True)
                )
    return mine, earlier


def _suspect(
    connection: Connection, fixed: dict[str, Any], hits: Iterable[Hit]
) -> Mapping[_Key, Sequence[Hit]]:
    """Clicks by message, of messages with many of them or with others shortly before."""
    clicks: dict[_Key, list[Hit]] = defaultdict(list)
    for hit in hits:
        if hit.kind is EventKind.CLICK:
            clicks[hit.key].append(hit)
    if not clicks:
        return {}
    rows = [(*key, min(click.at for click in new)) for key, new in sorted(clicks.items())]
    given = columns(rows, "runs", "customers", "steps", "clicks")
    stored = connection.execute(_FOLLOWED, fixed | given | {"span": BURST_SPAN})
    followed = {tuple(row) for row in stored}
    return {k: new for k, new in clicks.items() if k in followed or len(new) >= BURST_LINKS}


def _near(
    connection: Connection, fixed: dict[str, Any], suspect: Mapping[_Key, Sequence[Hit]]
) -> Mapping[_Key, Sequence[Any]]:
    times = [(key, [click.at for click in clicks]) for key, clicks in sorted(suspect.items())]
    rows = [(*key, min(at), max(at)) for key, at in times]
    given = columns(rows, "runs", "customers", "steps", "firsts", "lasts")
    near: dict[_Key, list[Any]] = defaultdict(list)
    for row in connection.execute(_NEAR, fixed | given | {"span": BURST_SPAN}):
        near[row.run_id, row.customer_id, row.step].append(row)
    return near


def _columns(hits: Iterable[Hit], bursts: set[Hit]) -> dict[str, str]:
    rows = []
    for hit in hits:
        (_, run_id, customer_id, _, step, variant), kind, at, link, marks, ip, agent = hit
        shown = rule_shown(agent, marks) is not None or (bool(bursts) and hit in bursts)
        place = (run_id, customer_id, step, variant)
        rows.append((*place, int(kind), at, link, shown, int(marks), ip, agent))
    names = ("runs", "customers", "steps", "variants", "kinds", "times", "links", "shown")
    return columns(rows, *names, "marks", "ips", "agents")
