"""The profile's parts that change something: the form of a customer, and subscriptions."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from envoi.accounts.permissions import Role
from envoi.customers.field_settings import FieldForm, create_field
from envoi.customers.models import FieldType
from envoi.customers.profile import customer_profile
from envoi.customers.queries import list_customers
from envoi.customers.search import CustomerFilter
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from factories.customers import customer_ids, index_customers, make_customers, make_receipts
from pages import SignIn, token

ATTACK = "\"><script>alert('x')</script>{{7*7}}"
FIELDS = {
    "text": FieldForm(label="Motto", type=FieldType.TEXT, group="More"),
    "number": FieldForm(label="Shoe size", type=FieldType.NUMBER, group="More"),
    "date": FieldForm(label="Wedding", type=FieldType.DATE),
    "yes_no": FieldForm(label="Has a dog", type=FieldType.YES_NO),
    "choice": FieldForm(label="Store", type=FieldType.CHOICE, choices=("North", "South")),
}


@pytest.fixture
def fields(database: Database, tenant_id: int) -> dict[str, int]:
    """A field of every type, by the name of the type."""
    with database.tenant_session(tenant_id) as session:
        return {name: create_field(session, tenant_id, form) for name, form in FIELDS.items()}


@pytest.fixture
def customer(database: Database, tenant_id: int) -> int:
    """Anna's number."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 2, phones=True)
        make_receipts(connection, tenant_id, each=2, products=3)
        index_customers(connection, tenant_id)
        connection.execute(
            text("UPDATE customer SET email_quality = 31 WHERE tenant_id = :t"), {"t": tenant_id}
        )
        return customer_ids(connection, tenant_id)[0]


def _form(browser: FlaskClient, address: str) -> dict[str, str]:
    """What the form of a customer holds."""
    body = browser.get(address).get_data(as_text=True).partition('id="customer-form"')[2]
    found = dict(re.findall(r'<input [^>]*name="([^"]+)" value="([^"]*)"', body))
    for name, options in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', body, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    return {name: html.unescape(value) for name, value in found.items()}


def _save(browser: FlaskClient, address: str, form: Mapping[str, str]) -> tuple[int, str]:
    answer = browser.post(address, data=form)
    return answer.status_code, answer.get_data(as_text=True)


def test_a_customer_is_changed_and_found_by_the_new_words(
    signed_in: SignIn, database: Database, tenant_id: int, customer: int, fields: dict[str, int]
) -> None:
    browser, address = signed_in(), f"/customers/{customer}/edit"
    typed = {
        "first_name": " Zoë ",
        "birth_date": "1990-12-31",
        "gender": "1",
        "time_zone": "Europe/Moscow",
        "email": "Zoe@Example.com",
        "phone": "030 901820",
        f"field_{fields['text']}": ATTACK,
        f"field_{fields['number']}": "42.5",
        f"field_{fields['date']}": "2020-02-29",
        f"field_{fields['yes_no']}": "no",
        f"field_{fields['choice']}": "South",
    }
    assert _save(browser, address, {**_form(browser, address), **typed})[0] == 303
    with database.tenant_session(tenant_id) as session:
        profile = customer_profile(session, tenant_id, customer)
        found = list_customers(session, tenant_id, CustomerFilter(text="zoe ")).customers
        gone = list_customers(session, tenant_id, CustomerFilter(text="c-1@mail")).customers
    changed = profile.customer
    assert [(c.first_name, c.email) for c in found] == [("Zoë", "zoe@example.com")]
    assert gone == []
    assert (changed.email_quality, changed.phone, changed.phone_quality) == (0, "+4930901820", 40)
    assert next(value for _, value in profile.fields if not isinstance(value, str)) == 42.5
    body = browser.get(f"/customers/{customer}").get_data(as_text=True)
    assert "<script>alert" not in body
    for words in ("42.5", "29 Feb 2020", "No", "South", "Landline", "More"):
        assert words in body


def test_an_unchanged_contact_keeps_its_quality_and_an_empty_field_loses_its_value(
    signed_in: SignIn, database: Database, tenant_id: int, customer: int, fields: dict[str, int]
) -> None:
    browser, address = signed_in(), f"/customers/{customer}/edit"
    name = f"field_{fields['text']}"
    for value in ("Carpe diem", ""):
        assert _save(browser, address, {**_form(browser, address), name: value})[0] == 303
    with database.tenant_session(tenant_id) as session:
        profile = customer_profile(session, tenant_id, customer)
    assert profile.customer.email_quality == 31
    assert [value for _, value in profile.fields] == [None] * 5


def test_problems_stand_at_their_fields_and_nothing_typed_is_lost(
    signed_in: SignIn, customer: int, fields: dict[str, int]
) -> None:
    browser, address = signed_in(), f"/customers/{customer}/edit"
    wrong = {
        "email": "anna@",
        "phone": "12",
        "birth_date": "yesterday",
        "gender": "7",
        "time_zone": "Mars/Base",
        "first_name": "x" * 201,
        f"field_{fields['number']}": "many",
        f"field_{fields['choice']}": "West",
    }
    status, body = _save(browser, address, {**_form(browser, address), **wrong})
    assert status == 422
    assert body.count('aria-invalid="true"') == len(wrong)
    assert "8 things need another look" in body
    for value in ("anna@", "yesterday", "many", "x" * 201):
        assert f'value="{value}"' in body


def test_two_people_see_both_values(signed_in: SignIn, customer: int) -> None:
    mine, theirs, address = signed_in(), signed_in(), f"/customers/{customer}/edit"
    opened = _form(mine, address)
    assert _save(theirs, address, {**_form(theirs, address), "city": "Kazan"})[0] == 303
    status, body = _save(mine, address, {**opened, "city": "Omsk"})
    assert status == 409
    for words in ("Omsk", "Kazan", "Keep mine", "Take theirs"):
        assert words in body
    seen = re.search(r'name="seen" value="([^"]+)"', body)
    assert seen
    kept = {**opened, "city": "Omsk", "seen": html.unescape(seen[1])}
    assert _save(mine, address, kept)[0] == 303
    assert 'value="Omsk"' in theirs.get(address).get_data(as_text=True)


def test_subscriptions_change_with_a_reason_that_stays(signed_in: SignIn, customer: int) -> None:
    browser, here = signed_in(Role.OPERATOR), f"/customers/{customer}"
    page = f"{here}?tab=subscriptions"
    form = {
        "csrf_token": token(browser, page),
        "channel": "email",
        "category_id": "0",
        "action": "opt_out",
    }
    status, body = _save(browser, f"{here}/subscription", form)
    assert status == 422
    assert "Enter the reason" in body
    for action in ("opt_out", "opt_in"):
        sent = {**form, "action": action, "reason": f"By phone {ATTACK}"}
        assert _save(browser, f"{here}/subscription", sent)[0] == 303
    body = browser.get(page).get_data(as_text=True)
    assert body.count("By phone") == 2
    assert "<script>alert" not in body
    assert "Employee" in body
    story = browser.get(f"{here}?tab=timeline").get_data(as_text=True)
    assert story.index("Subscribed: Email") < story.index("Unsubscribed: Email")


@pytest.mark.parametrize("change", [{"channel": "pigeon"}, {"category_id": "99"}])
def test_a_subscription_that_does_not_exist(
    signed_in: SignIn, customer: int, change: dict[str, str]
) -> None:
    browser, here = signed_in(), f"/customers/{customer}"
    form = {"csrf_token": token(browser, here), "channel": "email", "category_id": "0"}
    sent = {**form, "reason": "Asked", **change}
    assert _save(browser, f"{here}/subscription", sent)[0] == 422


def test_roles(signed_in: SignIn, customer: int) -> None:
    here = f"/customers/{customer}"
    for role, status in ((Role.SENIOR_MARKETER, 403), (Role.ADMINISTRATOR, 200)):
        browser = signed_in(role)
        assert browser.get(f"{here}/edit").status_code == status
        assert ("Edit customer" in browser.get(here).get_data(as_text=True)) == (status == 200)
    marketer = signed_in(Role.MARKETER)
    page = f"{here}?tab=subscriptions"
    assert "Who asked for it" not in marketer.get(page).get_data(as_text=True)
    form = {"csrf_token": token(marketer, page), "reason": "x"}
    assert marketer.post(f"{here}/subscription", data=form).status_code == 403


def test_segments_are_found_when_asked(
    signed_in: SignIn, database: Database, tenant_id: int, customer: int, plugins: Plugins
) -> None:
    named = {"C-1": "Has her", "C-2": "Has another"}
    with database.tenant_session(tenant_id) as session:
        for external_id, name in named.items():
            settings = {"criterion": "external_id", "operator": "is", "value": external_id}
            tree = {"all": [{"source": "attribute", "settings": settings}]}
            create_segment(session, tenant_id, name=name, tree=tree, plugins=plugins)
    address = f"/customers/{customer}?tab=segments"
    browser = signed_in()
    assert "Has her" not in browser.get(address).get_data(as_text=True)
    asked = {"HX-Request": "true", "HX-Target": "segment-list"}
    part = browser.get(f"{address}&find=1", headers=asked).get_data(as_text=True)
    assert "Has her" in part
    assert "Has another" not in part
    assert "<html" not in part
