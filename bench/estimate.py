"""estimate: the first count of random segments, while somebody changes them ten times in 5 s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from random import Random
from statistics import quantiles
from threading import Event
from typing import Any

from sqlalchemy import text

from bench.audience import CATEGORY, CUSTOMERS, make_base, make_history, settle
from bench.figures import Figure, at_most
from envoi.db import Database
from envoi.plugins import Plugins, load_plugins
from envoi.segments.counting import Count, SupersededError, exact_count, live_count
from envoi.segments.tree import parse

BURSTS, CHANGES, SECONDS = 8, 10, 5.0
P95_MS, MOST_RUNNING = 1000, 2

_GOODS = text(
    """
WITH made AS (
    INSERT INTO product (tenant_id, external_id, category)
    SELECT :tenant, 'P-' || n, 'Category ' || n % 20 FROM generate_series(1, 1000) AS n
    RETURNING id
), numbered AS (SELECT array_agg(id) AS ids FROM made)
INSERT INTO receipt_line (tenant_id, receipt_id, number, product_id, quantity, amount)
SELECT :tenant, receipt.id, 1, ids[1 + receipt.id * 7919 % 1000], 1, receipt.amount
FROM receipt, numbered WHERE receipt.tenant_id = :tenant AND receipt.id % 3 = 0
"""
)
_RUNNING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'envoi count %'"
    " AND backend_type = 'client backend' AND state = 'active' AND query LIKE '%customer%'"
)

CONDITIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attribute", {"criterion": "gender", "operator": "is", "value": "female"}),
    ("attribute", {"criterion": "age", "operator": "between", "value": 25, "upper": 40}),
    ("attribute", {"criterion": "city", "operator": "contains", "value": "ber"}),
    ("attribute", {"criterion": "birth_date", "operator": "anniversary_within", "days": 7}),
    ("receipts", {"criterion": "count", "operator": "ge", "value": 3, "within_days": 180}),
    ("receipts", {"criterion": "sum", "operator": "le", "value": 100}),
    ("receipts", {"criterion": "median", "operator": "ge", "value": 50, "within_days": 365}),
    ("receipts", {"criterion": "visits", "operator": "ge", "value": 4}),
    ("receipts", {"criterion": "last", "operator": "not_in_last", "days": 60}),
    ("receipts", {"criterion": "first", "operator": "in_last", "days": 200}),
    ("purchases", {"criterion": "category", "operator": "in", "values": ["Category 3"]}),
    ("purchases", {"criterion": "product", "operator": "not_in", "values": ["P-5", "P-6"]}),
    (
        "purchases",
        {"criterion": "share", "operator": "ge", "value": 50, "categories": ["Category 4"]},
    ),
    ("messages", {"criterion": "received", "operator": "ge", "value": 3, "within_days": 30}),
    ("messages", {"criterion": "days_since", "operator": "ge", "value": 14}),
    ("messages", {"criterion": "opened", "operator": "never"}),
    ("subscription", {"criterion": "subscription", "operator": "is", "channel": "email"}),
)


def run(database: Database, tenant_id: int, customers: int = CUSTOMERS) -> list[Figure]:
    """Type random trees, count each change at once, and ask for the exact count after."""
    make_base(database, tenant_id, customers)
    make_history(database, tenant_id)
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(
            text("INSERT INTO mailing_category (tenant_id, code) VALUES (:tenant, :code)"),
            {"tenant": tenant_id, "code": str(CATEGORY)},
        )
        connection.execute(_GOODS, {"tenant": tenant_id})
    settle(database)
    typist = _Typist(database, tenant_id, load_plugins())
    with _watched(database) as running:
        for number in range(BURSTS):
            typist.burst(Random(number))
        typist.stop()
    p95 = quantiles(typist.seconds, n=20)[-1] * 1000
    return [
        at_most("estimate.p95_ms", round(p95), "ms", P95_MS),
        at_most("estimate.running", max(running), "queries", MOST_RUNNING),
    ]


class _Typist:
    """Somebody at a builder: every change is counted, whether or not the last one is done."""

    def __init__(self, database: Database, tenant_id: int, plugins: Plugins) -> None:
        self.asked: dict[str, Any] = {"editor": "1", "plugins": plugins}
        self.where = (database, tenant_id)
        self.pool = ThreadPoolExecutor(8)
        self.seconds: list[float] = []

    def burst(self, random: Random) -> None:
        """Add a condition every half second; the last change must be answered."""
        nodes: list[dict[str, Any]] = []
        answers: list[Future[Count | None]] = []
        for _ in range(CHANGES):
            begun = time.perf_counter()
            source, settings = random.choice(CONDITIONS)
            node: dict[str, Any] = {"source": source, "settings": settings}
            nodes.append(random.choice([node, {"any": [node]}, {"not": [node]}]))
            tree = {random.choice(["all", "any"]): list(nodes)}
            answers.append(self.pool.submit(self._count, tree))
            time.sleep(max(0.0, begun + SECONDS / CHANGES - time.perf_counter()))
        last = answers[-1].result()
        assert last is not None
        assert not last.exact
        self.pool.submit(self._exact, tree)

    def stop(self) -> None:
        """Wait for what is still being counted."""
        self.pool.shutdown()

    def _count(self, tree: dict[str, Any]) -> Count | None:
        begun = time.perf_counter()
        with suppress(SupersededError):
            found = live_count(*self.where, parse(tree), now=datetime.now(UTC), **self.asked)
            self.seconds.append(time.perf_counter() - begun)
            return found
        return None

    def _exact(self, tree: dict[str, Any]) -> None:
        with suppress(SupersededError):
            exact_count(*self.where, parse(tree), now=datetime.now(UTC), **self.asked)


@contextmanager
def _watched(database: Database) -> Iterator[list[int]]:
    """Note how many counts run at once, fifty times a second."""
    seen, done = [0], Event()

    def watch() -> None:
        while not done.wait(0.02):
            with database.system_session() as session:
                seen.append(session.scalar(_RUNNING) or 0)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        yield seen
        done.set()
        watching.result()
