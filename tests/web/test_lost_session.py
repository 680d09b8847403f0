"""A session that ends in the middle of a form: said in words, and nothing typed is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from envoi.db import Database
from envoi.mailings import service, variants
from pages import sign_in, token

FRAGMENT = {"HX-Request": "true", "HX-Target": "what-state"}


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        return service.create_draft(session, tenant_id, channel="email", name="Harvest").id


def signed_out(browser: FlaskClient, csrf: str, how: str) -> None:
    if how == "signed out in another tab":
        browser.post("/logout", data={"csrf_token": csrf})
    else:
        browser.delete_cookie("envoi")


@pytest.mark.parametrize("how", ["signed out in another tab", "expired"])
def test_the_editor_goes_on_after_signing_in_again(
    database: Database, tenant_id: int, client: FlaskClient, employee: Any, draft: int, how: str
) -> None:
    email = employee()
    assert sign_in(client, email) == 302
    address = f"/mailings/{draft}/what"
    form = {"csrf_token": token(client, address), "version": 1, "subject": "Typed for an hour"} | {
        "mode": "blocks"
    }

    signed_out(client, str(form["csrf_token"]), how)
    lost = client.post(address, data=form, headers=FRAGMENT)
    assert (lost.status_code, lost.headers["HX-Trigger"]) == (401, "envoi:signed-out")
    assert lost.headers["HX-Reswap"] == "none"

    assert sign_in(client, email) == 302
    old = client.post(address, data=form, headers=FRAGMENT)
    assert old.status_code == 400
    assert "What you entered is still here" in old.get_data(as_text=True)
    form["csrf_token"] = json.loads(old.headers["HX-Trigger"])["envoi:token"]["token"]
    assert client.post(address, data=form, headers=FRAGMENT).status_code == 200
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        content = variants.get_variant(session, mailing, 1).content
    assert content["subject"] == "Typed for an hour"


def test_without_a_script_one_is_led_to_sign_in(client: FlaskClient, draft: int) -> None:
    answer = client.post(f"/mailings/{draft}/who", data={"version": 1})
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login"


def test_a_form_without_a_token_is_refused(client: FlaskClient, employee: Any, draft: int) -> None:
    assert sign_in(client, employee()) == 302
    for headers in ({}, FRAGMENT):
        answer = client.post(f"/mailings/{draft}/who", data={"version": 1}, headers=headers)
        assert answer.status_code == 400
    assert client.post("/login", data={"email": "a@b.test"}).status_code == 400
