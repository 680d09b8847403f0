"""The list of customers in the browser: filters in the address, columns, and what follows."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from envoi.accounts.permissions import Role
from envoi.customers import queries
from envoi.customers.field_settings import FieldForm, create_field
from envoi.customers.models import FieldType
from envoi.db import Database
from envoi.mailings.models import Mailing
from envoi.segments.models import Segment
from factories.customers import index_customers, make_customers, make_receipts
from pages import SignIn, token


@pytest.fixture
def shop(database: Database, tenant_id: int) -> int:
    """Sixty customers who bought products of three categories, with a field of their own."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 60, phones=True)
        make_receipts(connection, tenant_id, each=2, products=30)
        index_customers(connection, tenant_id)
    with database.tenant_session(tenant_id) as session:
        form = FieldForm(label="Shoe size", type=FieldType.NUMBER)
        field_id = create_field(session, tenant_id, form)
        session.execute(
            text(
                "INSERT INTO customer_value (tenant_id, field_id, customer_id, number_value)"
                " SELECT tenant_id, :f, id, 42.5 FROM customer WHERE tenant_id = :t"
            ),
            {"f": field_id, "t": tenant_id},
        )
    return field_id


def _body(browser: FlaskClient, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def _names(body: str) -> list[str]:
    return re.findall(r'<span class="ev-row-sub">(C-\d+)</span>', body)


def test_filters_stand_in_the_address_and_can_be_taken_away(signed_in: SignIn, shop: int) -> None:
    browser = signed_in()
    body = _body(browser, "/customers/?q=anna&category=Bread&days=365&sum_from=20&size=10")
    for words in ("Search: anna", "Bought in: Bread", "Last 365 days", "Spent at least 20 EUR"):
        assert words in body
    found = _names(body)
    assert 0 < len(found) < 10
    assert f"{len(found)} match" in body
    links = [html.unescape(link) for link in re.findall(r'href="(/customers/\?[^"]+)"', body)]
    without = next(link for link in links if "category" not in link and "days" in link)
    assert len(_names(_body(browser, without))) > len(found)


def test_pages_keep_filters_sort_and_size(signed_in: SignIn, shop: int) -> None:
    browser = signed_in()
    first = _body(browser, "/customers/?days=3650&sort=-external_id&size=10")
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following
    second = _body(browser, html.unescape(following[1]))
    names = _names(first) + _names(second)
    assert len(set(names)) == 20
    assert names == sorted(names, reverse=True)
    sorting = re.search(r'href="([^"]+sort=external_id[^"]*)"', second)
    assert sorting
    assert "after" not in sorting[1], "another order begins at its first page"


@pytest.mark.parametrize(
    "query", ["days=-1", "days=x", "since=31.12.2026", "sum_from=nan", "size=7", "sort=amount"]
)
def test_what_cannot_be_read_is_not_given(signed_in: SignIn, shop: int, query: str) -> None:
    body = _body(signed_in(), f"/customers/?{query}")
    assert len(_names(body)) == 25
    assert "Remove filters" not in body


def test_columns_are_chosen_by_each_employee(signed_in: SignIn, shop: int) -> None:
    browser, other = signed_in(), signed_in()
    form = {
        "csrf_token": token(browser, "/customers/"),
        "column": ["age", "gender", "last_purchase", f"field_{shop}", "nothing"],
        "query": "q=c-1&size=10",
    }
    answer = browser.post("/customers/columns", data=form)
    assert answer.headers["Location"].endswith("/customers/?q=c-1&size=10")
    chosen = _body(browser, "/customers/")
    headings = re.findall(r"<th [^>]+>(?:<a[^>]+>)?([^<]+)<", chosen)
    assert headings == ["Customer", "Gender", "Age", "Last purchase", "Shoe size"]
    assert "42.5" in chosen
    assert "42.5" not in _body(other, "/customers/")


def test_a_product_is_offered_while_it_is_typed(signed_in: SignIn, shop: int) -> None:
    offered = _body(signed_in(), "/customers/products?product=duct 2")
    assert re.findall(r'value="([^"]+)"', offered)[:2] == ["Product 2", "Product 20"]


def test_a_mailing_and_a_segment_are_made_of_the_list(
    signed_in: SignIn, database: Database, tenant_id: int, shop: int
) -> None:
    browser = signed_in(Role.MARKETER)
    form = {"csrf_token": token(browser, "/customers/"), "product": "Product 7", "days": "90"}
    made = browser.post("/customers/mailing", data=form)
    assert made.status_code == 303
    saved = browser.post("/customers/segment", data=form)
    assert saved.status_code == 303
    period = {"operator": "ge", "value": 1, "within_days": 90, "products": ["P-7"]}
    with database.tenant_session(tenant_id) as session:
        mailing = session.get(Mailing, (tenant_id, int(made.headers["Location"].split("/")[-2])))
        assert mailing is not None
        assert mailing.tree == {
            "all": [{"source": "purchases", "settings": {"criterion": "lines", **period}}]
        }
        number = int(saved.headers["Location"].rsplit("/", 1)[1])
        segment = session.get(Segment, (tenant_id, number))
        assert segment is not None
        assert segment.name == "Customers: Bought: Product 7, Last 90 days"
        assert segment.tree == mailing.tree


def test_roles_see_and_do_what_they_may(signed_in: SignIn, shop: int) -> None:
    operator = signed_in(Role.OPERATOR)
    body = _body(operator, "/customers/")
    assert "c-1@mail1.test" in body
    assert "Create mailing" not in body
    for address in ("/customers/mailing", "/customers/segment"):
        form = {"csrf_token": token(operator, "/customers/")}
        assert operator.post(address, data=form).status_code == 403


def test_a_search_that_takes_long_is_asked_again_with_patience(
    signed_in: SignIn, shop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(session: Session, patience: str, ask: Callable[[], object]) -> object:
        return None if patience == queries._QUICK else ask()

    monkeypatch.setattr(queries, "_patiently", slow)
    anna = signed_in(Role.MARKETER)
    answer = anna.get("/customers/?sum_from=1&size=10")
    assert "Still searching" in answer.text
    again = re.search(r'hx-get="([^"]*patient=1)" hx-trigger="load"', answer.text)
    assert again
    found = anna.get(again[1].replace("&amp;", "&"), headers={"HX-Request": "true"})
    assert "Still searching" not in found.text
    assert len(_names(found.text)) == 10
    following = re.search(r'href="([^"]*)" rel="next"', found.text)
    assert following
    assert "patient" not in following[1]

    monkeypatch.setattr(queries, "_patiently", lambda *_: None)
    assert "The search was given up" in anna.get("/customers/?sum_from=1&patient=1").text
