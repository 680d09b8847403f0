"""The list of customers: filters by words and purchases, order, totals, plans, and the tree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from envoi.customers import queries
from envoi.customers.models import Customer
from envoi.customers.queries import SORTS, count_customers, list_customers
from envoi.customers.search import CustomerFilter, matching, tree_of_filters
from envoi.db import Database, table
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.tenants.service import create_tenant
from factories.customers import index_customers, make_customers, make_receipts

BASE = 12_000


@pytest.fixture(scope="module")
def shop(database: Database) -> int:
    """A tenant with customers who bought 30 products of three categories within 180 days."""
    tenant_id = create_tenant(database, slug=f"s{uuid4().hex[:12]}", name="Fieldmarket").id
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 300, phones=True)
        make_receipts(connection, tenant_id, each=2, share=0.8, products=30)
        index_customers(connection, tenant_id)
        connection.execute(
            text("UPDATE customer SET registered_on = NULL WHERE tenant_id = :t AND id % 7 = 0"),
            {"t": tenant_id},
        )
    return tenant_id


@pytest.fixture(scope="module")
def large(database: Database) -> int:
    """A tenant of twelve thousand, with tokens and statistics."""
    tenant_id = create_tenant(database, slug=f"l{uuid4().hex[:12]}", name="Large").id
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, BASE)
        make_receipts(connection, tenant_id, each=1, products=100)
        connection.execute(
            text(
                "INSERT INTO customer_token (tenant_id, token, customer_id) SELECT tenant_id,"
                " unnest(ARRAY[lower(first_name), lower(external_id), email]), id FROM customer"
                " WHERE tenant_id = :t"
            ),
            {"t": tenant_id},
        )
        connection.execute(text("ANALYZE customer, customer_token, receipt, receipt_line, product"))
    return tenant_id


@pytest.fixture
def session(database: Database, shop: int) -> Iterator[Session]:
    with database.tenant_session(shop) as session:
        yield session


def _ids(session: Session, tenant_id: int, wanted: CustomerFilter) -> set[int]:
    c = table(Customer).c
    return set(session.scalars(select(c.id).where(*matching(session, tenant_id, wanted))))


FILTERS = st.builds(
    CustomerFilter,
    text=st.sampled_from(
        ["", "an", "Anna ad", "C-1", "c-22@mail", "+49 151 000", "0151", "49", "x"]
    ),
    product=st.sampled_from(["", "P-7", "product 7", "Nothing"]),
    category=st.sampled_from(["", "Bread", "Coffee"]),
    days=st.sampled_from([None, 0, 30, 90]),
    sum_from=st.sampled_from([None, 0, 20.5, 99]),
    sum_to=st.sampled_from([None, 50, 150]),
) | st.builds(
    CustomerFilter,
    since=st.sampled_from([None, date.today() - timedelta(days=60)]),
    until=st.sampled_from([None, date.today() - timedelta(days=20)]),
    category=st.sampled_from(["", "Garden"]),
    sum_to=st.sampled_from([None, 60]),
)


@settings(max_examples=12)
@given(wanted=FILTERS)
def test_the_tree_has_the_customers_of_the_list(
    database: Database, shop: int, plugins: Plugins, wanted: CustomerFilter
) -> None:
    with database.tenant_session(shop) as session:
        tree = tree_of_filters(session, shop, wanted)
        ids = customer_ids(session, shop, tree, now=datetime.now(UTC), plugins=plugins)
        assert set(session.scalars(ids)) == _ids(session, shop, wanted)


# Days are the company's, whatever the zone of the server.
_SINCE = (
    "max(r.at) >= CAST(CAST(now() AT TIME ZONE 'Europe/Berlin' AS date) - 30 AS timestamp)"
    " AT TIME ZONE 'Europe/Berlin'"
)


def _bought(session: Session, shop: int, holds: str) -> set[int]:
    query = text(
        "SELECT r.customer_id FROM receipt AS r JOIN receipt_line AS l ON l.receipt_id = r.id"
        " JOIN product AS p ON p.id = l.product_id WHERE r.tenant_id = :t"
        f" GROUP BY r.customer_id HAVING {holds}"
    )
    return set(session.scalars(query, {"t": shop}))


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (CustomerFilter(product="P-7"), "bool_or(p.external_id = 'P-7')"),
        (CustomerFilter(product="PRODUCT 7"), "bool_or(p.name = 'Product 7')"),
        (CustomerFilter(category="Bread"), "bool_or(p.category = 'Bread')"),
        (CustomerFilter(days=30), _SINCE),
        (CustomerFilter(sum_from=100), "sum(r.amount) >= 10000"),
        (
            CustomerFilter(category="Bread", sum_from=80),
            "sum(l.amount) FILTER (WHERE p.category = 'Bread') >= 8000",
        ),
    ],
)
def test_filters_by_purchases(
    session: Session, shop: int, wanted: CustomerFilter, holds: str
) -> None:
    found = _ids(session, shop, wanted)
    assert found == _bought(session, shop, holds)
    assert 0 < len(found) < 300


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_pages_hold_everybody_once_in_both_directions(
    session: Session, shop: int, sort: str
) -> None:
    pages, after = [], None
    while True:
        page = list_customers(session, shop, sort=sort, after=after, size=50)
        pages.append([customer.id for customer in page.customers])
        if page.after is None:
            break
        after = page.after
    assert len({number for page in pages for number in page}) == sum(map(len, pages)) == 300
    last = list_customers(session, shop, sort=sort, before=pages[-1][0], size=50)
    assert [customer.id for customer in last.customers] == pages[-2]


def test_who_has_no_day_of_registration_stands_at_the_end(session: Session, shop: int) -> None:
    newest = list_customers(session, shop, sort="-registered_on", size=300).customers
    days = [customer.registered_on or date.min for customer in newest]
    assert days == sorted(days, reverse=True)
    assert days[-1] == date.min


def test_a_place_that_is_gone_leads_to_the_beginning(session: Session, shop: int) -> None:
    page = list_customers(session, shop, after=999_999_999)
    assert page.customers[0].external_id == "C-1"


def test_a_total_is_exact_or_near(database: Database, large: int) -> None:
    with database.tenant_session(large) as session:
        some = count_customers(session, large, CustomerFilter(text="c-77"))
        assert (some.count, some.exact) == (111, True)
        everybody = count_customers(session, large)
        assert not everybody.exact
        assert everybody.count == pytest.approx(BASE, rel=0.05)
        many = count_customers(session, large, CustomerFilter(sum_from=1))
        assert many.count == pytest.approx(BASE, rel=0.1)


def test_a_search_that_takes_too_long_is_given_up(
    database: Database, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_LONGEST", "1ms")
    with database.tenant_session(large) as session:
        assert list_customers(session, large, CustomerFilter(sum_from=100_000)).too_slow
        assert session.scalar(text("SHOW statement_timeout")) == "0"


@pytest.mark.parametrize(
    ("wanted", "sort"),
    [
        (CustomerFilter(), "id"),
        (CustomerFilter(), "-registered_on"),
        (CustomerFilter(), "-updated_at"),
        (CustomerFilter(), "external_id"),
        (CustomerFilter(text="c-9999"), "id"),
        (CustomerFilter(product="P-7"), "id"),
        (CustomerFilter(category="Coffee", days=90), "-registered_on"),
        (CustomerFilter(sum_from=50), "id"),
    ],
)
def test_a_page_reads_little_as_the_role_of_the_application(
    database: Database, large: int, wanted: CustomerFilter, sort: str
) -> None:
    """Rows are counted, not milliseconds: a page must not walk over all customers."""
    with database.tenant_session(large) as session:
        middle = list_customers(session, large, sort=sort, size=100).after
        c = table(Customer).c
        query = select(c.id).where(*matching(session, large, wanted))
        assert middle is not None
        query = query.where(queries._beyond(session, large, sort, middle, False))
        query = query.order_by(*queries._order(sort, False)).limit(26)
        plain = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        explained = session.connection().exec_driver_sql(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {plain}".replace("%", "%%")
        )
        assert _walked(explained.scalar_one()[0]["Plan"]) < BASE / 2


def _walked(plan: dict[str, object]) -> float:
    """The most rows of the table of customers that one node of a plan has looked at."""
    here = 0.0
    if plan.get("Relation Name") == "customer":
        rows = (plan.get("Actual Rows", 0), plan.get("Rows Removed by Filter", 0))
        here = sum(float(str(number)) for number in rows)
    below = plan.get("Plans", [])
    assert isinstance(below, list)
    return max([here, *map(_walked, below)])
