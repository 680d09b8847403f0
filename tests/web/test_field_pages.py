"""Settings of fields: made, changed, put in order, deleted."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from envoi.accounts.permissions import Role
from envoi.customers.fields import fields_of
from envoi.customers.models import FieldType
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from factories.customers import make_customers
from pages import SignIn, token

ATTACK = "<img src=x onerror=alert(1)>"


def _add(browser: FlaskClient, **values: str) -> tuple[int, str]:
    form = {"csrf_token": token(browser, "/settings/fields"), "type": "1", **values}
    answer = browser.post("/settings/fields", data=form)
    return answer.status_code, answer.get_data(as_text=True)


def _post(browser: FlaskClient, address: str, **values: str) -> tuple[int, str]:
    form = {"csrf_token": token(browser, "/settings/fields"), **values}
    answer = browser.post(f"/settings/fields/{address}", data=form)
    return answer.status_code, answer.get_data(as_text=True)


def _numbers(database: Database, tenant_id: int) -> dict[str, int]:
    with database.tenant_session(tenant_id) as session:
        return {field.label: field.id for field in fields_of(session, tenant_id)}


def _fill(database: Database, tenant_id: int, field_id: int, value: str) -> None:
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 3)
        connection.execute(
            text(
                "INSERT INTO customer_value (tenant_id, field_id, customer_id, text_value)"
                " SELECT tenant_id, :f, id, :v FROM customer WHERE tenant_id = :t"
            ),
            {"f": field_id, "t": tenant_id, "v": value},
        )


def test_fields_are_made_named_and_put_in_order(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    assert "No custom fields yet" in browser.get("/settings/fields").get_data(as_text=True)
    for label in ("Shoe size", "Store", ATTACK):
        assert _add(browser, label=label, group="Shop", choices="North\n\nSouth\nNorth")[0] == 303
    numbers = _numbers(database, tenant_id)
    assert _post(browser, f"{numbers['Store']}/move", to="up")[0] == 303
    assert list(_numbers(database, tenant_id)) == ["Store", "Shoe size", ATTACK]
    order = ",".join(str(numbers[label]) for label in (ATTACK, "Shoe size"))
    assert _post(browser, "order", order=f"{order},x,999999")[0] == 303
    assert list(_numbers(database, tenant_id)) == [ATTACK, "Shoe size", "Store"]
    changed = {"label": "Home store", "type": "5", "choices": "North\nSouth", "group": "Shop"}
    assert _post(browser, str(numbers["Store"]), **changed)[0] == 303
    with database.tenant_session(tenant_id) as session:
        store = fields_of(session, tenant_id)[-1]
    assert (store.label, store.code, store.type) == ("Home store", "store", FieldType.CHOICE)
    assert store.choices == ("North", "South")
    body = browser.get("/settings/fields").get_data(as_text=True)
    assert ATTACK not in body
    assert "Birth date" in body


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"label": " "}, "Enter a name of 1 to 100 characters."),
        ({"label": "Размер"}, "Use a-z, 0-9 and _"),
        ({"label": "Size", "code": "1st"}, "Use a-z, 0-9 and _"),
        ({"label": "Taken", "code": "size"}, "There is a field with this code."),
        ({"label": "Store", "type": "5"}, "Enter at least one choice"),
    ],
)
def test_a_form_that_cannot_be_saved_is_shown_again(
    signed_in: SignIn, values: dict[str, str], words: str
) -> None:
    browser = signed_in()
    _add(browser, label="Size")
    status, body = _add(browser, **values)
    assert status == 422
    assert words in body


def test_the_type_is_fixed_once_there_are_values(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    _add(browser, label="Store", type="5", choices="North\nSouth")
    number = _numbers(database, tenant_id)["Store"]
    _fill(database, tenant_id, number, "South")
    status, body = _post(browser, str(number), label="Store", type="1", choices="")
    assert status == 422
    assert "The type is fixed" in body
    status, body = _post(browser, str(number), label="Store", type="5", choices="North")
    assert status == 422
    assert "Customers have a choice that is missing here." in body


def test_deleting_tells_what_is_lost(
    signed_in: SignIn, database: Database, tenant_id: int, plugins: Plugins
) -> None:
    browser = signed_in()
    _add(browser, label="Size")
    number = _numbers(database, tenant_id)["Size"]
    _fill(database, tenant_id, number, "XL")
    settings = {"criterion": "size", "operator": "is", "value": "XL"}
    tree = {"all": [{"source": "custom_field", "settings": settings}]}
    with database.tenant_session(tenant_id) as session:
        create_segment(session, tenant_id, name="Large ones", tree=tree, plugins=plugins)
    body = browser.get("/settings/fields").get_data(as_text=True)
    dialog = re.search(rf'<dialog[^>]+id="delete-{number}".*?</dialog>', body, re.S)
    assert dialog
    assert "Customers with a value that is lost: 3." in dialog[0]
    assert "Large ones" in dialog[0]
    assert _post(browser, f"{number}/delete")[0] == 303
    assert _numbers(database, tenant_id) == {}


def test_only_administrators_change_fields(signed_in: SignIn) -> None:
    assert signed_in(Role.SENIOR_MARKETER).get("/settings/fields").status_code == 403
