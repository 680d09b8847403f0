"""Where scripts are off: lists, views and forms work by plain pages and plain posts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from envoi.db import Database
from envoi.plugins import Plugins
from factories.customers import index_customers, make_customers
from factories.delivery import an_installation, smtp_gateway

pytestmark = pytest.mark.browser

CUSTOMERS = 40


@pytest.fixture
def gateway(database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path) -> None:
    """A company with customers and a way to send."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, CUSTOMERS)
        index_customers(session.connection(), tenant_id)
        site = an_installation(database, plugins, tmp_path)
        smtp_gateway(session, site, tenant_id, 25)


@pytest.mark.usefixtures("gateway")
def test_from_a_segment_to_a_scheduled_mailing(unscripted: Page) -> None:
    page = unscripted
    create_segment(page)
    page.locator("summary", has_text="Create mailing").click()
    page.get_by_role("button", name="Email").click()
    page.fill("#control_share", "10")
    button(page, "Continue to What").click()
    expect(page.locator("h1")).to_contain_text("Women")
    page.fill("#subject", "Your coffee is waiting")
    page.fill("#sender_address", "club@shop.test")
    add_block(page, "Text")
    page.fill("[id='block.html']", "<p>Coffee is cheaper.</p>")
    add_block(page, "Footer")
    button(page, "Continue to When and review").first.click()
    page.check("[name=start][value=later]", force=True)
    page.fill("#date", "2027-03-01")
    page.fill("#time", "10:00")
    button(page, "Save settings").click()
    expect(page.locator("main")).to_contain_text("1 Mar 2027, 10:00")
    button(page, re.compile(r"Send to \d+ recipients")).click()
    expect(page.locator("h1")).to_contain_text("Created")


@pytest.mark.usefixtures("gateway")
def test_lists_are_searched_sorted_and_turned(unscripted: Page) -> None:
    page = unscripted
    page.goto("/customers/?size=10")
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.fill("[name=q]", "C-7")
    button(page, "Show").first.click()
    expect(page.locator("tbody tr")).to_have_count(1)
    create_segment(page)
    page.goto("/segments/")
    page.fill("[name=q]", "nothing")
    page.locator("[name=q]").press("Enter")
    expect(page).to_have_url(re.compile("q=nothing"))


def test_a_policy_and_the_settings_are_saved(unscripted: Page) -> None:
    page = unscripted
    page.goto("/settings/policies/new")
    page.fill("#name", "Twice a week")
    button(page, "Add rule").click()
    button(page, "Save policy").click()
    expect(page.locator("main")).to_contain_text("Twice a week")
    page.goto("/settings/general")
    page.fill("#contact_name", "Anna Keller")
    button(page, "Save").first.click()
    page.goto("/settings/general")
    expect(page.locator("#contact_name")).to_have_value("Anna Keller")


def create_segment(page: Page) -> None:
    page.goto("/segments/new")
    page.fill("#name", "Women")
    page.locator("summary", has_text="Add condition").click()
    page.select_option('[name="t.new"]', "attribute:gender")
    button(page, "Add this condition").click()
    page.select_option('[id="t.0.value"]', "female")
    button(page, "Save segment").first.click()
    expect(page.locator("h1")).to_contain_text("Women")


def add_block(page: Page, kind: str) -> None:
    page.locator("#add-block").click()
    page.get_by_role("button", name=kind, exact=True).click()
    expect(page.locator("#settings-title")).to_have_text(kind)


def button(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("button", name=name)
