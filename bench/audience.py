"""volume and collection: a million customers against the same waterfall written by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

from bench.figures import Figure, at_most, info
from bench.stage import open_run
from envoi.audience.collection import collect
from envoi.audience.estimate import Volume, estimate
from envoi.audience.request import AudienceRequest
from envoi.db import Database
from envoi.delivery.models import Stage
from envoi.delivery.runs import RunSettings, VariantContent
from envoi.plugins import load_plugins
from envoi.types import AddressKind

T = TypeVar("T")

CUSTOMERS = 1_000_000
RECEIPTS_EACH = 5
RUNS = 12
ROUNDS = 5
COLLECTIONS = 3
CATEGORY = 7
WINDOW_DAYS = 30
MOST = 2

VOLUME_RATIO, VOLUME_SECONDS, COLLECTION_RATIO = 1.5, 10, 2.0

TREE = {
    "all": [
        {
            "source": "receipts",
            "settings": {"criterion": "count", "operator": "ge", "value": 1, "within_days": 90},
        }
    ]
}
RULES = (
    {
        "kind": "frequency_cap",
        "settings": {"most": MOST, "period": WINDOW_DAYS, "unit": "day", "channels": ["email"]},
    },
)

# What somebody who knows the tables would write for the same waterfall.
BY_HAND = text(
    """
WITH buyer AS (
    SELECT customer_id FROM receipt
    WHERE tenant_id = :tenant AND NOT cancelled AND at >= :since AND at <= :now
    GROUP BY customer_id
), contacted AS (
    SELECT m.customer_id, count(*) AS n
    FROM message m JOIN run r ON r.tenant_id = :tenant AND r.id = m.run_id
    WHERE m.tenant_id = :tenant AND m.launched_on BETWEEN :first AND :last AND r.kind = 1
        AND r.channel = 'email'
        AND (m.state IN (3, 4, 5, 7) OR m.state = 6 AND m.accepted_at IS NOT NULL)
        AND CASE WHEN m.state IN (3, 4) THEN greatest(m.due_at, :now)
            ELSE coalesce(m.accepted_at, m.due_at) END > :window
    GROUP BY m.customer_id
), candidate AS (
    SELECT c.id, c.email, c.gender, CASE
            WHEN c.birth_date IS NULL THEN 0
            WHEN c.birth_date > :born18 THEN 1
            WHEN c.birth_date > :born30 THEN 2
            WHEN c.birth_date > :born45 THEN 3
            WHEN c.birth_date > :born60 THEN 4
            ELSE 5
        END AS band,
        CASE
            WHEN c.email IS NULL OR c.email_quality >= 30 THEN 3
            WHEN o.customer_id IS NOT NULL OR oa.address IS NOT NULL THEN 4
            WHEN k.customer_id IS NOT NULL OR ka.address IS NOT NULL THEN 5
            WHEN s.address IS NOT NULL THEN 6
            WHEN d.n >= :most THEN 7
        END AS stage,
        CASE
            WHEN c.email IS NULL OR c.email_quality = 30 THEN 'without'
            WHEN c.email_quality = 31 THEN 'invalid'
            WHEN c.email_quality = 40 THEN 'landline'
            WHEN c.email_quality > 30 THEN 'quality'
        END AS issue
    FROM buyer b
    JOIN customer c ON c.tenant_id = :tenant AND c.id = b.customer_id
    LEFT JOIN opt_out o ON o.tenant_id = :tenant AND o.channel = 'email' AND o.category_id = 0
        AND o.customer_id = c.id
    LEFT JOIN (SELECT DISTINCT address FROM opt_out
        WHERE tenant_id = :tenant AND channel = 'email' AND category_id = 0) oa
        ON oa.address = c.email
    LEFT JOIN opt_out k ON k.tenant_id = :tenant AND k.channel = 'email'
        AND k.category_id = :category AND k.customer_id = c.id
    LEFT JOIN (SELECT DISTINCT address FROM opt_out
        WHERE tenant_id = :tenant AND channel = 'email' AND category_id = :category) ka
        ON ka.address = c.email
    LEFT JOIN suppression s ON s.tenant_id = :tenant AND s.channel = 'email' AND s.address = c.email
    LEFT JOIN contacted d ON d.customer_id = c.id
), keeper AS (
    SELECT email, min(id) FILTER (WHERE stage IS NULL) AS id FROM candidate
    WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1
)
SELECT CASE WHEN k.id <> c.id THEN 1 ELSE c.stage END AS outcome,
    CASE WHEN k.id <> c.id THEN NULL ELSE c.issue END AS issue, c.gender, c.band, count(*)
FROM candidate c LEFT JOIN keeper k ON k.email = c.email
GROUP BY 1, 2, 3, 4
"""
)

BARE = text(
    """
INSERT INTO message (tenant_id, run_id, launched_on, customer_id, state, variant, due_at, block)
SELECT :tenant, :run, :day, id, 3, 1, now(), row_number() OVER (ORDER BY id) / 250
FROM customer WHERE tenant_id = :tenant
"""
)

_CUSTOMERS = text(
    """
INSERT INTO customer (tenant_id, external_id, bucket, gender, email_quality, birth_date,
    registered_on, city, email)
SELECT :tenant, 'B-' || i, envoi_bucket('B-' || i), i % 3,
    CASE WHEN i % 33 = 0 THEN 30 WHEN i % 97 = 0 THEN 31 ELSE 0 END,
    current_date - (18 * 366 + (i::bigint * 37) % (60 * 365))::int, current_date - i % 1500,
    'Berlin', CASE WHEN i % 33 <> 0 THEN 'b-' || i - (i % 101 = 1)::int || '@mail.test' END
FROM generate_series(1, CAST(:count AS int)) AS i
"""
)

_RECEIPTS = text(
    """
INSERT INTO receipt (tenant_id, customer_id, at, amount, items, bucket, external_id)
SELECT :tenant, id, now() - make_interval(mins =>
        (('x' || substr(md5(id || ':' || n), 1, 8))::bit(32)::bigint % 525600)::int),
    500 + (id * 31 + n * 997) % 9500, 1 + n % 3, bucket, external_id || '-' || n
FROM customer CROSS JOIN generate_series(1, CAST(:each AS int)) AS n WHERE tenant_id = :tenant
"""
)

_CONTACTS = text(
    """
INSERT INTO message (tenant_id, run_id, launched_on, customer_id, state, variant, due_at,
    accepted_at, block)
SELECT :tenant, :run, :day, id, 5, 1, :at, :at, row_number() OVER (ORDER BY id) / 250
FROM customer WHERE tenant_id = :tenant AND (id * 2654435761 + :run * 40503) % 1000 < 250
"""
)

_LEFT = text(
    """
INSERT INTO opt_out (tenant_id, channel, category_id, customer_id, address)
SELECT :tenant, 'email', :category, id, email FROM customer
WHERE tenant_id = :tenant AND id % :each = 0
"""
)

_SUPPRESSED = text(
    """
INSERT INTO suppression (tenant_id, channel, address)
SELECT DISTINCT :tenant, 'email', email FROM customer
WHERE tenant_id = :tenant AND id % 101 = 0 AND email IS NOT NULL
"""
)


def volume(database: Database, tenant_id: int, customers: int = CUSTOMERS) -> list[Figure]:
    """Estimate every stage, and the same waterfall by hand, in turns."""
    make_base(database, tenant_id, customers)
    make_history(database, tenant_id)
    plugins = load_plugins()
    request = audience_request(tenant_id)
    ours, by_hand = [], []
    for _ in range(ROUNDS):
        with database.tenant_connection(tenant_id) as connection:
            seconds, found = timed(lambda: estimate(connection, plugins, request))
            ours.append(seconds)
        with database.tenant_connection(tenant_id) as connection:
            connection.execute(text("SET LOCAL work_mem = '128MB'"))
            seconds, rows = timed(
                lambda: connection.execute(BY_HAND, by_hand_values(request)).all()
            )
            by_hand.append(seconds)
        check_same(found, rows)
    ratio = median(ours) / median(by_hand)
    return [
        at_most("volume.ratio", ratio, "x by hand", VOLUME_RATIO),
        at_most("volume.seconds", median(ours), "s", VOLUME_SECONDS),
    ]


def collection(database: Database, tenant_id: int, customers: int = CUSTOMERS) -> list[Figure]:
    """Collect everybody with 12 strata and a control group, and insert as many rows bare."""
    make_base(database, tenant_id, customers)
    plugins = load_plugins()
    ours, bare = [], []
    for _ in range(COLLECTIONS):
        _empty_ledger(database)
        run_id = make_run(database, tenant_id)
        seconds, _ = timed(lambda: _bare(database, tenant_id, run_id))  # noqa: B023
        bare.append(seconds)
        _empty_ledger(database)
        run_id = make_run(database, tenant_id)
        seconds, found = timed(lambda: collect(database, plugins, tenant_id, run_id))  # noqa: B023
        ours.append(seconds)
        assert found is not None
        assert found.segment == customers
        assert len(found.strata) == 12
    return [
        at_most("collection.ratio", median(ours) / median(bare), "x bare insert", COLLECTION_RATIO),
        info("collection.seconds", median(ours), "s"),
    ]


def make_base(database: Database, tenant_id: int, customers: int) -> None:
    """Make customers, 1 in 33 without an address, 1 in 100 with the one before's, and who left."""
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(_CUSTOMERS, {"tenant": tenant_id, "count": customers})
        for category, each in ((0, 20), (CATEGORY, 50)):
            connection.execute(_LEFT, {"tenant": tenant_id, "category": category, "each": each})
        connection.execute(_SUPPRESSED, {"tenant": tenant_id})
    settle(database)


def make_history(database: Database, tenant_id: int) -> None:
    """Make five receipts a customer over a year, and earlier runs."""
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(_RECEIPTS, {"tenant": tenant_id, "each": RECEIPTS_EACH})
        make_contacts(connection, tenant_id)
    settle(database)


def make_contacts(connection: Connection, tenant_id: int) -> None:
    """Make twelve earlier runs over the last 60 days, each to a quarter of the base."""
    now = datetime.now(UTC)
    for number in range(RUNS):
        at = now - timedelta(days=5 * number + 1)
        connection.execute(text("SELECT envoi_make_month('message', :day)"), {"day": at.date()})
        run_id = connection.scalar(
            text(
                "INSERT INTO run (tenant_id, channel, launched_on, seed, expires_at, status)"
                " VALUES (:tenant, 'email', :day, 1, :expires, 4) RETURNING id"
            ),
            {"tenant": tenant_id, "day": at.date(), "expires": at + timedelta(days=3)},
        )
        connection.execute(
            _CONTACTS, {"tenant": tenant_id, "run": run_id, "day": at.date(), "at": at}
        )


def make_run(database: Database, tenant_id: int) -> int:
    """Make a run over everybody, ready to be collected."""
    settings = RunSettings(
        control_share=7,
        strata=["gender", "age_band"],
        category_id=CATEGORY,
        variants=[VariantContent(number=1, share=100, content={})],
    )
    with database.tenant_session(tenant_id) as session:
        return open_run(session, tenant_id, settings).id


def audience_request(tenant_id: int) -> AudienceRequest:
    """Return a mailing to recent buyers with every stage in use."""
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=datetime.now(UTC),
        tree=TREE,
        rules=RULES,
        category_id=CATEGORY,
        control_share=7,
        strata=("gender", "age_band"),
        seed=4711,
    )


def by_hand_values(request: AudienceRequest) -> dict[str, object]:
    """Return the parameters of the statement by hand."""
    now = request.now
    today = now.date()
    born = {f"born{age}": today.replace(year=today.year - age) for age in (18, 30, 45, 60)}
    zone = ZoneInfo("Europe/Berlin")
    first_day = now.astimezone(zone).date() - timedelta(days=90)
    return born | {
        "tenant": request.tenant_id,
        "category": request.category_id,
        "now": now,
        "since": datetime.combine(first_day, datetime.min.time(), zone),
        "window": now - timedelta(days=WINDOW_DAYS),
        "first": today - timedelta(days=WINDOW_DAYS + 61),
        "last": today + timedelta(days=61),
        "most": MOST,
    }


def check_same(found: Volume, rows: Sequence[Row[Any]]) -> None:
    """Refuse a comparison of statements that do not count the same."""
    for stage in Stage:
        counted = sum(row[-1] for row in rows if row[0] == stage)
        assert counted == found.excluded(stage), (stage, counted, found.excluded(stage))
    assert sum(row[-1] for row in rows if row[0] is None) == found.eligible


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return how long a call took, and its answer."""
    started = time.perf_counter()
    answer = call()
    return time.perf_counter() - started, answer


def _bare(database: Database, tenant_id: int, run_id: int) -> None:
    day = datetime.now(UTC).date()
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(BARE, {"tenant": tenant_id, "run": run_id, "day": day})


def settle(database: Database) -> None:
    """Let the planner know what was made."""
    with database.engine.connect() as connection:
        autonomous = connection.execution_options(isolation_level="AUTOCOMMIT")
        autonomous.execute(text("VACUUM ANALYZE"))


def _empty_ledger(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("TRUNCATE message, run_block"))
    settle(database)
