"""API keys in Settings: shown once, listed, revoked; and the devices that they bring."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.api.keys import company_of, keys_of, opens
from envoi.customers.devices import drop, register
from envoi.db import Database
from envoi.types import SendStatus, Submission
from factories.customers import customer_ids, make_customers
from pages import SignIn, token


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    return signed_in()


def make(browser: FlaskClient, name: str) -> tuple[int, str]:
    form = {"csrf_token": token(browser, "/settings/api-keys"), "name": name}
    answer = browser.post("/settings/api-keys", data=form)
    return answer.status_code, answer.get_data(as_text=True)


def test_a_key_is_shown_once_and_opens(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    status, shown = make(browser, "The app")
    assert status == 200
    [key] = re.findall(r"envoi_[0-9]+_[A-Za-z0-9_-]{43}", shown)
    assert company_of(key) == tenant_id
    with database.tenant_session(tenant_id) as session:
        assert opens(session, tenant_id, key)
    listed = browser.get("/settings/api-keys").get_data(as_text=True)
    assert "The app" in listed
    assert key not in listed


def test_a_revoked_key_stays_in_the_list_and_opens_nothing(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    _, shown = make(browser, "The app")
    [key] = re.findall(r"envoi_[0-9]+_[A-Za-z0-9_-]{43}", shown)
    with database.tenant_session(tenant_id) as session:
        [known] = keys_of(session, tenant_id)
    form = {"csrf_token": token(browser, "/settings/api-keys")}
    answer = browser.post(f"/settings/api-keys/{known.id}/revoke", data=form)
    assert answer.status_code == 303
    assert "revoked" in browser.get("/settings/api-keys").get_data(as_text=True)
    with database.tenant_session(tenant_id) as session:
        assert opens(session, tenant_id, key) is None
    assert make(browser, "The app")[0] == 200, "its name is free again"


def test_a_name_is_needed_and_names_one_key(browser: FlaskClient) -> None:
    assert make(browser, " ")[0] == 422
    assert make(browser, "The app")[0] == 200
    status, page = make(browser, "The app")
    assert status == 422
    assert "of this name already" in page
    assert "envoi_" not in page


def test_only_administrators_make_keys(app: Flask, signed_in: SignIn) -> None:
    for role in set(Role) - {Role.API}:
        status = signed_in(role=role).get("/settings/api-keys").status_code
        assert status == (200 if role is Role.ADMINISTRATOR else 403)


def test_a_profile_shows_the_devices(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1)
        [customer_id] = customer_ids(session, tenant_id)
    address = f"/customers/{customer_id}"
    assert "Devices" not in browser.get(address).get_data(as_text=True)
    with database.tenant_session(tenant_id) as session:
        about = (session, tenant_id, customer_id)
        register(*about, service="fcm", token="t-1", name="Pixel <9>", app="shop")
        lost = register(*about, service="apns", token="t-2", name="iPhone")
        told = Submission(number=lost, status=SendStatus.REFUSED, address_gone=True)
        drop(session.connection(), tenant_id, [told])
    page = browser.get(address).get_data(as_text=True)
    assert "Pixel &lt;9&gt;" in page
    assert page.count("knows it no more") == 1
    assert "t-1" not in page, "a token lets whoever has it send"
