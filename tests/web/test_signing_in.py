"""Signing in: sessions, passwords, membership, companies."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import select, update

from envoi.accounts.models import Account, Membership
from envoi.accounts.permissions import Role
from envoi.accounts.service import set_role
from envoi.app import create_app
from envoi.db import Database, table
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import create_tenant
from pages import PASSWORD, TEST_SETTINGS, SignIn, sign_in, token

Employ = Callable[..., str]
NEW = "another correct horse"


def account_id(database: Database, email: str) -> int:
    account = table(Account).c
    with database.system_session() as session:
        return int(session.scalars(select(account.id).where(account.email == email)).one())


def failed_before(database: Database, email: str, *, tries: int, ago: timedelta) -> None:
    values = {"failed_logins": tries, "failed_at": datetime.now(UTC) - ago}
    with database.system_session() as session:
        session.execute(update(Account).where(table(Account).c.email == email).values(values))


def is_signed_in(browser: FlaskClient) -> bool:
    return browser.get("/own/").status_code == 200


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    client: FlaskClient, employee: Employ
) -> None:
    answers = [
        client.post(
            "/login",
            data={"email": email, "password": "no", "csrf_token": token(client, "/login")},
        ).get_data(as_text=True)
        for email in (employee(), "nobody@fieldmarket.example")
    ]
    texts = [re.findall(r'role="alert">([^<]+)', answer) for answer in answers]
    assert texts[0] == texts[1] != []


def test_the_case_of_the_address_does_not_matter(client: FlaskClient, employee: Employ) -> None:
    sign_in(client, employee().upper())
    assert is_signed_in(client)


def test_the_eleventh_try_within_a_minute_is_held_back(
    client: FlaskClient, employee: Employ, database: Database
) -> None:
    email = employee()
    failed_before(database, email, tries=9, ago=timedelta(seconds=30))
    assert sign_in(client, email, "wrong password") == 200
    assert sign_in(client, email) == 429
    failed_before(database, email, tries=10, ago=timedelta(minutes=2))
    assert sign_in(client, email) == 302


@pytest.mark.parametrize(
    ("address", "goal"),
    [("/own/", "/own/"), ("https://evil.example/", None), ("//evil.example", None)],
)
def test_signing_in_leads_back_but_never_elsewhere(
    client: FlaskClient, employee: Employ, address: str, goal: str | None
) -> None:
    form = {"email": employee(), "password": PASSWORD, "csrf_token": token(client, "/login")}
    answer = client.post("/login", query_string={"next": address}, data=form)
    assert answer.headers.get("Location") == goal


def test_signing_out_needs_a_post(signed_in: SignIn) -> None:
    browser = signed_in()
    assert browser.get("/logout").status_code == 405
    assert is_signed_in(browser)
    browser.post("/logout", data={"csrf_token": token(browser, "/own/")})
    assert not is_signed_in(browser)


def test_a_new_password_ends_every_other_session(app: Flask, employee: Employ) -> None:
    email = employee()
    here, elsewhere = app.test_client(), app.test_client()
    for browser in (here, elsewhere):
        sign_in(browser, email)
    form = {
        "csrf_token": token(here, "/change"),
        "password": PASSWORD,
        "new_password": NEW,
        "new_password_confirm": NEW,
    }
    assert here.post("/change", data=form).status_code == 302
    assert (is_signed_in(here), is_signed_in(elsewhere)) == (True, False)
    assert sign_in(app.test_client(), email, NEW) == 302


def test_a_membership_that_ends_ends_the_session(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    assert is_signed_in(browser)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    with database.tenant_session(tenant_id) as session:
        session.execute(update(Membership).values(active_until=yesterday))
    assert browser.get("/own/").status_code == 403
    assert browser.get("/own/").status_code == 302


def test_a_role_taken_away_counts_from_the_next_request(
    app: Flask, employee: Employ, database: Database, tenant_id: int
) -> None:
    browser, email = app.test_client(), employee(Role.ADMINISTRATOR)
    sign_in(browser, email)
    number = account_id(database, email)
    set_role(database, tenant_id=tenant_id, account_id=number, role=Role.ANALYST)
    assert "Anna Keller, Analyst" in browser.get("/own/").get_data(as_text=True)


def test_switching_between_ones_own_companies_only(
    app: Flask, employee: Employ, database: Database
) -> None:
    browser, email = app.test_client(), employee(Role.ADMINISTRATOR)
    own, foreign = (
        create_tenant(database, slug=f"c{uuid4().hex[:12]}", name=name).id
        for name in ("Coffee House", "Rival")
    )
    number = account_id(database, email)
    set_role(database, tenant_id=own, account_id=number, role=Role.DESIGNER)
    sign_in(browser, email)
    form = {"csrf_token": token(browser, "/own/"), "company": str(own)}
    assert browser.post("/own/company", data=form).status_code == 303
    assert "Anna Keller, Designer" in browser.get("/own/").get_data(as_text=True)
    assert browser.post("/own/company", data={**form, "company": str(foreign)}).status_code == 404
    assert "Rival" not in browser.get("/own/").get_data(as_text=True)


@pytest.mark.parametrize(("base_url", "secure"), [("", False), ("https://envoi.example", True)])
def test_the_session_cookie(
    database: Database, plugins: Plugins, base_url: str, secure: bool
) -> None:
    settings = Settings(secret_key=TEST_SETTINGS.secret_key, base_url=base_url)
    browser = create_app(Installation(settings, database, plugins)).test_client()
    cookie = browser.get("/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert ("Secure" in cookie) is secure


class Inbox:
    """Keeps what an SMTP server is given."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, mail: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        self.mails.append(mail)
        return "250 OK"


def test_a_forgotten_password_is_set_anew_by_mail(
    database: Database, plugins: Plugins, employee: Employ, free_port: int
) -> None:
    inbox, email = Inbox(), employee()
    settings = Settings(
        secret_key=TEST_SETTINGS.secret_key, mail_url=SecretStr(f"smtp://127.0.0.1:{free_port}")
    )
    app = create_app(Installation(settings, database, plugins))
    browser, elsewhere = app.test_client(), app.test_client()
    sign_in(elsewhere, email)
    server = Controller(inbox, hostname="127.0.0.1", port=free_port)
    server.start()
    for address in (email, "nobody@fieldmarket.example"):
        form = {"csrf_token": token(browser, "/reset"), "email": address}
        assert browser.post("/reset", data=form).status_code in (200, 302)
    server.stop()
    (mail,) = inbox.mails
    text = message_from_bytes(mail.original_content or b"", policy=default).get_content()
    link = re.search(r"/reset/\S+", text)
    assert link, text
    form = {
        "csrf_token": token(browser, link[0]),
        "password": NEW,
        "password_confirm": NEW,
    }
    assert browser.post(link[0], data=form).status_code == 302
    assert not is_signed_in(elsewhere)
    assert sign_in(app.test_client(), email, NEW) == 302
