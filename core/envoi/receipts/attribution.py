"""Which message a purchase is owed to: at most one, by a rule that can be run again at will.

A receipt belongs to the last message that its customer had had contact with before it, if the
receipt falls within the mailing's attribution window and meets its conditions. By days the
contact is the open, or the delivery where phones do not tell what is read (see `OPENED`), and
the window is N times 24 hours from it; opens that come more than
`LATE_OPENS` after the launch are no contact any more; without such an end every mailing of all
times would stay a candidate. In a range of dates, both ends included, the contact is the message
itself, from its delivery on. Of contacts at the same moment the message sent later wins, then the
higher run. A cancelled receipt belongs to nothing.

Opens are people's (`message.opened_at`). This is not lift: see `envoi.mailings.lift`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Date, Integer, func, or_, select, text
from sqlalchemy.orm import Session

from envoi.db import Database, one_at_a_time, table
from envoi.delivery.figures import keep_figures, keep_sales
from envoi.delivery.models import Run, RunKind
from envoi.jobs import Work, announce, withdraw
from envoi.tenants.models import TenantSettings

ALL_OPEN_RUNS = 0
"""Stands in the `ref` of due work for every run whose window is open."""

OPENED = ("email", "push")
"""Channels whose messages are opened, and known to be; those of all others are delivered."""
LATE_OPENS = timedelta(days=30)
LATE_BOUNCES = timedelta(days=7)
AGAIN_AFTER = timedelta(hours=1)
LONGEST_WINDOW = 365
"""The most attribution days a mailing can have; bounds the search for candidates."""

# `chosen` are the receipts that this call decides; every run that may have touched them takes
# part, so that a call for one run gives the same result as a call for all.
_ATTRIBUTE = text(
    """
    WITH candidate AS (
        SELECT c.*, CAST(wanted ->> 'min_items' AS float8) AS min_items,
            CAST(wanted ->> 'min_amount' AS bigint) AS min_amount,
            wanted -> 'products' AS products, wanted -> 'categories' AS categories,
            wanted ?| ARRAY['products', 'categories'] AS by_line
        FROM unnest(CAST(:runs AS bigint[]), CAST(:days AS date[]),
            CAST(:windows AS interval[]), CAST(:ends AS timestamptz[]),
            CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]),
            CAST(:conditions AS jsonb[]), CAST(:delivered AS jsonb[]))
            AS c(run_id, launched_on, span, until, first, last, wanted, delivered)
    ), touch AS (
        SELECT m.customer_id, at.contact_at, m.accepted_at, m.run_id, m.step, m.variant,
            coalesce(c.first, at.contact_at) AS since,
            coalesce(c.last, at.contact_at + c.span) AS until, c.last IS NOT NULL AS ranged,
            c.min_items, c.min_amount, c.products, c.categories, c.by_line
        FROM message m JOIN candidate c ON c.run_id = m.run_id AND c.launched_on = m.launched_on
        CROSS JOIN LATERAL (
            SELECT CASE WHEN c.last IS NULL AND CAST(c.delivered -> m.step - 1 AS boolean)
                    THEN m.delivered_at
                WHEN c.last IS NULL THEN m.opened_at
                WHEN m.bounced_at IS NULL THEN coalesce(m.delivered_at, m.accepted_at)
                END AS contact_at
        ) AS at
        WHERE m.tenant_id = :tenant AND m.launched_on BETWEEN :first_day AND :last_day
            AND at.contact_at IS NOT NULL AND at.contact_at < c.until
    ), best AS (
        SELECT DISTINCT ON (r.id) r.id, t.run_id, r.customer_id, coalesce(t.variant, 1) AS variant,
            CAST(r.at AT TIME ZONE :zone AS date) AS on_day, r.amount
        FROM receipt r JOIN touch t
            ON t.customer_id = r.customer_id AND t.contact_at < r.at AND r.at >= t.since
            AND (r.at < t.until OR r.at = t.until AND NOT t.ranged)
            AND (t.min_items IS NULL OR r.items >= t.min_items)
            AND (t.min_amount IS NULL OR r.amount >= t.min_amount)
            AND (NOT t.by_line OR EXISTS (
                SELECT FROM receipt_line l
                JOIN product p ON p.tenant_id = :tenant AND p.id = l.product_id
                WHERE l.tenant_id = :tenant AND l.receipt_id = r.id
                    AND (t.products @> to_jsonb(p.external_id)
                         OR t.categories @> to_jsonb(p.category))))
        WHERE r.tenant_id = :tenant AND NOT r.cancelled AND r.at > :since AND r.at <= :until
            AND (CAST(:only AS bigint) IS NULL
                 OR r.customer_id IN (SELECT customer_id FROM touch WHERE run_id = :only))
        ORDER BY r.id, t.contact_at DESC, t.accepted_at DESC NULLS LAST, t.run_id DESC, t.step DESC
    ), gone AS (
        DELETE FROM attribution a
        WHERE a.tenant_id = :tenant AND a.run_id = ANY(CAST(:decided AS bigint[]))
            AND NOT EXISTS (SELECT FROM best WHERE best.id = a.receipt_id)
        RETURNING run_id
    ), changed AS (
        INSERT INTO attribution AS a
            (tenant_id, receipt_id, run_id, customer_id, variant, on_day, amount)
        SELECT :tenant, id, run_id, customer_id, variant, on_day, amount FROM best
        ON CONFLICT (tenant_id, receipt_id) DO UPDATE SET run_id = excluded.run_id,
            customer_id = excluded.customer_id, variant = excluded.variant,
            on_day = excluded.on_day, amount = excluded.amount
        WHERE (a.run_id, a.customer_id, a.variant, a.on_day, a.amount) IS DISTINCT FROM
            (excluded.run_id, excluded.customer_id, excluded.variant, excluded.on_day,
             excluded.amount)
        RETURNING old.run_id AS from_run, new.run_id AS to_run
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM changed) AS changed,
        ARRAY(SELECT run_id FROM gone UNION SELECT from_run FROM changed
            UNION SELECT to_run FROM changed) AS runs
    """
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """When contacts of a run count, and which purchases after them.

    `first` and `last` are the range of purchases where dates were chosen instead of days, from
    the first on and before the last; `conditions` is a document of `ReceiptConditions`.
    """

    run_id: int
    launched_on: date
    days: int
    first: datetime | None = None
    last: datetime | None = None
    conditions: dict[str, Any] = field(default_factory=dict)
    by_delivery: tuple[bool, ...] = (False,)
    """Of each step, whether its message counts from its delivery, because nobody tells that it was
    opened."""

    @property
    def contacts_until(self) -> datetime:
        """The moment from which an open is no contact any more."""
        return self.last or _midnight(self.launched_on) + timedelta(days=1) + LATE_OPENS

    @property
    def since(self) -> datetime:
        """No purchase before this belongs to the run; a day early, for zones."""
        return _midnight(self.launched_on) - timedelta(days=1)

    @property
    def until(self) -> datetime:
        """The last moment at which a purchase can belong to the run."""
        return self.last or self.contacts_until + timedelta(days=self.days)


def attribute(
    database: Database, tenant_id: int, run_id: int | None = None, now: datetime | None = None
) -> int:
    """Attribute the purchases of one run's window, or of all open ones; return how many changed.

    Args:
        database: The installation's database.
        tenant_id: The tenant.
        run_id: A run, open or long closed; None or 0 stands for every run with an open window.
        now: The moment that decides which windows are open.
    """
    with database.tenant_session(tenant_id) as session:
        return _attribute(session, tenant_id, run_id, now or datetime.now(UTC))


def attribute_when_due(
    database: Database, tenant_id: int, ref: int, now: datetime | None = None
) -> int:
    """Do the due work of `Work.ATTRIBUTE` and announce it again while the figures may change.

    The announcement goes first and in the same transaction: an import that ends meanwhile waits
    and announces anew, instead of being taken for done.
    """
    now = now or datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        withdraw(session, tenant_id, Work.ATTRIBUTE, ref)
        connection = session.connection()
        changed = _attribute(session, tenant_id, ref or None, now)
        # Bounces come for days after a run has ended.
        keep_figures(connection, tenant_id, [ref] if ref else [])
        open_still = _decided(connection, tenant_id, None, now, ref)
        if ref != ALL_OPEN_RUNS and (open_still or _may_bounce(connection, tenant_id, ref, now)):
            announce_attribution(session, tenant_id, ref, now + AGAIN_AFTER)
    return changed


def announce_attribution(
    session: Session | Connection,
    tenant_id: int,
    run_id: int = ALL_OPEN_RUNS,
    due_at: datetime | None = None,
) -> None:
    """Ask for attribution: of a run while its figures may change, of all open runs by an import."""
    announce(session, tenant_id, Work.ATTRIBUTE, run_id, due_at)


def runs_to_attribute(session: Session, tenant_id: int, now: datetime) -> list[int]:
    """List the collected runs whose purchases are still decided."""
    windows, run = _decided(session.connection(), tenant_id, None, now), table(Run).c
    query = select(run.id).where(
        run.tenant_id == tenant_id,
        run.id.in_([window.run_id for window in windows]),
        run.collected_at.is_not(None),
    )
    return list(session.scalars(query))


def _attribute(session: Session, tenant_id: int, run_id: int | None, now: datetime) -> int:
    connection = session.connection()
    decided = _decided(connection, tenant_id, run_id, now)
    if not decided:
        return 0
    since, until = min(w.since for w in decided), max(w.until for w in decided)
    others = _windows(connection, tenant_id, since - LATE_OPENS, until)
    # The statistics of a month that has just begun may promise a handful of messages.
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    connection.execute(text("SET LOCAL work_mem = '128MB'"))
    # One at a time: two that decide the same receipts would wait for each other in turn.
    one_at_a_time(connection, f"attribution:{tenant_id}")
    values = {
        "tenant": tenant_id,
        "zone": _zone(connection, tenant_id),
        "since": since,
        "until": until,
        "only": decided[0].run_id if run_id else None,
        "decided": [w.run_id for w in decided],
    }
    candidates = _candidates([w for w in others if w.until > since])
    done = connection.execute(_ATTRIBUTE, values | candidates).one()
    # A purchase may move from a run whose window has closed, or to one.
    changed = set(done.runs) - {None}
    keep_sales(connection, tenant_id, list({w.run_id for w in decided} | changed))
    for run in changed | ({run_id} if run_id else set()):
        announce(session, tenant_id, Work.REPORT, run)
    return int(done.changed)


def _decided(
    connection: Connection,
    tenant_id: int,
    run_id: int | None,
    now: datetime,
    among: int | None = None,
) -> list[Window]:
    """The runs whose receipts are to be decided: the one asked for, or those still open."""
    if run_id:
        return _windows(connection, tenant_id, None, None, run_id)
    longest = timedelta(days=LONGEST_WINDOW + 2) + LATE_OPENS
    return [
        window
        for window in _windows(connection, tenant_id, now - longest, now + timedelta(days=1), among)
        if window.until > now
    ]


def _may_bounce(connection: Connection, tenant_id: int, run_id: int, now: datetime) -> bool:
    """Whether a run is so young that its messages still bounce, whatever it attributes."""
    run = table(Run).c
    young = run.launched_on > (now - LATE_BOUNCES).date()
    mine = (run.tenant_id == tenant_id, run.id == run_id, run.kind == int(RunKind.MAILING))
    return connection.scalar(select(run.id).where(*mine, young)) is not None


def _windows(
    connection: Connection,
    tenant_id: int,
    since: datetime | None,
    until: datetime | None,
    run_id: int | None = None,
) -> list[Window]:
    """The windows of mailings launched in a time; those that attribute nothing are left out."""
    run = table(Run).c
    days = func.coalesce(run.settings["attribution_days"].astext.cast(Integer), 0)
    last = run.settings["attribution_until"].astext.cast(Date)
    query = select(
        run.id,
        run.launched_on,
        days.label("days"),
        run.settings["attribution_from"].astext.cast(Date).label("first"),
        last.label("last"),
        run.settings["attribution_conditions"].label("conditions"),
        run.channel,
        run.settings["steps"].label("steps"),
    ).where(
        run.tenant_id == tenant_id,
        run.kind == int(RunKind.MAILING),
        or_(days > 0, last.is_not(None)),
    )
    if since and until:
        first = (since - timedelta(days=LONGEST_WINDOW)).date()
        query = query.where(run.launched_on.between(first, until.date()))
    if run_id:
        query = query.where(run.id == run_id)
    zone = ZoneInfo(_zone(connection, tenant_id))
    return [_window(row, zone) for row in connection.execute(query.order_by(run.id))]


def _window(row: Any, zone: ZoneInfo) -> Window:
    """Read a run's window; a range of dates is of the company's days and ends within a year."""
    first = last = None
    if row.last is not None:
        end = min(row.last, row.launched_on + timedelta(days=LONGEST_WINDOW))
        first = datetime.combine(row.first or row.launched_on, time(), zone)
        last = datetime.combine(end + timedelta(days=1), time(), zone)
    channels = [row.channel, *(step["channel"] for step in row.steps or ())]
    return Window(
        run_id=row.id,
        launched_on=row.launched_on,
        days=min(row.days, LONGEST_WINDOW),
        first=first,
        last=last,
        conditions=row.conditions or {},
        by_delivery=tuple(channel not in OPENED for channel in channels),
    )


def _candidates(windows: Sequence[Window]) -> dict[str, object]:
    return {
        "runs": [w.run_id for w in windows],
        "days": [w.launched_on for w in windows],
        # Hours, because a day of 24 hours is meant whatever the clocks do.
        "windows": [f"{24 * w.days} hours" for w in windows],
        "ends": [w.contacts_until for w in windows],
        "firsts": [w.first for w in windows],
        "lasts": [w.last for w in windows],
        "conditions": [json.dumps(w.conditions) for w in windows],
        "delivered": [json.dumps(w.by_delivery) for w in windows],
        "first_day": min(w.launched_on for w in windows),
        "last_day": max(w.launched_on for w in windows),
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _zone(connection: Connection, tenant_id: int) -> str:
    settings = table(TenantSettings).c
    query = select(settings.time_zone).where(settings.tenant_id == tenant_id)
    return str(connection.scalar(query))
