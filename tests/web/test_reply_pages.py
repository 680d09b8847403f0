"""What customers answered, as it is shown: by gateway, and in the profile."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from envoi.accounts.permissions import Role
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.feedback.reporting import reporter
from envoi.plugins import Plugins
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent, EventType
from factories.customers import customer_ids, make_customers
from pages import TEST_SETTINGS, SignIn

PHONE = "+4915112345678"


@pytest.fixture
def gateway_id(database: Database, tenant_id: int, plugins: Plugins) -> int:
    """A gateway of the company, whose first customer has the phone."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2)
        c = table(Customer).c
        first = (c.tenant_id == tenant_id, c.id == customer_ids(session, tenant_id)[0])
        session.execute(update(table(Customer)).where(*first).values(phone=PHONE))
        return set_gateway(
            session,
            plugins,
            TEST_SETTINGS,
            tenant_id,
            channel="sms",
            provider="smpp",
            name="Operator",
            values={"host": "smpp.test", "system_id": "shop"},
        ).id


@pytest.fixture
def replied(database: Database, tenant_id: int, gateway_id: int) -> str:
    """A reply of the customer, a stop and one of a stranger; the address of the page."""
    report = reporter(database, signer_of(TEST_SETTINGS), tenant_id, gateway_id)
    said = [(PHONE, "Is it <b>open</b> on Sunday?"), (PHONE, "СТОП"), ("+4915199999999", "Who?")]
    for phone, text in said:
        event = DeliveryEvent(
            type=EventType.REPLIED, occurred_at=datetime.now(UTC), recipient=phone, text=text
        )
        report(event, text.encode())
    return f"/settings/gateways/{gateway_id}/replies"


def shown(browser: FlaskClient, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def test_replies_are_listed_by_gateway(
    signed_in: SignIn, database: Database, tenant_id: int, replied: str
) -> None:
    browser = signed_in()
    page = shown(browser, replied)
    assert "Is it &lt;b&gt;open&lt;/b&gt; on Sunday?" in page
    assert page.count("Opt-out") == 1
    assert page.count("Unknown number") == 1
    assert page.index("Who?") < page.index("СТОП") < page.index("Sunday")
    with database.tenant_session(tenant_id) as session:
        [first, _] = customer_ids(session, tenant_id)
    assert f"/customers/{first}" in page
    assert PHONE in page
    assert replied in shown(browser, "/settings/gateways")


def test_a_profile_tells_what_the_customer_answered(
    signed_in: SignIn, database: Database, tenant_id: int, replied: str
) -> None:
    with database.tenant_session(tenant_id) as session:
        first, second = customer_ids(session, tenant_id)
    browser = signed_in()
    timeline = shown(browser, f"/customers/{first}?tab=timeline")
    assert "on Sunday?" in timeline
    assert "Unsubscribed: SMS" in timeline
    assert "Reply to a message, СТОП" in timeline
    assert "Who?" not in timeline
    assert "Sunday" not in shown(browser, f"/customers/{second}?tab=timeline")


def test_numbers_are_for_those_who_may_see_contacts(signed_in: SignIn, replied: str) -> None:
    page = shown(signed_in(Role.MARKETER), replied)
    assert PHONE not in page
    assert "on Sunday?" in page
    assert signed_in(Role.DESIGNER).get(replied).status_code == 403


def test_a_gateway_without_replies_says_so(signed_in: SignIn, gateway_id: int) -> None:
    assert "No replies yet" in shown(signed_in(), f"/settings/gateways/{gateway_id}/replies")


def test_the_page_speaks_russian(app: Flask, signed_in: SignIn, replied: str) -> None:
    page = shown(signed_in(Role.ADMINISTRATOR, "ru"), replied)
    assert "Отписка" in page
    assert "Неизвестный номер" in page
