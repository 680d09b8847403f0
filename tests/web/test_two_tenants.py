"""Two companies in one installation: every route, asked with the other company's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlmodel import SQLModel
from werkzeug.routing import Rule

from envoi.app import create_app
from envoi.db import Database, connect
from envoi.installation import Installation
from envoi.mailings import service
from envoi.plugins import Plugins, load_plugins
from factories.companies import Company, founded
from pages import TEST_SETTINGS, sign_in, token

SHARED = {
    "channel",
    "code",
    "filename",
    "kind",
    "message_id",
    "name",
    "token",
    "year",
    "month",
    "week",
}
"""Parts of addresses that name nothing a company owns."""

SAMPLES: dict[str, Any] = {"kind": "customers", "year": 2026, "month": 11, "week": 48}
"""What such parts are asked with; the others with a channel's name."""

NO_FILE = ("imports.errors", "audiences.result")
"""What a company has no file of before an import has run."""

TOO_LARGE = 2**70
"""A number that no column holds."""

APP = create_app(Installation(TEST_SETTINGS, connect("postgresql://"), load_plugins()))
ASKED = sorted(
    (
        (method, rule)
        for rule in APP.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ),
    key=lambda asked: (asked[1].rule, asked[0]),
)
OWNED = [(method, rule) for method, rule in ASKED if set(rule.arguments) - SHARED]
OTHERS = [(method, rule) for method, rule in ASKED if not set(rule.arguments) - SHARED]


@pytest.fixture(scope="module")
def ours(database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("ours"), "Goldfinch")


@pytest.fixture(scope="module")
def theirs(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("theirs"), "Nuthatch")


@pytest.fixture(scope="module")
def signed_in_once(app: Flask, ours: Company) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def browser(signed_in_once: FlaskClient, ours: Company) -> FlaskClient:
    """Our administrator's; some routes end the session."""
    if signed_in_once.get("/own/").status_code != 200:
        sign_in(signed_in_once, ours.email)
    return signed_in_once


def contents(database: Database, company: Company) -> dict[str, Any]:
    """Count and digest every row that a company has, by table."""
    tables = [t for t in SQLModel.metadata.sorted_tables if "tenant_id" in t.c]
    parts = " UNION ALL ".join(
        f"SELECT '{t.name}', count(*), md5(string_agg(x::text, '|' ORDER BY x::text))"
        f' FROM "{t.name}" AS x WHERE tenant_id = :tenant'
        for t in tables
    )
    with database.tenant_connection(company.tenant_id) as connection:
        rows = connection.execute(text(parts), {"tenant": company.tenant_id})
        return {row[0]: (row[1], row[2]) for row in rows}


def ask(
    browser: FlaskClient, method: str, rule: Rule, values: Mapping[str, Any], about: Company
) -> tuple[int, str]:
    """Ask a route; a form names everything that `about` owns."""
    address = APP.url_map.bind("localhost").build(rule.endpoint, values, method=method)
    fields: dict[str, Any] = {name: found[0] for name, found in about.numbers.items()}
    fields["id"] = list(about.numbers["mailing_id"])
    form = {
        "csrf_token": token(browser, "/own/"),
        "name": "Taken over",
        "version": 1,
        "recipients": 3,
        "company": about.tenant_id,
        "tenant_id": about.tenant_id,
        "segment": fields["segment_id"],
        "customer": fields["customer_id"],
        **fields,
    }
    if method == "POST":
        answer = browser.post(address, data=form)
    else:
        answer = browser.open(address, method=method, query_string=fields)
    with answer:
        return answer.status_code, answer.get_data().decode(errors="replace")


def named(asked: tuple[str, Rule]) -> str:
    return f"{asked[0]} {asked[1].rule}"


@pytest.mark.parametrize("asked", OWNED, ids=named)
def test_what_another_company_owns_is_not_there(
    browser: FlaskClient, database: Database, theirs: Company, asked: tuple[str, Rule]
) -> None:
    method, rule = asked
    [owned] = set(rule.arguments) - SHARED
    assert owned in theirs.numbers, f"give both companies a {owned}, so that this route is asked"
    before = contents(database, theirs)
    for number in (*theirs.numbers[owned], TOO_LARGE):
        status, page = ask(browser, method, rule, {owned: number}, theirs)
        assert status == 404 or (status == 405 and number == TOO_LARGE)
        assert theirs.word not in page
    assert contents(database, theirs) == before


@pytest.mark.parametrize("asked", [a for a in OWNED if a[0] == "GET"], ids=named)
def test_what_the_own_company_owns_is_there(
    browser: FlaskClient, ours: Company, asked: tuple[str, Rule]
) -> None:
    [owned] = set(asked[1].arguments) - SHARED
    found = [ask(browser, *asked, {owned: number}, ours)[0] for number in ours.numbers[owned]]
    assert {200, 303} & set(found) or asked[1].endpoint in NO_FILE


@pytest.mark.parametrize("asked", OTHERS, ids=named)
def test_other_routes_tell_and_change_nothing_of_another_company(
    browser: FlaskClient, database: Database, theirs: Company, asked: tuple[str, Rule]
) -> None:
    method, rule = asked
    before = contents(database, theirs)
    values = {name: SAMPLES.get(name, "email") for name in rule.arguments}
    status, page = ask(browser, method, rule, values, theirs)
    assert status < 500
    assert theirs.word not in page
    assert contents(database, theirs) == before


@pytest.mark.parametrize(
    "address",
    [
        "/mailings/{mailing}/why?customer={word}-1",
        "/mailings/{mailing}/preview?customer={customer}",
        "/mailings/new?segment={segment}",
        "/mailings/{mailing}/customers?outcome=recipients&after={customer}",
        "/customers/?q={word}",
        "/mailings/?q={word}",
    ],
)
def test_questions_about_another_companys_things(
    browser: FlaskClient, ours: Company, theirs: Company, address: str
) -> None:
    values = {"mailing": ours.numbers["mailing_id"][-1], "word": theirs.word}
    foreign = {k.removesuffix("_id"): v[0] for k, v in theirs.numbers.items() if k != "mailing_id"}
    answer = browser.get(address.format(**values, **foreign))
    page = answer.get_data(as_text=True)
    assert answer.status_code in (200, 404)
    for said in (f"{theirs.word}-2", f"{theirs.word}, ", f"mail1.{theirs.word}"):
        assert said not in page
    assert f'value="{foreign["segment"]}"' not in page


def test_a_mailing_cannot_take_another_companys_segment_or_policy(
    browser: FlaskClient, database: Database, ours: Company, theirs: Company
) -> None:
    mailing_id = ours.numbers["mailing_id"][0]
    csrf = token(browser, "/own/")
    foreign = {name: str(found[0]) for name, found in theirs.numbers.items()}
    named = (
        {"source": f"segment:{foreign['segment_id']}"},
        {"source": f"audience:{foreign['audience_id']}"},
        {"policy_id": foreign["policy_id"]},
        {"policy_id": "", "category_id": foreign["category_id"]},
        {
            "control_share": "5",
            "control": "audience",
            "control_audience_id": foreign["audience_id"],
        },
    )
    for fields in named:
        form = {"csrf_token": csrf, "version": 3, **fields}
        answer = browser.post(f"/mailings/{mailing_id}/who", data=form)
        assert answer.status_code == 422, fields
    with database.tenant_session(ours.tenant_id) as session:
        mailing = service.get_mailing(session, ours.tenant_id, mailing_id)
        assert mailing.segment_id == ours.numbers["segment_id"][0]
