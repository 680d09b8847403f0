"""Old hits judged by the present rules: first opens, first clicks and counters follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.models import MessageState, Run
from envoi.jobs import Work, announce, withdraw
from envoi.tracking.classify import VERSION, Mark, Signals, in_bursts, rule_of
from envoi.tracking.counters import launched_on
from envoi.tracking.models import EventKind
from envoi.tracking.verdicts import Verdict, change

CUSTOMERS = 2_000
"""Whose hits are judged in one transaction: a second of work, and little that waits for it."""

_CUSTOMERS = text(
    "SELECT DISTINCT customer_id FROM message WHERE tenant_id = :tenant AND run_id = :run"
    " AND launched_on = :day AND customer_id > :after ORDER BY customer_id LIMIT :count"
)

_HITS = text(
    "SELECT e.customer_id, e.at, e.step, e.kind, e.id, e.machine, e.link, e.marks, e.agent,"
    " m.accepted_at, m.state"
    " FROM message_event e JOIN message m ON m.tenant_id = e.tenant_id AND m.run_id = e.run_id"
    " AND m.customer_id = e.customer_id AND m.step = e.step AND m.launched_on = e.launched_on"
    " WHERE e.tenant_id = :tenant AND e.run_id = :run AND e.launched_on = :day"
    " AND m.tenant_id = :tenant AND m.run_id = :run AND m.launched_on = :day"
    " AND e.customer_id BETWEEN :first AND :last AND m.customer_id BETWEEN :first AND :last"
    " ORDER BY e.customer_id, e.step, e.at, e.id"
)


def reclassify(database: Database, tenant_id: int, run_id: int) -> int:
    """Judge a run's hits by the present rules; return how many changed sides.

    First opens and first clicks follow, and the counters; `delivered_at` stays, because reports
    fill it as well. Sales are attributed anew where an open was gained or lost.
    """
    with database.tenant_connection(tenant_id) as connection:
        day = launched_on(connection, tenant_id, run_id)
    run: dict[str, Any] = {"tenant": tenant_id, "run": run_id, "day": day}
    changed, after = 0, 0
    while True:
        with database.tenant_connection(tenant_id) as connection:
            given = run | {"after": after, "count": CUSTOMERS}
            customers = connection.scalars(_CUSTOMERS, given).all()
            if not customers:
                break
            after = customers[-1]
            span = {"first": customers[0], "last": after}
            changed += change(connection, run, list(_verdicts(connection, run | span)))
    _note(database, tenant_id, run_id, changed)
    return changed


def announce_outdated(session: Session, tenant_id: int) -> int:
    """Announce every run whose hits an earlier version has judged; return how many."""
    run = table(Run).c
    query = select(run.id).where(run.tenant_id == tenant_id, run.classifier < VERSION)
    outdated = session.scalars(query).all()
    for run_id in outdated:
        announce(session, tenant_id, Work.JUDGE, run_id)
    return len(outdated)


def _note(database: Database, tenant_id: int, run_id: int, changed: int) -> None:
    run = table(Run)
    values: dict[str, Any] = {"classifier": VERSION} | ({"report": None} if changed else {})
    with database.tenant_session(tenant_id) as session:
        mine = (run.c.tenant_id == tenant_id, run.c.id == run_id)
        session.execute(run.update().where(*mine).values(**values))
        withdraw(session, tenant_id, Work.JUDGE, run_id)
        if changed:
            announce(session, tenant_id, Work.ATTRIBUTE, run_id)


def _verdicts(connection: Connection, given: dict[str, Any]) -> Iterator[Verdict]:
    """Yield the verdicts on a range of customers' hits that differ from the stored ones."""
    messages: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for hit in connection.execute(_HITS, given):
        messages[hit.customer_id, hit.step].append(hit)
    for hits in messages.values():
        for hit, machine in zip(hits, _judge(hits), strict=True):
            if hit.machine != machine:
                yield Verdict(hit.customer_id, hit.at, hit.step, hit.kind, hit.id, machine)


def _judge(hits: Sequence[Any]) -> list[bool]:
    clicks = [place for place, hit in enumerate(hits) if hit.kind == EventKind.CLICK]
    bursts = in_bursts([(hits[place].at, hits[place].link) for place in clicks])
    in_burst = {clicks[place] for place in bursts}
    return [
        place in in_burst or rule_of(_signals(hit)) is not None for place, hit in enumerate(hits)
    ]


def _signals(hit: Any) -> Signals:
    on_the_wire = hit.state == MessageState.CLAIMED
    return Signals(hit.at, hit.agent, Mark(hit.marks), hit.accepted_at, on_the_wire)
