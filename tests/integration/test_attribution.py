"""Attribution against a naive twin that applies the written rule receipt by receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import MessageState, RunKind
from envoi.jobs import Work
from envoi.receipts.attribution import (
    LATE_OPENS,
    announce_attribution,
    attribute,
    attribute_when_due,
)
from envoi.tenants.service import create_tenant
from ledger_rows import LedgerRun, add_customers, add_messages, add_receipt, add_run, scalar

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Touch:
    run: LedgerRun
    customer: int
    opened_at: datetime
    accepted_at: datetime
    days: int


@dataclass(frozen=True)
class Purchase:
    receipt: int
    customer: int
    at: datetime
    cancelled: bool


def twin(touches: list[Touch], purchases: list[Purchase]) -> dict[int, tuple[int, date]]:
    """The rule, said once more and slowly."""
    found = {}
    for purchase in purchases:
        qualifying = [
            t
            for t in touches
            if t.customer == purchase.customer
            and t.opened_at < purchase.at <= t.opened_at + timedelta(hours=24 * t.days)
            and t.opened_at < _last_open(t.run.launched_on)
        ]
        if qualifying and not purchase.cancelled:
            best = max(qualifying, key=lambda t: (t.opened_at, t.accepted_at, t.run.run_id))
            found[purchase.receipt] = (best.run.run_id, purchase.at.astimezone(BERLIN).date())
    return found


def _last_open(launched_on: date) -> datetime:
    return datetime(launched_on.year, launched_on.month, launched_on.day, tzinfo=UTC) + (
        timedelta(days=1) + LATE_OPENS
    )


def attributed(database: Database, tenant_id: int) -> dict[int, tuple[int, date]]:
    with database.tenant_connection(tenant_id) as connection:
        rows = connection.execute(text("SELECT receipt_id, run_id, on_day FROM attribution"))
        return {row.receipt_id: (row.run_id, row.on_day) for row in rows}


# Hours from the start, coarse enough for ties and for exact ends of windows.
hours = st.integers(0, 24 * 45).map(lambda n: n - n % 6)
NOW = START + timedelta(days=20)
runs = st.lists(
    st.tuples(st.integers(0, 80).map(lambda n: n * 6), st.sampled_from([0, 1, 2, 14])),
    min_size=1,
    max_size=3,
)
opens = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), hours, hours), max_size=8)
buys = st.lists(
    st.tuples(st.integers(0, 2), hours, st.sampled_from([0, 1]), st.booleans()), max_size=8
)


@settings(max_examples=30, deadline=None)
@given(runs, opens, buys, st.booleans())
def test_as_the_twin_says(
    database: Database,
    launches: list[tuple[int, int]],
    opened: list[tuple[int, int, int, int]],
    bought: list[tuple[int, int, int, bool]],
    late_import: bool,
) -> None:
    tenant_id = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Twin").id
    customers = add_customers(database, tenant_id, 3)
    made = [
        add_run(database, tenant_id, launched_at=START + timedelta(hours=at), attribution_days=days)
        for at, days in launches
    ]
    touches: dict[tuple[int, int], Touch] = {}
    for run, customer, after, accepted in opened:
        key = (run % len(made), customer)
        launched_at = START + timedelta(hours=launches[key[0]][0])
        touches.setdefault(
            key,
            Touch(
                made[key[0]],
                customers[customer],
                launched_at + timedelta(hours=after),
                START + timedelta(hours=accepted),
                launches[key[0]][1],
            ),
        )
    for touch in touches.values():
        add_messages(
            database,
            touch.run,
            [touch.customer],
            opened_at=touch.opened_at,
            accepted_at=touch.accepted_at,
        )
    if late_import:
        attribute(database, tenant_id, now=NOW)
    purchases = []
    for customer, after, seconds, cancelled in bought:
        at = START + timedelta(hours=after, seconds=seconds)
        receipt = add_receipt(database, tenant_id, customers[customer], at, cancelled=cancelled)
        purchases.append(Purchase(receipt, customers[customer], at, cancelled))

    expected = twin(list(touches.values()), purchases)
    for launched in made:
        attribute(database, tenant_id, launched.run_id)
    assert attributed(database, tenant_id) == expected
    assert attribute(database, tenant_id, now=NOW) == 0
    assert attributed(database, tenant_id) == expected
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(text("DELETE FROM attribution"))
    attribute(database, tenant_id, now=NOW)
    assert attributed(database, tenant_id) == expected


def opened_run(database: Database, tenant_id: int, customers: list[int]) -> LedgerRun:
    run = add_run(database, tenant_id, launched_at=START)
    add_messages(database, run, customers, opened_at=START + timedelta(hours=1))
    return run


def test_a_cancelled_or_moved_receipt_loses_it(database: Database, tenant_id: int) -> None:
    customers = add_customers(database, tenant_id, 3)
    run = opened_run(database, tenant_id, customers)
    receipts = [add_receipt(database, tenant_id, c, START + timedelta(days=1)) for c in customers]
    assert attribute(database, tenant_id, run.run_id) == 3
    with database.tenant_connection(tenant_id) as connection:
        scalar(
            connection,
            "UPDATE receipt SET cancelled = true WHERE id = :r RETURNING 1",
            r=receipts[0],
        )
        scalar(
            connection,
            "UPDATE receipt SET at = at + interval '2 years' WHERE id = :r RETURNING 1",
            r=receipts[1],
        )
        scalar(connection, "UPDATE receipt SET amount = 7 WHERE id = :r RETURNING 1", r=receipts[2])
    assert attribute(database, tenant_id, run.run_id) == 3
    assert list(attributed(database, tenant_id)) == [receipts[2]]
    with database.tenant_connection(tenant_id) as connection:
        assert scalar(connection, "SELECT amount FROM attribution") == 7


def test_who_opened_nothing_owes_nothing(database: Database, tenant_id: int) -> None:
    customers = add_customers(database, tenant_id, 3)
    run = add_run(database, tenant_id, launched_at=START)
    test_run = add_run(database, tenant_id, launched_at=START, kind=RunKind.TEST)
    add_messages(database, run, customers[:1])
    add_messages(database, run, customers[1:2], state=MessageState.CONTROL, accepted_at=None)
    add_messages(database, test_run, customers[2:], opened_at=START)
    for customer in customers:
        add_receipt(database, tenant_id, customer, START + timedelta(days=1))
    assert attribute(database, tenant_id, now=NOW) == 0
    assert attribute(database, tenant_id, test_run.run_id) == 0


def test_work_is_announced_again_while_the_window_is_open(
    database: Database, tenant_id: int
) -> None:
    run = opened_run(database, tenant_id, add_customers(database, tenant_id, 1))
    with database.tenant_session(tenant_id) as session:
        announce_attribution(session, tenant_id, run.run_id)
        announce_attribution(session, tenant_id)

    def announced() -> dict[int, datetime]:
        sql = text("SELECT ref, due_at FROM due_work WHERE tenant_id = :t AND kind = :k")
        with database.system_session() as session:
            rows = session.execute(sql, {"t": tenant_id, "k": Work.ATTRIBUTE.value})
            return {row.ref: row.due_at for row in rows}

    attribute_when_due(database, tenant_id, 0, START)
    assert set(announced()) == {run.run_id}
    attribute_when_due(database, tenant_id, run.run_id, START)
    assert announced() == {run.run_id: START + timedelta(hours=1)}
    attribute_when_due(database, tenant_id, run.run_id, START + timedelta(days=46))
    assert announced() == {}


def test_tenants_do_not_mix(database: Database, tenant_id: int) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Other").id
    mine = add_customers(database, tenant_id, 1)
    theirs = add_customers(database, other, 1)
    run = opened_run(database, tenant_id, mine)
    opened_run(database, other, theirs)
    add_receipt(database, tenant_id, mine[0], START + timedelta(days=1))
    add_receipt(database, other, theirs[0], START + timedelta(days=1))
    assert attribute(database, other, run.run_id) == 0
    assert attribute(database, tenant_id, run.run_id) == 1
    assert attributed(database, other) == {}


RANGE = (date(2026, 3, 3), date(2026, 3, 9))
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"min_items": 2},
    {"min_amount": 500},
    {"products": ["P1"]},
    {"categories": ["Coffee"]},
    {"products": ["P2"], "categories": ["Tea"], "min_amount": 500},
]


@dataclass(frozen=True)
class Basket:
    """A purchase with what was bought; the products are of the categories Coffee and Tea."""

    after: int
    items: int
    amount: int
    product: str | None

    def meets(self, wanted: dict[str, Any]) -> bool:
        named = [*wanted.get("products", []), *wanted.get("categories", [])]
        category = {"P1": "Coffee", "P2": "Tea", None: None}[self.product]
        return (
            self.items >= wanted.get("min_items", 0)
            and self.amount >= wanted.get("min_amount", 0)
            and (not named or self.product in named or category in named)
        )


baskets = st.builds(
    Basket,
    after=st.integers(0, 24 * 15),
    items=st.integers(1, 3),
    amount=st.sampled_from([100, 500, 900]),
    product=st.sampled_from([None, "P1", "P2"]),
)


@settings(max_examples=15, deadline=None)
@given(
    wanted=st.lists(st.sampled_from(CONDITIONS), min_size=2, max_size=2),
    bought=st.lists(baskets, max_size=6),
    opened=st.integers(0, 200),
)
def test_ranges_of_dates_and_conditions(
    database: Database, wanted: list[dict[str, Any]], bought: list[Basket], opened: int
) -> None:
    """A mailing by dates, delivered at the start, against one by days, opened some time later."""
    tenant_id = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Range").id
    customer = add_customers(database, tenant_id, 1)[0]
    first, last = (day.isoformat() for day in RANGE)
    dates: dict[str, Any] = {"attribution_from": first, "attribution_until": last}
    ranged = add_run(
        database,
        tenant_id,
        launched_at=START,
        attribution_days=0,
        attribution_conditions=wanted[0],
        **dates,
    )
    daily = add_run(
        database,
        tenant_id,
        launched_at=START,
        attribution_days=3,
        attribution_conditions=wanted[1],
    )
    opened_at = START + timedelta(hours=opened)
    add_messages(database, ranged, [customer], accepted_at=START)
    add_messages(database, daily, [customer], accepted_at=START, opened_at=opened_at)
    expected = {}
    for basket in bought:
        at = START + timedelta(hours=basket.after, minutes=1)
        receipt = _add_basket(database, tenant_id, customer, at, basket)
        # Opened later than the other was delivered, the mailing by days is the last contact.
        if opened_at < at <= opened_at + timedelta(days=3) and basket.meets(wanted[1]):
            expected[receipt] = daily.run_id
        elif RANGE[0] <= at.astimezone(BERLIN).date() <= RANGE[1] and basket.meets(wanted[0]):
            expected[receipt] = ranged.run_id
    attribute(database, tenant_id, ranged.run_id)
    attribute(database, tenant_id, daily.run_id)
    found = {receipt: run for receipt, (run, _) in attributed(database, tenant_id).items()}
    assert found == expected
    assert attribute(database, tenant_id, now=START + timedelta(days=2)) == 0


def _add_basket(
    database: Database, tenant_id: int, customer: int, at: datetime, basket: Basket
) -> int:
    receipt = add_receipt(database, tenant_id, customer, at)
    with database.tenant_connection(tenant_id) as connection:
        for name, category in (("P1", "Coffee"), ("P2", "Tea")):
            connection.execute(
                text(
                    "INSERT INTO product (tenant_id, external_id, name, category)"
                    " VALUES (:t, :p, :p, :c) ON CONFLICT DO NOTHING"
                ),
                {"t": tenant_id, "p": name, "c": category},
            )
        connection.execute(
            text("UPDATE receipt SET items = :n, amount = :a WHERE tenant_id = :t AND id = :r"),
            {"t": tenant_id, "r": receipt, "n": basket.items, "a": basket.amount},
        )
        connection.execute(
            text(
                "INSERT INTO receipt_line (tenant_id, receipt_id, number, product_id, amount)"
                " SELECT tenant_id, :r, 1, id, :a FROM product"
                " WHERE tenant_id = :t AND external_id = :p"
            ),
            {"t": tenant_id, "r": receipt, "a": basket.amount, "p": basket.product},
        )
    return receipt


def test_a_bounced_message_is_no_contact_in_a_range(database: Database, tenant_id: int) -> None:
    first, last = (day.isoformat() for day in RANGE)
    run = add_run(
        database,
        tenant_id,
        launched_at=START,
        attribution_days=0,
        attribution_from=first,
        attribution_until=last,
    )
    customers = add_customers(database, tenant_id, 2)
    add_messages(database, run, customers[:1], accepted_at=START, bounced_at=START)
    add_messages(database, run, customers[1:], accepted_at=START)
    for customer in customers:
        add_receipt(database, tenant_id, customer, datetime(2026, 3, 9, 22, 59, tzinfo=UTC))
        add_receipt(database, tenant_id, customer, datetime(2026, 3, 9, 23, 0, tzinfo=UTC))
    assert attribute(database, tenant_id, run.run_id) == 1


def test_a_purchase_that_moves_corrects_the_figures_of_both_runs(
    database: Database, tenant_id: int
) -> None:
    """The first run's window is long closed when the second takes its purchase away."""
    now = datetime.now(UTC)
    closed = add_run(database, tenant_id, launched_at=now - timedelta(days=40), attribution_days=1)
    later = add_run(database, tenant_id, launched_at=now - timedelta(days=20))
    [customer] = add_customers(database, tenant_id, 1)
    bought_at = now - timedelta(days=18)
    add_messages(database, closed, [customer], opened_at=bought_at - timedelta(hours=9))
    add_receipt(database, tenant_id, customer, bought_at, 700)
    attribute(database, tenant_id, closed.run_id)
    assert _sales(database, closed) == (1, 700)
    add_messages(database, later, [customer], opened_at=bought_at - timedelta(hours=1))
    assert attribute(database, tenant_id) == 1
    assert (_sales(database, closed), _sales(database, later)) == ((0, 0), (1, 700))


def _sales(database: Database, run: LedgerRun) -> tuple[int, int]:
    query = text("SELECT receipts, amount FROM run WHERE tenant_id = :tenant AND id = :run")
    with database.tenant_connection(run.tenant_id) as connection:
        row = connection.execute(query, {"tenant": run.tenant_id, "run": run.run_id}).one()
    return row.receipts, row.amount


def test_figures_follow_bounces_of_a_mailing_that_attributes_nothing(
    database: Database, tenant_id: int
) -> None:
    run = add_run(database, tenant_id, attribution_days=0)
    [customer] = add_customers(database, tenant_id, 1)
    add_messages(database, run, [customer], bounced_at=datetime.now(UTC))
    again = "SELECT count(*) FROM due_work WHERE tenant_id = :tenant AND kind = 'attribute'"
    for days, announced in ((0, 1), (8, 0)):
        now = datetime.now(UTC) + timedelta(days=days)
        attribute_when_due(database, tenant_id, run.run_id, now)
        with database.tenant_session(tenant_id) as session:
            assert scalar(session, again, tenant=tenant_id) == announced
            figures = "SELECT sent - delivered FROM run WHERE tenant_id = :tenant AND id = :run"
            assert scalar(session, figures, tenant=tenant_id, run=run.run_id) == 1


def test_where_nothing_is_opened_the_delivery_is_the_contact(
    database: Database, tenant_id: int
) -> None:
    delivered, lost = add_customers(database, tenant_id, 2)
    run = add_run(database, tenant_id, launched_at=START, attribution_days=1, channel="sms")
    at = START + timedelta(minutes=5)
    add_messages(database, run, [delivered], accepted_at=START, delivered_at=at)
    add_messages(database, run, [lost], accepted_at=START, bounced_at=at)
    add_receipt(database, tenant_id, delivered, at - timedelta(minutes=1))
    owed = add_receipt(database, tenant_id, delivered, at + timedelta(hours=24))
    add_receipt(database, tenant_id, delivered, at + timedelta(hours=24, seconds=1))
    add_receipt(database, tenant_id, lost, at + timedelta(hours=1))
    attribute(database, tenant_id, now=NOW)
    assert list(attributed(database, tenant_id)) == [owed]


def test_each_step_of_a_cascade_has_the_contact_of_its_channel(
    database: Database, tenant_id: int
) -> None:
    """A push message counts once it was opened, an SMS once it was delivered."""
    opened, followed, ignored = add_customers(database, tenant_id, 3)
    sms = {"channel": "sms", "wait_minutes": 10, "success": "read", "contents": [{}]}
    run = add_run(
        database, tenant_id, launched_at=START, attribution_days=1, channel="push", steps=[sms]
    )
    at, later = START + timedelta(minutes=5), START + timedelta(minutes=20)
    add_messages(database, run, [opened], accepted_at=START, delivered_at=START, opened_at=at)
    add_messages(database, run, [followed, ignored], accepted_at=START, delivered_at=START)
    second = {"step": 2, "follows": True, "accepted_at": later}
    add_messages(database, run, [followed], **second, delivered_at=later)
    add_messages(database, run, [ignored], **second, bounced_at=later)
    by_push = add_receipt(database, tenant_id, opened, at + timedelta(minutes=1))
    add_receipt(database, tenant_id, followed, later - timedelta(minutes=1))
    by_sms = add_receipt(database, tenant_id, followed, later + timedelta(minutes=1))
    add_receipt(database, tenant_id, ignored, later + timedelta(minutes=1))
    attribute(database, tenant_id, now=NOW)
    assert sorted(attributed(database, tenant_id)) == sorted([by_push, by_sms])
