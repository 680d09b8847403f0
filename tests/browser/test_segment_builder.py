"""The segment builder in a real browser: build, count while typing, save; no errors of access."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from envoi.db import Database
from factories.customers import make_customers, make_receipts

pytestmark = pytest.mark.browser

HASTE = """(wait) => {
    const wanted = ["city", "gender", "last_name", "first_name", "middle_name"];
    const add = () => {
        const list = document.getElementById("t.new");
        list.value = `attribute:${wanted.shift()}`;
        list.closest("details").querySelector("button").click();
        document.querySelector("[id='t.match-any']").click();
        if (wanted.length) setTimeout(add, wait);
    };
    add();
}"""
"""Adds conditions without waiting for answers, and changes a field after each."""


def test_a_segment_is_built_and_saved(desk: Page, database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
    desk.goto("/segments/new")
    desk.fill("#name", "Siberia")
    add(desk, "attribute:city")
    shows(desk.locator("#result"), "Complete the conditions")
    value = desk.locator('[id="t.0.value"]')
    value.fill("omsk")
    value.press("Tab")
    shows(desk.locator("#result"), "25.0")
    desk.select_option('[id="t.0.operator"]', "in")
    values = desk.locator('[id="t.0.values"]')
    expect(values).to_have_value("omsk")
    values.fill("Omsk, Kazan")
    values.press("Tab")
    expect(desk.locator("#result .ev-big")).to_have_text("20")
    shows(desk.locator("#follows"), "City is one of: Omsk, Kazan.")
    add(desk, "attribute:gender")
    desk.select_option('[id="t.1.value"]', "female")
    shows(desk.locator("#follows"), " and Gender is female")
    desk.locator("label", has_text="Any").click()
    shows(desk.locator("#follows"), " or Gender is female")
    desk.get_by_role("button", name="Save segment").first.click()
    shows(desk.locator("h1"), "Siberia")
    shows(desk.locator("#result"), "Exact")
    found = Axe().run(desk)
    assert found.violations_count == 0, found.generate_report()


def test_conditions_are_found_by_typing_and_moved_by_keyboard(
    desk: Page, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
    desk.goto("/segments/new")
    for number, wanted in enumerate(("gend", "last name")):
        desk.locator("summary", has_text="Add condition").last.press("Enter")
        expect(desk.locator("details[open] > * > [data-ev-filter]")).to_be_focused()
        desk.keyboard.type(wanted)
        desk.keyboard.press("Enter")
        expect(desk.locator(f'[id="t.{number}"]')).to_be_focused()
    expect(desk.locator(".ev-rule-name")).to_have_text(["Gender", "Last name"])
    desk.get_by_label("More for Last name").press("Enter")
    desk.get_by_role("button", name="Move up").press("Enter")
    expect(desk.locator(".ev-rule-name")).to_have_text(["Last name", "Gender"])
    desk.get_by_label("More for Gender").press("Enter")
    desk.keyboard.press("Escape")
    expect(desk.get_by_role("button", name="Move up")).to_have_count(0)


@pytest.mark.parametrize("wait", [0, 30, 90])
def test_nothing_done_in_haste_is_lost(desk: Page, wait: int) -> None:
    desk.goto("/segments/new")
    desk.evaluate(HASTE, wait)
    names = ["City", "Gender", "Last name", "First name", "Middle name"]
    expect(desk.locator(".ev-rule-name")).to_have_text(names)
    expect(desk.locator("[id='t.match-any']")).to_be_checked()
    shows(desk.locator("#result"), "Complete the conditions")


def test_products_are_found_by_name_and_kept_by_number(
    desk: Page, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
        make_receipts(session, tenant_id, each=2, products=30)
    desk.goto("/segments/new")
    add(desk, "purchases:product")
    typed, line = desk.locator('[id="t.0.values"]'), desk.locator('[name="t.0.values"]')
    tags = desk.locator(".ev-tags .ev-tag")
    typed.press_sequentially("duct 30")
    offered = desk.locator('[id="t.0.values.offers"] option')
    expect(offered).to_have_attribute("label", "P-30 – Product 30")
    typed.press("Enter")
    expect(tags).to_have_text(["P-30 – Product 30"])
    expect(desk.locator("#announcer")).to_have_text("Added: P-30 – Product 30")
    typed.fill("P-7, P-8,")
    expect(line).to_have_value("P-30, P-7, P-8")
    shows(desk.locator("#follows"), "Products bought any of: Product 30, Product 7, Product 8.")
    desk.get_by_role("button", name="Remove P-30 – Product 30").press("Enter")
    expect(typed).to_be_focused()
    typed.press("Backspace")
    expect(tags).to_have_text(["P-7"])
    desk.select_option('[id="t.0.operator"]', "all_of")
    expect(tags).to_have_text(["P-7 – Product 7"])
    shows(desk.locator("#follows"), "Products bought all of: Product 7.")
    found = Axe().run(desk)
    assert found.violations_count == 0, found.generate_report()


def shows(part: Locator, words: str) -> None:
    """Wait for an answer of the server."""
    expect(part).to_contain_text(words)


def add(page: Page, criterion: str) -> None:
    page.locator("summary", has_text="Add condition").last.click()
    page.select_option('[name="t.new"]', criterion)
    page.get_by_role("button", name="Add this condition").last.click()
