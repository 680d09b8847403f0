"""The pages of customers and imports, as roles see them."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.wrappers import Response

from envoi.accounts.permissions import Role
from envoi.app import create_app
from envoi.db import Database
from envoi.installation import Installation
from envoi.plugins import Plugins
from factories.customers import (
    customer_ids,
    index_customers,
    make_customers,
    make_receipts,
    opt_out,
)
from pages import TEST_SETTINGS, SignIn

HTMX = {"HX-Request": "true", "HX-Target": "customer-rows"}


@pytest.fixture(scope="module")
def here(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An installation whose data folder is these tests' own."""
    settings = TEST_SETTINGS.model_copy(update={"data_dir": tmp_path_factory.mktemp("data")})
    return Installation(settings, database, plugins)


@pytest.fixture(scope="module")
def app(here: Installation) -> Flask:
    """The application of that installation."""
    return create_app(here)


@pytest.fixture
def customers(database: Database, tenant_id: int) -> list[int]:
    """Forty customers with receipts; the second left the email channel."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 40, phones=True)
        make_receipts(connection, tenant_id, each=2, products=3)
        opt_out(connection, tenant_id, "C-2")
        index_customers(connection, tenant_id)
        return customer_ids(connection, tenant_id)


def _body(answer: Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def _names(body: str) -> list[str]:
    return re.findall(r'<span class="ev-row-sub">(C-\d+)</span>', body)


def test_an_empty_company_is_led_to_the_import(signed_in: SignIn) -> None:
    assert "No customers yet" in _body(signed_in().get("/customers/"))
    marketer = _body(signed_in(Role.MARKETER).get("/customers/"))
    assert "No customers yet" in marketer
    assert "/customers/import" not in marketer


def test_the_list_is_paged_by_key_in_both_directions(
    signed_in: SignIn, customers: list[int]
) -> None:
    browser = signed_in()
    first = _body(browser.get("/customers/"))
    assert _names(first) == [f"C-{n}" for n in range(1, 26)]
    assert "40 customers" in first
    assert 'rel="prev"' not in first
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following
    second = _body(browser.get(following[1]))
    assert _names(second) == [f"C-{n}" for n in range(26, 41)]
    assert 'rel="next"' not in second
    back = re.search(r'href="([^"]+)" rel="prev"', second)
    assert back
    assert _names(_body(browser.get(back[1]))) == _names(first)


def test_a_search_is_a_page_and_a_fragment(signed_in: SignIn, customers: list[int]) -> None:
    browser = signed_in()
    whole = _body(browser.get("/customers/?q=c-1"))
    part = _body(browser.get("/customers/?q=c-1", headers=HTMX))
    assert _names(whole) == _names(part) == ["C-1", *(f"C-{n}" for n in range(10, 20))]
    assert "<html" in whole
    assert "<html" not in part
    assert "11 match" in part
    assert "Nobody is found" in _body(browser.get("/customers/?q=nobody", headers=HTMX))


def test_contacts_are_masked_without_the_permission(
    signed_in: SignIn, customers: list[int]
) -> None:
    open_to, masked = signed_in(Role.SENIOR_MARKETER), signed_in(Role.MARKETER)
    for address in ("/customers/", f"/customers/{customers[0]}"):
        assert "c-1@mail1.test" in _body(open_to.get(address))
        body = _body(masked.get(address))
        assert "c-1@mail1.test" not in body
        assert "c•••@mail1.test" in body
        assert "+491510000001" not in body.replace("•", "")


def test_a_profile_tells_everything(
    signed_in: SignIn, database: Database, tenant_id: int, customers: list[int]
) -> None:
    _tell_messages(database, tenant_id, customers[1])
    browser, here = signed_in(), f"/customers/{customers[1]}"
    told = {
        "data": ("C-2", "c-2@mail2.test", "Average receipt"),
        "subscriptions": ("Unsubscribed on", "No changes yet"),
        "receipts": ("R-C-2-1", "Product ", "2 not cancelled"),
        "messages": ("Autumn news", "Unsubscribed from channel", "Opened"),
        "segments": ("Find the segments", "In no target audience"),
        "timeline": ("Receipt R-C-2-1", "Autumn news", "Came into the base"),
    }
    for tab, words in told.items():
        body = _body(browser.get(f"{here}?tab={tab}"))
        assert not [word for word in words if word not in body], tab


def _tell_messages(database: Database, tenant_id: int, customer_id: int) -> None:
    """Write a mailing with two runs: one left the customer out, one was opened."""
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(
            text(
                "WITH m AS (INSERT INTO mailing (tenant_id, name, channel)"
                " VALUES (:t, 'Autumn news', 'email') RETURNING id),"
                " r AS (INSERT INTO run (tenant_id, mailing_id, channel, launched_on, seed)"
                " SELECT :t, id, 'email', current_date, 1 FROM m, generate_series(1, 2)"
                " RETURNING id)"
                " INSERT INTO message (tenant_id, run_id, customer_id, launched_on, state, stage,"
                " accepted_at, opened_at) SELECT :t, id, :c, current_date,"
                " CASE n WHEN 1 THEN 1 ELSE 5 END, CASE n WHEN 1 THEN 4 END,"
                " CASE n WHEN 2 THEN now() END, CASE n WHEN 2 THEN now() END"
                " FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM r) AS numbered"
            ),
            {"t": tenant_id, "c": customer_id},
        )


def test_another_companys_customer_is_not_there(
    app: Flask, signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    with database.tenant_connection(tenant_id + 1_000_000) as connection:
        make_customers(connection, tenant_id + 1_000_000, 1)
        (foreign,) = customer_ids(connection, tenant_id + 1_000_000)
    browser = signed_in()
    for address in (f"/customers/{foreign}", "/customers/import/999999999"):
        assert browser.get(address).status_code == 404


def test_roles_without_the_permission(signed_in: SignIn) -> None:
    assert signed_in(Role.ANALYST).get("/customers/").status_code == 403
    assert signed_in(Role.MARKETER).get("/customers/import/").status_code == 403


def test_russian_pages(signed_in: SignIn, customers: list[int]) -> None:
    browser = signed_in(language="ru")
    body = _body(browser.get("/customers/"))
    assert "Клиенты" in body
    assert "40 клиентов" in body
