"""Every route, asked with nothing and with nonsense in every field there is: never a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

import envoi_web
from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.app import create_app
from envoi.db import Database, connect
from envoi.installation import Installation
from envoi.mailings.models import Variant
from envoi.plugins import Plugins, load_plugins
from factories.companies import Company, founded
from pages import PASSWORD, TEST_SETTINGS, sign_in, token

APP = create_app(Installation(TEST_SETTINGS, connect("postgresql://"), load_plugins()))
WEB = Path(envoi_web.__file__).parent

FIELDS = sorted(
    {
        name
        for page in WEB.rglob("*.html")
        for name in re.findall(r'name="([a-z_]+)"', page.read_text())
    }
    | {
        name
        for module in WEB.rglob("*.py")
        for name in re.findall(
            r'(?:args|form|values)\.get(?:list)?\("([a-z_.]+)"', module.read_text()
        )
    }
)
"""Every name that a form or an address of the product has."""

NONSENSE = (
    b"a\0\xed\xa0\x80\xff",
    "9" * 5_000,
    "-1" + "0" * 30,
    "[" * 20_000,
    '{"all": [{"source": {"a": []}, "settings": 1}], "blocks": {"id": 1}}',
    "0001-01-01",
    "9999-12-31T99:99",
    "delete:t.0.0:1:2|%(x)s{{7*7}}<b>\u202e²\U0001f600",
    "x" * 100_000,
)
ADDRESS_PARTS = {"kind": "customers", "year": 9999, "month": 0, "week": 53, "code": "letter"}
LAST = ("delete", "cancel", "logout")
"""What takes away what the other routes are asked with."""


def routes(method: str) -> list[Rule]:
    found = [rule for rule in APP.url_map.iter_rules() if method in (rule.methods or ())]
    return sorted(found, key=lambda rule: (any(word in rule.rule for word in LAST), rule.rule))


@pytest.fixture(scope="module")
def company(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    made = founded(database, plugins, tmp_path_factory.mktemp("walked"), "Wagtail")
    with database.tenant_session(made.tenant_id) as session:
        _draft, sent = made.numbers["mailing_id"]
        session.add(Variant(tenant_id=made.tenant_id, mailing_id=sent, number=1, content={}))
    return made


@pytest.fixture(scope="module")
def once(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def browser(once: FlaskClient, database: Database, company: Company) -> FlaskClient:
    """An administrator's; the walk ends sessions and changes passwords and roles."""
    if once.get("/own/").status_code != 200:
        email = f"{len(company.word)}{id(object())}@walk.example"
        account = create_account(database, email=email, password=PASSWORD, name="W", language="en")
        set_role(database, tenant_id=company.tenant_id, account_id=account, role=Role.ADMINISTRATOR)
        assert sign_in(once, email) == 302
    return once


def addresses(rule: Rule, company: Company) -> Iterator[str]:
    """Fill a route's address in with what the company owns, or with anything."""
    owned = next((name for name in rule.arguments if name in company.numbers), None)
    for number in company.numbers[owned] if owned else (0,):
        parts: dict[str, Any] = {name: ADDRESS_PARTS.get(name, "a") for name in rule.arguments}
        values = parts | ({owned: number} if owned else {})
        yield APP.url_map.bind("localhost").build(rule.endpoint, values)


@pytest.mark.parametrize("rule", routes("POST"), ids=lambda rule: rule.rule)
def test_no_form_is_a_failure(browser: FlaskClient, company: Company, rule: Rule) -> None:
    csrf = token(browser, "/own/")
    forms: list[dict[str, Any]] = [{}, *(dict.fromkeys(FIELDS, value) for value in NONSENSE)]
    forms += [{name: ["1", "2", "x"] for name in FIELDS}]
    for address in addresses(rule, company):
        for form in forms:
            answer = browser.post(address, data={**form, "csrf_token": csrf})
            assert answer.status_code < 500, (address, form and next(iter(form.values())))
            answer.close()


@pytest.mark.parametrize("rule", routes("GET"), ids=lambda rule: rule.rule)
def test_no_address_is_a_failure(browser: FlaskClient, company: Company, rule: Rule) -> None:
    values = ("%00", "%ED%A0%80", "9" * 500, "-1", "0001-01-01", "9999-12-31", "a%3Ab%3Ac")
    for address in addresses(rule, company):
        for value in values:
            query = "&".join(f"{name}={value}" for name in FIELDS)
            answer = browser.get(f"{address}?{query}")
            assert answer.status_code < 500, (address, value)
            answer.close()
