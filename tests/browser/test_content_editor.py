"""The content editor in a real browser: blocks by mouse and keyboard, preview, variants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from envoi.db import Database
from envoi.mailings import service, variants
from factories.customers import make_customers

pytestmark = pytest.mark.browser

PASTE = """(page, html) => {
    const data = new DataTransfer();
    data.setData("text/html", html);
    const options = {clipboardData: data, bubbles: true, cancelable: true};
    page.dispatchEvent(new ClipboardEvent("paste", options));
}"""


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    """A draft with a heading, a text and a footer, and some customers to look as."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 5)
        made = service.create_draft(session, tenant_id, channel="email", name="Coffee week")
        content: Mapping[str, Any] = {"subject": "Coffee", "sender_address": "club@shop.test"}
        content = variants.add_block(content, "heading", text="Kept")
        for kind in ("text", "footer"):
            content = variants.add_block(content, kind)
        variants.save_content(session, tenant_id, made.id, made.version, content)
        return made.id


def kinds(database: Database, tenant_id: int, draft: int) -> list[str]:
    """The types of the stored blocks in their order."""
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        return [b["type"] for b in variants.get_variant(session, mailing, 1).content["blocks"]]


def rows(page: Page) -> Locator:
    return page.locator("[data-ev-sort] > li")


def first_words(page: Page) -> list[str]:
    return [row.split("\n")[0].split(" ")[0] for row in rows(page).all_inner_texts()]


def test_blocks_are_added_moved_duplicated_deleted_and_brought_back(
    desk: Page, database: Database, tenant_id: int, draft: int
) -> None:
    desk.goto(f"/mailings/{draft}/what")
    preview = desk.frame_locator("iframe[name=preview]")
    expect(preview.locator("h1")).to_have_text("Kept")

    desk.locator("#add-block").click()
    desk.get_by_role("button", name="Button", exact=True).click()
    expect(desk.locator("#settings-title")).to_have_text("Button")
    expect(desk.locator("#settings-title")).to_be_focused()
    assert first_words(desk) == ["Heading", "Text", "Button", "Footer"]
    desk.locator("[id='block.label']").fill("Choose your tea")
    desk.locator("[id='block.link']").fill("https://shop.test/tea")
    desk.locator("[id='block.link']").press("Tab")
    expect(preview.locator("body")).to_contain_text("Choose your tea")
    expect(preview.locator("body")).to_contain_text("Kept")

    up = desk.locator(".ev-block.active [id^=up-]")
    up.focus()
    desk.keyboard.press("Enter")
    expect(rows(desk).nth(1)).to_contain_text("Choose your tea")
    expect(desk.locator(".ev-block.active [id^=up-]")).to_be_focused()

    desk.locator("#duplicate").click()
    expect(rows(desk)).to_have_count(5)
    desk.locator("#delete").click()
    expect(rows(desk)).to_have_count(4)
    desk.locator("#toasts").get_by_text("Undo").click()
    expect(rows(desk)).to_have_count(5)
    assert kinds(database, tenant_id, draft) == ["heading", "button", "button", "text", "footer"]
    found = Axe().run(desk)
    assert found.violations_count == 0, found.generate_report()


def test_a_button_that_only_has_the_focus_is_not_pressed_by_the_saving(
    desk: Page, database: Database, tenant_id: int, draft: int
) -> None:
    desk.goto(f"/mailings/{draft}/what")
    rows(desk).first.locator(".ev-block-main").click()
    expect(desk.locator("#settings-title")).to_have_text("Heading")
    state = desk.locator("#what-state")
    for version, stop in enumerate(("#delete", "#duplicate", "[name=next] >> nth=0"), start=3):
        desk.locator("[id='block.text']").fill(f"Coffee {version}")
        desk.locator(stop).focus()
        expect(state).to_have_attribute("data-ev-version", str(version))
    assert kinds(database, tenant_id, draft) == ["heading", "text", "footer"]
    assert f"/mailings/{draft}/what" in desk.url


def test_a_block_is_dragged(desk: Page, database: Database, tenant_id: int, draft: int) -> None:
    desk.goto(f"/mailings/{draft}/what")
    grips = desk.locator("[data-ev-sort] .ev-grip")
    start, end = grips.nth(0).bounding_box(), rows(desk).nth(1).bounding_box()
    assert start
    assert end
    desk.mouse.move(start["x"] + 4, start["y"] + 8)
    desk.mouse.down()
    desk.mouse.move(start["x"] + 4, start["y"] + 20, steps=4)
    desk.mouse.move(start["x"] + 4, end["y"] + end["height"] - 2, steps=8)
    desk.mouse.up()
    expect(rows(desk).nth(0)).to_contain_text("Text")
    expect(desk.locator("#what-state")).to_have_attribute("data-ev-version", "3")
    assert kinds(database, tenant_id, draft) == ["text", "heading", "footer"]


def test_text_is_written_pasted_and_given_a_variable(desk: Page, draft: int) -> None:
    desk.goto(f"/mailings/{draft}/what")
    rows(desk).nth(1).locator(".ev-block-main").click()
    page = desk.locator("[id='block.html-page']")
    expect(page).to_be_visible()
    page.click()
    desk.keyboard.type("Dear ")
    desk.get_by_role("toolbar").get_by_role("button", name="Insert a variable").click()
    desk.locator("#variable-fallback").fill("friend")
    desk.locator("#variable-search").fill("first name")
    desk.locator("[data-ev-insert='client.properties.first_name']").click()
    page.evaluate(PASTE, "<p style='mso-x:1' onclick='x()'>, <b>hello</b><script>x()</script></p>")
    expect(desk.locator("[id='block.html']")).to_have_value(re.compile(r"first_name.*<b>hello</b>"))
    body = desk.frame_locator("iframe[name=preview]").locator("body")
    expect(body).to_contain_text("hello")
    assert "mso-x" not in desk.locator("[id='block.html']").input_value()


def test_variants_share_the_recipients(desk: Page, draft: int) -> None:
    desk.goto(f"/mailings/{draft}/what")
    desk.locator("#add-variant").click()
    expect(desk.locator("#variant-2")).to_have_attribute("aria-pressed", "true")
    split = desk.locator("#share-1")
    split.focus()
    desk.keyboard.press("ArrowRight")
    expect(split).to_have_attribute("aria-valuetext", re.compile("51"))
    expect(desk.locator("#what-state")).to_have_attribute("data-ev-version", "4")
    desk.locator("#equal-shares").click()
    expect(split).to_have_value("50")
    expect(desk.locator("#equal-shares")).to_be_focused()
    desk.locator("#add-variant").click()
    expect(desk.locator("#share-3")).to_be_visible()
    desk.get_by_role("button", name="More for variant A").click()
    expect(desk.locator("#share-rest")).to_contain_text("too many")
    expect(desk.locator("#what-state")).to_contain_text("100 % together")
