"""Writes hits: raw rows, counters, and the facts at the message, in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.tracking.arrays import columns
from envoi.tracking.classify import (
    BURST_LINKS,
    BURST_SPAN,
    VERSION,
    Mark,
    Signals,
    in_bursts,
    rule_of,
)
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef
from envoi.tracking.verdicts import Verdict, change, count, hour_of

# `near` tells whether there are earlier clicks that a burst could have begun with.
_MESSAGES = text(
    "SELECT m.run_id, m.customer_id, m.step, m.state, m.accepted_at,"
    " m.opened_at IS NULL AS unopened, m.clicked_at IS NULL AS unclicked,"
    " k.click_at IS NOT NULL AND EXISTS (SELECT FROM message_event e"
    "  WHERE e.tenant_id = :tenant AND e.launched_on = :day AND e.run_id = k.run_id"
    "  AND e.customer_id = k.customer_id AND e.step = k.step AND e.kind = 2"
    "  AND e.at > k.click_at - CAST(:span AS interval)) AS near"
    " FROM unnest(CAST(:runs AS bigint[]), CAST(:customers AS bigint[]),"
    " CAST(:steps AS smallint[]), CAST(:clicks AS timestamptz[]))"
    " AS k(run_id, customer_id, step, click_at)"
    " JOIN message m ON m.tenant_id = :tenant AND m.launched_on = :day"
    " AND m.run_id = k.run_id AND m.customer_id = k.customer_id AND m.step = k.step"
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

_EVENTS = text(
    "INSERT INTO message_event (tenant_id, launched_on, classifier, run_id, customer_id, step,"
    " variant, kind, at, link, machine, marks, ip, agent)"
    " SELECT :tenant, :day, :version, * FROM unnest(CAST(:runs AS bigint[]),"
    " CAST(:customers AS bigint[]), CAST(:steps AS smallint[]), CAST(:variants AS smallint[]),"
    " CAST(:kinds AS smallint[]), CAST(:times AS timestamptz[]), CAST(:links AS smallint[]),"
    " CAST(:machines AS boolean[]), CAST(:marks AS smallint[]), CAST(:ips AS text[]),"
    " CAST(:agents AS text[]))"
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
_Found = Mapping[_Key, Any]


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


class _Judged(NamedTuple):
    key: _Key
    hit: Hit
    machine: bool
    fills: bool


def write(database: Database, tenant_id: int, launched_on: date, hits: Sequence[Hit]) -> None:
    """Write hits of one tenant and launch day; those of messages that are gone are left out."""
    fixed = {"tenant": tenant_id, "day": launched_on}
    with database.tenant_connection(tenant_id, durable=False) as connection:
        found = _messages(connection, fixed, hits)
        bursts, earlier = _bursts(connection, fixed, hits, found)
        judged = [_judged(hit, found[hit.key], bursts) for hit in hits if hit.key in found]
        if not judged:
            return
        connection.execute(_EVENTS, fixed | {"version": VERSION} | _event_columns(judged))
        count(connection, tenant_id, _counted(judged))
        if facts := [j for j in judged if j.fills]:
            connection.execute(_FACTS, fixed | _fact_columns(facts))
        for run_id, verdicts in earlier.items():
            change(connection, fixed | {"run": run_id}, verdicts)


def _messages(connection: Connection, fixed: dict[str, Any], hits: Sequence[Hit]) -> _Found:
    """The messages that were hit, asked for in the order of their key."""
    wanted: dict[_Key, datetime | None] = {}
    for hit in hits:
        first = wanted.setdefault(hit.key, None)
        if hit.kind is EventKind.CLICK and (first is None or hit.at < first):
            wanted[hit.key] = hit.at
    rows = [(*key, wanted[key]) for key in sorted(wanted)]
    given = columns(rows, "runs", "customers", "steps", "clicks")
    stored = connection.execute(_MESSAGES, fixed | given | {"span": BURST_SPAN})
    return {(row.run_id, row.customer_id, row.step): row for row in stored}


def _bursts(
    connection: Connection, fixed: dict[str, Any], hits: Sequence[Hit], found: _Found
) -> tuple[set[Hit], Mapping[int, Sequence[Verdict]]]:
    """Find clicks that belong to a burst: these hits, and by run what was written before."""
    clicks: dict[_Key, list[Hit]] = defaultdict(list)
    for hit in hits:
        if hit.kind is EventKind.CLICK and hit.key in found:
            clicks[hit.key].append(hit)
    suspect = {k: c for k, c in clicks.items() if found[k].near or len(c) >= BURST_LINKS}
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


def _judged(hit: Hit, message: Any, bursts: set[Hit]) -> _Judged:
    on_the_wire = message.state == MessageState.CLAIMED
    signals = Signals(hit.at, hit.agent, hit.marks, message.accepted_at, on_the_wire)
    machine = rule_of(signals) is not None or bool(bursts and hit in bursts)
    missing = message.unopened or (hit.kind is EventKind.CLICK and message.unclicked)
    return _Judged(hit.key, hit, machine, missing and not machine)


def _event_columns(judged: Iterable[_Judged]) -> dict[str, Any]:
    rows = [
        (
            *key,
            hit.message.variant,
            int(hit.kind),
            hit.at,
            hit.link,
            machine,
            int(hit.marks),
            hit.ip,
            hit.agent,
        )
        for key, hit, machine, _ in judged
    ]
    names = ("runs", "customers", "steps", "variants", "kinds", "times", "links", "machines")
    return columns(rows, *names, "marks", "ips", "agents")


def _counted(judged: Iterable[_Judged]) -> Counter[tuple[int, int, datetime, int, bool]]:
    return Counter(
        (key[0], hit.message.variant, hour_of(hit.at), int(hit.kind), machine)
        for key, hit, machine, _ in judged
    )


def _fact_columns(facts: Iterable[_Judged]) -> dict[str, Any]:
    """The first hit and the first click of each message; a click implies an open."""
    first: dict[_Key, datetime] = {}
    clicked: dict[_Key, datetime] = {}
    for key, hit, _, _ in sorted(facts, key=lambda fact: fact.hit.at):
        first.setdefault(key, hit.at)
        if hit.kind is EventKind.CLICK:
            clicked.setdefault(key, hit.at)
    rows = [(*key, at, clicked.get(key)) for key, at in sorted(first.items())]
    return columns(rows, "runs", "customers", "steps", "times", "clicks")
