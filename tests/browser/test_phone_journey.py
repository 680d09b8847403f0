"""The virtual phone in a real browser: it shows what arrives, and is not in the way of typing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from envoi.app import create_app
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.demo.phone import Answer
from envoi.demo.services import Service, control_token
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi_simulators.control import control_app
from envoi_simulators.phone import Phone
from envoi_simulators.smstraffic import SmsTraffic
from factories.customers import customer_ids, make_customers
from looking import WIDE, faults, sign_in
from pages import TEST_SETTINGS, served

pytestmark = pytest.mark.browser

ADDRESS = "+4915112345678"


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone(Answer.DELIVER)
    yield made
    made.close()


@pytest.fixture
def page(
    phone: Phone,
    database: Database,
    plugins: Plugins,
    employee: Callable[..., str],
    chromium: Browser,
    tmp_path: Path,
) -> Iterator[Page]:
    services = {Service.SMSTRAFFIC: SmsTraffic(phone=phone)}
    key = TEST_SETTINGS.secret_key
    with served(control_app(control_token(TEST_SETTINGS), phone, services)) as url:
        port = int(url.rpartition(":")[2])
        settings = Settings(data_dir=tmp_path, secret_key=key, simulators_port=port)
        with served(create_app(Installation(settings, database, plugins))) as address:
            context = chromium.new_context(base_url=address, reduced_motion="reduce", viewport=WIDE)
            found = context.new_page()
            sign_in(found, employee())
            yield found
            context.close()
    services[Service.SMSTRAFFIC].close()


@pytest.fixture
def customer_id(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1)
        [found] = customer_ids(session, tenant_id)
        c = table(Customer).c
        mine = (c.tenant_id == tenant_id, c.id == found)
        session.execute(update(table(Customer)).where(*mine).values(phone=ADDRESS))
    return found


def test_what_arrives_is_answered_and_delivered(page: Page, phone: Phone, customer_id: int) -> None:
    page.goto(f"/demo/phone/{customer_id}")
    page.select_option("#answer", "wait")
    page.locator("#manners").get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_contain_text("answers so from the next message on")
    reports: SimpleQueue[str] = SimpleQueue()
    replies: SimpleQueue[str] = SimpleQueue()
    text = "Double points. Stop: answer STOP"
    phone.arrive(channel="sms", address=ADDRESS, text=text, report=reports.put, reply=replies.put)
    expect(page.locator(".ev-msg.active")).to_contain_text(text)
    page.fill("#reply-text", "STOP")
    with page.expect_response(lambda answer: f"/demo/phone/{customer_id}" in answer.url):
        pass
    expect(page.locator("#reply-text")).to_have_value("STOP")
    assert faults(page, "phone") == []
    page.get_by_role("button", name="Send", exact=True).click()
    assert replies.get(timeout=10) == "STOP"
    page.click("#act-deliver")
    assert reports.get(timeout=10) == "delivered"
    expect(page.locator("#live")).to_contain_text("Delivered")


def test_a_service_is_set_up_and_fails(page: Page, customer_id: int) -> None:
    page.goto(f"/demo/phone/{customer_id}")
    page.get_by_role("link", name="Simulated services").click()
    page.get_by_role("button", name="Set up SmsTraffic", exact=True).first.click()
    expect(page.locator("body")).to_contain_text("What it sends arrives on the virtual phone")
    page.goto("/demo/services")
    page.select_option("#service", label="SmsTraffic")
    page.select_option("#fault", label="It refuses messages")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("table")).to_contain_text("It refuses messages")
    assert faults(page, "services") == []
