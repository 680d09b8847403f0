"""Pages of bounces and complaints: settings, the profile of a customer, the report."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.customers.models import Customer, Quality
from envoi.db import Database
from envoi.feedback import matching
from envoi.feedback.intake import Intake, sign_in
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent
from factories.customers import customer_ids, make_customers
from factories.delivery import smtp_gateway
from factories.feedback import sample
from ledger_rows import NOW, LedgerRun, add_messages, add_run
from pages import TEST_SETTINGS, SignIn, token

BOUNCES = "/settings/bounces"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


@pytest.fixture
def run(database: Database, tenant_id: int) -> LedgerRun:
    """A mailing that three customers got; of the first it bounced, in words."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        people = customer_ids(session, tenant_id)
    found = add_run(database, tenant_id)
    add_messages(database, found, people)
    for customer_id, status, words in (
        (people[0], "5.1.1", "550 5.1.1 <c-1@mail1.test> user unknown"),
        (people[1], "5.7.1", "554 5.7.1 listed at zen.spamhaus.org"),
    ):
        event = DeliveryEvent(
            message_key="", type="bounced", occurred_at=NOW, status=status, reason=words
        )
        with database.tenant_session(tenant_id) as session:
            assert apply(session, found.ref(customer_id), event, Door.LISTENER)
    return found


def test_what_came_in_is_shown(
    browser: FlaskClient, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    sign_in(database, Door.LISTENER)
    intake = Intake(database, signer_of(TEST_SETTINGS))
    intake.keep_unread(b"Subject: <b>odd</b>\r\n\r\n\x00\xff", Door.WEBHOOK, tenant_id, "broken")
    with database.tenant_session(tenant_id) as session:
        smtp_gateway(session, Installation(TEST_SETTINGS, database, plugins), tenant_id, 25)
    page = unescape(browser.get(BOUNCES).get_data(as_text=True))
    for said in ("b+…@", "Works", "Not set up", "Make a webhook", "damaged"):
        assert said in page
    [address] = re.findall(r'href="(/settings/bounces/\d+)"', page)
    raw = browser.get(address).get_data(as_text=True)
    assert "&lt;b&gt;odd&lt;/b&gt;" in raw


def test_a_gateway_gets_a_webhook_and_another(
    browser: FlaskClient, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        installation = Installation(TEST_SETTINGS, database, plugins)
        gateway = smtp_gateway(session, installation, tenant_id, 25)
    shown = []
    for _ in range(2):
        form = {"csrf_token": token(browser, BOUNCES)}
        assert browser.post(f"{BOUNCES}/webhooks/{gateway}", data=form).status_code == 303
        shown.append(
            re.findall(r"<code>([^<]+)</code>", browser.get(BOUNCES).get_data(as_text=True))
        )
    (first, secret), (second, other) = shown
    assert "/in/" in first
    assert first != second
    assert secret != other


def test_only_administrators_see_them(signed_in: SignIn) -> None:
    assert signed_in(Role.MARKETER).get(BOUNCES).status_code == 403


def test_the_profile_says_why_and_a_person_can_forgive(
    browser: FlaskClient, database: Database, tenant_id: int, run: LedgerRun
) -> None:
    with database.tenant_session(tenant_id) as session:
        customer = customer_ids(session, tenant_id)[0]
    address = f"/customers/{customer}"
    page = unescape(browser.get(address).get_data(as_text=True))
    for said in ("Address does not exist", "(32)", "Unknown address", "user unknown"):
        assert said in page
    form = {"csrf_token": token(browser, address)}
    assert browser.post(f"{address}/forgive", data=form).status_code == 303
    page = browser.get(address).get_data(as_text=True)
    assert "Address does not exist" not in page
    assert "Last bounce" not in page


def test_who_may_not_see_contacts_sees_no_answers(
    signed_in: SignIn, database: Database, tenant_id: int, run: LedgerRun
) -> None:
    with database.tenant_session(tenant_id) as session:
        customer = customer_ids(session, tenant_id)[0]
    marketer = signed_in(Role.MARKETER)
    page = marketer.get(f"/customers/{customer}").get_data(as_text=True)
    assert "Unknown address" in page
    for place in (page, marketer.get(f"/mailings/{run.mailing_id}/report").get_data(as_text=True)):
        assert "c-1@mail1.test" not in place


def test_the_report_tells_faults_and_reasons(browser: FlaskClient, run: LedgerRun) -> None:
    address = f"/mailings/{run.mailing_id}/report"
    page = unescape(browser.get(address).get_data(as_text=True))
    for said in ("Hard: the address", "Sender: ourselves", "Our server is on a blocklist"):
        assert said in page
    file = browser.get(f"{address}/figures.csv?of=bounces").get_data(as_text=True)
    assert "Hard: the address,Unknown address,5.1.1,1," in file
    assert "Sender: ourselves,Our server is on a blocklist,5.7.1,1," in file


@pytest.mark.parametrize(
    ("decision", "code"), [("believe", Quality.NOT_EXISTING), ("dismiss", Quality.GOOD)]
)
def test_a_person_decides_about_a_bounce_without_our_key(
    browser: FlaskClient,
    database: Database,
    tenant_id: int,
    run: LedgerRun,
    monkeypatch: pytest.MonkeyPatch,
    decision: str,
    code: Quality,
) -> None:
    # The database holds the companies of other tests as well.
    monkeypatch.setattr(matching, "MOST_TENANTS", 10_000)
    with database.tenant_session(tenant_id) as session:
        last = customer_ids(session, tenant_id)[2]
        customer = session.get_one(Customer, (tenant_id, last))
        customer.email = f"only-{tenant_id}@mail1.test"
    intake = Intake(database, signer_of(TEST_SETTINGS))
    raw = sample("no_key_at_all", "", f"only-{tenant_id}@mail1.test")
    assert intake.receive(raw, Door.LISTENER).tenant_id == tenant_id
    page = unescape(browser.get(BOUNCES).get_data(as_text=True))
    assert "decide whether it counts" in page
    [address] = re.findall(r'href="(/settings/bounces/\d+)"', page)
    assert f">only-{tenant_id}@mail1.test</a>" in browser.get(address).get_data(as_text=True)
    form = {"csrf_token": token(browser, address)}
    assert browser.post(f"{address}/{decision}", data=form).status_code == 303
    assert "The quarantine is empty" in browser.get(BOUNCES).get_data(as_text=True)
    assert browser.post(f"{address}/{decision}", data=form).status_code == 409
    assert "Does it count?" not in browser.get(address).get_data(as_text=True)
    with database.tenant_session(tenant_id) as session:
        assert session.get_one(Customer, (tenant_id, last)).email_quality == code
