"""Two companies in one installation: every route, asked with the other company's numbers."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from envoi.db import Database
from envoi.mailings import service
from envoi.plugins import Plugins
from factories.companies import Company, founded
from pages import sign_in, token
from routes import ASKED, SAMPLES, SHARED, ask, contents, named

NO_FILE = ("imports.errors", "audiences.result")
"""What a company has no file of before an import has run."""

TOO_LARGE = 2**70
"""A number that no column holds."""

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
