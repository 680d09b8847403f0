"""Attribution against a naive twin that applies the written rule receipt by receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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
