"""What a hostile visitor or colleague tries: refused in words, and never a failure of ours."""

from __future__ import annotations

import io
from itertools import product
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.mailings import service, variants
from envoi.tenants.models import TenantSettings
from factories.customers import customer_ids, make_customers
from factories.delivery import email_content
from ledger_rows import add_customers, add_messages, add_run
from pages import TEST_SETTINGS, SignIn, token

DIGITS = "9" * 5_000
LONG = "x" * 100_000
TOO_LARGE = str(2**70)
NUL = "a\0b"
NO_UTF8 = b"\xff"
FORM_VALUES = (NUL, DIGITS, TOO_LARGE, f"-{TOO_LARGE}", LONG, NO_UTF8)


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    return signed_in(Role.ADMINISTRATOR)


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        return service.create_draft(session, tenant_id, channel="email", name="Harvest").id


@pytest.fixture
def sent(database: Database, tenant_id: int) -> int:
    run = add_run(database, tenant_id)
    add_messages(database, run, add_customers(database, tenant_id, 2))
    return run.mailing_id


def post(browser: FlaskClient, address: str, **form: Any) -> TestResponse:
    fields = {"csrf_token": token(browser, "/own/"), "version": 1, **form}
    return browser.post(address, data=fields)


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("/mailings/new", "name segment_id source channel date"),
        ("/mailings/views", "name query channel action"),
        ("/mailings/delete", "id query channel"),
        ("/mailings/copy", "id query channel"),
        ("/calendar/reschedule/{draft}", "date time view channel"),
        ("/mailings/{draft}/who", "version source policy_id category_id control_share strata"),
        ("/mailings/{draft}/who", "control_audience_id given.age given.city"),
        ("/mailings/{draft}/what", "version name subject body sender_address body_format"),
        ("/mailings/{draft}/when", "version date time attribution_days lifetime lifetime_unit"),
        ("/mailings/{draft}/when", "limit_per_minute window window_from attribution products"),
        ("/mailings/{draft}/when", "attribution_from min_amount min_items watcher_group_id"),
        ("/mailings/{draft}/confirm", "recipients typed"),
        ("/audiences/", "name"),
        ("/images/", "folder"),
        ("/templates/starting/letter/use", "name"),
        ("/audiences/import", "mode name"),
        ("/segments/figures", "segment_ids"),
        ("/segments/new", "name do json t.match t.size t.0.source"),
        ("/settings/policies/new", "name kind remove add_kind rules.0.most"),
        ("/own/", "language theme"),
        ("/own/company", "company"),
        ("/customers/import/", "kind"),
        ("/reset", "email"),
        ("/change", "password new_password"),
    ],
)
def test_no_value_of_a_form_is_a_failure(
    browser: FlaskClient, draft: int, address: str, fields: str
) -> None:
    base = {"attribution_days": 7, "lifetime": 24, "start": "later", "kind": "frequency_cap"}
    base |= {"strata_form": "1", "control": "audience", "window": "own", "policy_id": ""}
    base |= {"csrf_token": token(browser, "/own/"), "version": 1}
    failed = [
        (field, value[:30])
        for field, value in product(fields.split(), FORM_VALUES)
        for answer in [browser.post(address.format(draft=draft), data={**base, field: value})]
        if answer.status_code >= 500
    ]
    assert failed == []


@pytest.mark.parametrize(
    "address",
    [
        "/mailings/?q={value}&page={value}&size={value}&sort={value}&status={value}",
        "/mailings/?created_from={value}&sent_to={value}&author={value}&segment={value}",
        "/mailings/{value}?period={value}",
        "/mailings/delete?id={value}&query={value}",
        "/mailings/new?segment={value}&date={value}",
        "/calendar/2026/11?channel={value}",
        "/calendar/reschedule/{draft}?date={value}&time={value}",
        "/mailings/{draft}/why?customer={value}",
        "/mailings/{draft}/why?id={value}",
        "/mailings/{draft}/choose?q={value}",
        "/mailings/{draft}/customers?outcome={value}&detail={value}&after={value}",
        "/mailings/{draft}/preview?customer={value}",
        "/mailings/{draft}/customers?outcome=recipients&after={value}",
        "/customers/?q={value}&after={value}",
        "/customers/?before={value}",
        "/customers/?product={value}&category={value}&days={value}&since={value}&sum_from={value}",
        "/customers/products?product={value}",
        "/segments/products?q={value}",
        "/settings/plugins/{value}",
        "/demo/mailbox/{value}",
        "/segments/?q={value}",
        "/segments/?sort={value}&page={value}&size={value}",
        "/audiences/?q={value}&sort={value}",
        "/images/?q={value}&folder={value}&page={value}",
        "/templates/?q={value}&folder={value}&page={value}",
        "/templates/starting/{value}/preview",
        "/audiences/import?audience={value}",
        "/login?next={value}",
        "/mailings/compare?id={value}",
        "/mailings/compare.csv?id={value}&id={sent}",
        "/mailings/{sent}/report?day_from={value}&day_to={value}",
        "/mailings/{sent}/report?machines={value}&measure={value}",
        "/mailings/{sent}/report/figures.csv?of={value}",
        "/mailings/{sent}/report/figures.csv?of=hours&day_from={value}&day_to={value}",
        "/mailings/{sent}/report/links?variant={value}&machines={value}",
        "/mailings/{sent}/report/message?variant={value}&machines={value}",
        "/mailings/{sent}/customers?outcome=sent&after={value}&size={value}",
    ],
)
def test_no_question_is_a_failure(
    browser: FlaskClient, draft: int, sent: int, address: str
) -> None:
    failed = [
        value[:30]
        for value in ("%00", "%ff", DIGITS, TOO_LARGE, f"-{TOO_LARGE}")
        if browser.get(address.format(draft=draft, sent=sent, value=value)).status_code >= 500
    ]
    assert failed == []


@pytest.mark.parametrize("typed", ["²", DIGITS])
def test_a_typed_number(browser: FlaskClient, draft: int, typed: str) -> None:
    answer = post(browser, f"/mailings/{draft}/confirm", recipients=5_000, typed=typed)
    assert answer.status_code == 409


def test_a_button_of_a_place_nobody_has(browser: FlaskClient) -> None:
    answer = post(browser, "/segments/new", name="Bees", do=f"delete:t.{DIGITS}")
    assert answer.status_code == 422
    answer = post(browser, "/segments/preview", name="Bees", do=f"delete:t.{DIGITS}")
    assert answer.status_code < 500


def test_a_start_that_no_clock_reaches(
    browser: FlaskClient, database: Database, tenant_id: int, draft: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        settings = table(TenantSettings)
        mine = settings.c.tenant_id == tenant_id
        session.execute(update(settings).where(mine).values(time_zone="America/New_York"))
    form = {"start": "later", "date": "9999-12-31", "time": "23:59"}
    days = {"attribution_days": 7, "lifetime_hours": 24}
    assert post(browser, f"/mailings/{draft}/when", **days, **form).status_code == 422
    assert browser.get("/mailings/").status_code == 200


def test_file_names(browser: FlaskClient) -> None:
    for name in (NUL, "../../etc/passwd", "x" * 5_000, "=1+1.csv", "<b>.csv"):
        answer = post(
            browser,
            "/customers/import/",
            kind="customers",
            file=(io.BytesIO(b"external_id\n"), name),
        )
        assert answer.status_code < 500, name


def test_passwords_are_not_tried_by_json(client: FlaskClient, employee: Any) -> None:
    email = employee()
    csrf = token(client, "/login")
    found = [
        client.post(
            "/login",
            json={"email": email, "password": f"wrong {number}"},
            headers={"X-CSRFToken": csrf},
        ).status_code
        for number in range(12)
    ]
    assert found[-1] in (415, 429), found


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        " //evil.example",
        "\x01//evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(client: FlaskClient, employee: Any, target: str) -> None:
    form = {"email": employee(), "password": "correct horse battery", "next": target}
    form["csrf_token"] = token(client, "/login")
    answer = client.post("/login", query_string={"next": target}, data=form)
    assert answer.status_code < 500
    where = urljoin("http://localhost/login", answer.headers.get("Location", "/"))
    assert urlsplit(where)[:2] == ("http", "localhost")


def test_a_reset_link_never_leads_to_the_host_a_visitor_named(
    app: Flask, client: FlaskClient, employee: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    mails = app.extensions["security"]._mail_util
    monkeypatch.setattr(mails, "send_mail", lambda *given, **_more: sent.append(str(given[4])))
    address = "http://evil.example/reset"
    client.post(address, data={"email": employee(), "csrf_token": token(client, address)})
    [body] = sent
    assert f"{TEST_SETTINGS.web_url}/reset/" in body
    assert "evil.example" not in body


@pytest.fixture
def telling(database: Database, tenant_id: int) -> tuple[str, int]:
    """The preview of a message that tells all contacts, and a customer."""
    told = "<p>{{ client.properties.first_name }} {{ client.properties.email }}</p>"
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1)
        [customer_id] = customer_ids(session, tenant_id)
        made = service.create_draft(session, tenant_id, channel="email", name="Telling")
        content = email_content(body=told, body_format="html")
        variants.save_content(session, tenant_id, made.id, made.version, content)
        return f"/mailings/{made.id}/preview?customer={customer_id}", customer_id


@pytest.mark.parametrize(
    ("role", "status", "contact"),
    [
        (Role.SENIOR_MARKETER, 200, True),
        (Role.MARKETER, 200, False),
        (Role.DESIGNER, 403, False),
        (Role.ANALYST, 403, False),
    ],
)
def test_a_preview_shows_what_the_role_may_see_of_a_customer(
    signed_in: SignIn, telling: tuple[str, int], role: Role, status: int, contact: bool
) -> None:
    answer = signed_in(role).get(telling[0])
    assert answer.status_code == status
    assert ("@" in answer.get_data(as_text=True)) is contact


@pytest.mark.parametrize("address", ["/login", "/change", "/verify", "/reset"])
def test_an_endless_password_is_refused_in_words(browser: FlaskClient, address: str) -> None:
    answer = post(browser, address, email=LONG, password=LONG, new_password=LONG)
    assert answer.status_code < 500
    assert answer.status_code == 422 or answer.location == "/"
