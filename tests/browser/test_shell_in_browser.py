"""The shell in a real browser: accessible in light and dark, dialogs by keyboard."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {node['html'][:120]}" for v in found for node in v["nodes"]]


def test_the_sign_in_page_is_accessible(visitor: Page) -> None:
    visitor.goto("/login")
    assert violations(visitor) == []
    visitor.fill("#email", "nobody@fieldmarket.example")
    visitor.fill("#password", "not the password")
    visitor.click("main button")
    visitor.wait_for_selector("[role=alert]")
    assert violations(visitor) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_component_is_accessible_wide_and_narrow(desk: Page, scheme: str) -> None:
    desk.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    desk.goto("/components")
    assert desk.locator("html").get_attribute("data-bs-theme") == scheme
    assert violations(desk) == []
    desk.set_viewport_size({"width": 390, "height": 844})
    assert violations(desk) == []


def test_no_page_scrolls_sideways_at_320_pixels(desk: Page) -> None:
    desk.set_viewport_size({"width": 320, "height": 844})
    desk.goto("/components")
    assert desk.evaluate("document.documentElement.scrollWidth") == 320


def test_the_confirm_button_waits_for_the_number(desk: Page) -> None:
    desk.goto("/components")
    desk.click("[data-ev-open=confirm-sample]")
    button = desk.locator("#confirm-sample [data-ev-confirm]")
    expect(button).to_be_disabled()
    assert desk.evaluate("document.activeElement.id") == "confirm-sample-typed"
    desk.keyboard.type("13 256")
    expect(button).to_be_disabled()
    desk.keyboard.press("Backspace")
    desk.keyboard.type("7")
    expect(button).to_be_enabled()
    assert violations(desk) == []
    desk.keyboard.press("Escape")
    expect(desk.locator("#confirm-sample")).to_be_hidden()


def test_signing_out_ends_the_session(desk: Page) -> None:
    desk.goto("/components")
    desk.click("#employee-wide")
    desk.click(".dropdown-menu.show >> text=Sign out")
    desk.wait_for_selector("#password")
    desk.goto("/components")
    assert "/login" in desk.url
