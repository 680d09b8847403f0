"""Writing an SMS in a real browser: it counts while one types, and saves by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.mailings import service, variants
from factories.customers import index_customers, make_customers
from looking import faults

pytestmark = pytest.mark.browser

NAMES = ("Bo", "Maximiliana-Wilhelmina")
GREETING = "{{ client.properties.first_name }}, double points today until 20:00. "


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    """A draft for two customers with phones."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2)
        c = table(Customer).c
        rows = session.execute(table(Customer).select().where(c.tenant_id == tenant_id)).all()
        for row, name in zip(rows, NAMES, strict=True):
            values = {"first_name": name, "phone": f"+491510000{row.id:04d}"}
            mine = (c.tenant_id == tenant_id, c.id == row.id)
            session.execute(table(Customer).update().where(*mine).values(values))
        index_customers(session.connection(), tenant_id)
        return service.create_draft(session, tenant_id, channel="sms", name="Points expire").id


@pytest.fixture
def stored(database: Database, tenant_id: int, draft: int) -> Callable[[], dict[str, object]]:
    """Read the text as it is saved."""

    def read() -> dict[str, object]:
        with database.tenant_session(tenant_id) as session:
            mailing = service.get_mailing(session, tenant_id, draft)
            return dict(variants.get_variant(session, mailing, 1).content)

    return read


def test_the_counter_follows_the_typing(
    desk: Page, draft: int, stored: Callable[[], object]
) -> None:
    desk.goto(f"/mailings/{draft}/what")
    length = desk.locator("#length")
    desk.locator("#text").press_sequentially(GREETING)
    expect(length).to_contain_text(re.compile(r"5[0-9] characters, 1 part, GSM-7"))
    expect(length).to_contain_text("The longest of 2 customers: Maximiliana-Wilhelmina")
    desk.locator("#text").press("End")
    desk.locator("#text").press_sequentially("🎁")
    expect(length).to_contain_text("Unicode")
    phones = desk.frame_locator("iframe[name=preview]"), desk.frame_locator("iframe[name=preview2]")
    expect(phones[0].locator("body")).to_contain_text("Maximiliana-Wilhelmina, double points")
    expect(phones[1].locator("body")).to_contain_text("Bo, double points today until 20:00. 🎁")
    assert stored() == {"text": f"{GREETING}🎁"}


def test_a_switch_counts_at_once_and_a_variable_is_inserted(
    desk: Page, draft: int, stored: Callable[[], dict[str, object]]
) -> None:
    desk.goto(f"/mailings/{draft}/what")
    desk.fill("#text", "Привет ")
    length = desk.locator("#length")
    expect(length).to_contain_text("Unicode")
    desk.get_by_label("Spell in Latin letters").check()
    expect(length).to_contain_text("GSM-7")
    desk.locator("#text").press("End")
    desk.get_by_role("button", name="Insert a variable").click()
    desk.locator("[data-ev-insert='client.properties.first_name']").click()
    expect(desk.locator("#text")).to_have_value("Привет {{ client.properties.first_name }}")
    desk.get_by_role("button", name="Continue to When and review").click()
    desk.wait_for_url("**/when")
    assert stored()["transliterate"] is True
    expect(desk.locator("main")).to_contain_text("Привет first_name")


@pytest.mark.parametrize("channel", ["sms", "viber", "push", "social"])
def test_editors_of_every_channel_are_accessible(
    desk: Page, database: Database, tenant_id: int, draft: int, channel: str
) -> None:
    with database.tenant_session(tenant_id) as session:
        made = service.create_draft(session, tenant_id, channel=channel, name="Coffee week")
        content = {"text": "Double points {{ client.properties.first_name }} 🎁"}
        variants.save_content(session, tenant_id, made.id, made.version, content)
        other = made.id
    found = []
    for step in ("what", "when", "test"):
        desk.goto(f"/mailings/{other}/{step}")
        found += faults(desk, f"{channel}, {step}")
    assert "\n".join(found) == ""
