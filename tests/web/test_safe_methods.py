"""Reading changes nothing, and nothing is changed without the token of a form."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from envoi.db import Database
from envoi.plugins import Plugins
from factories.companies import Company, founded
from pages import sign_in
from routes import APP, ASKED, SAMPLES, SHARED, contents

READ = [rule for method, rule in ASKED if method == "GET"]
WRITTEN = [(method, rule) for method, rule in ASKED if method != "GET"]


@pytest.fixture(scope="module")
def company(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("safe"), "Dunnock")


@pytest.fixture(scope="module")
def browser(app: Flask, company: Company) -> FlaskClient:
    client = app.test_client()
    assert sign_in(client, company.email) == 302
    return client


def addresses(rule: Rule, company: Company) -> list[str]:
    owned = next(iter(set(rule.arguments) - SHARED), None)
    numbers = company.numbers[owned] if owned else (0,)
    shared = {name: SAMPLES.get(name, "email") for name in rule.arguments}
    where = APP.url_map.bind("localhost")
    return [
        where.build(rule.endpoint, shared | ({owned: number} if owned else {}), method=method)
        for number in numbers
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def test_without_the_token_nothing_is_changed(
    browser: FlaskClient, database: Database, company: Company
) -> None:
    before = contents(database, company)
    for method, rule in WRITTEN:
        for address in addresses(rule, company):
            for headers in ({}, {"HX-Request": "true"}, {"X-CSRFToken": "made up"}):
                answer = browser.open(address, method=method, data={"name": "x"}, headers=headers)
                assert answer.status_code in (400, 405), (address, headers)
    assert contents(database, company) == before


def test_reading_changes_nothing(
    browser: FlaskClient, database: Database, company: Company
) -> None:
    # The count of a draft is made when its third step is first looked at, and kept.
    browser.get(f"/mailings/{company.numbers['mailing_id'][0]}/when")
    before = contents(database, company)
    for rule in READ:
        for address in addresses(rule, company):
            browser.get(address).close()
    after = contents(database, company)
    assert {name for name in before if after[name] != before[name]} == set()
    assert browser.get("/own/").status_code == 200, "still signed in"
