"""From an empty company, whose gateway is set up, to a scheduled mailing, counting clicks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page, expect

from envoi.customers.import_run import run_import
from envoi.db import Database
from envoi.plugins import Plugins
from factories.delivery import an_installation, smtp_gateway

pytestmark = pytest.mark.browser

MOST = 25
CUSTOMERS = "Customer ID;First name;Gender;Email\n" + "".join(
    f"C-{n};Anna{n};F;anna{n}@mail.test\n" for n in range(20)
)


@dataclass
class Hand:
    """A hand that counts its clicks; what has the focus already needs none."""

    page: Page
    clicks: int = 0

    def click(self, wanted: Locator) -> None:
        self.clicks += 1
        wanted.click()

    def fill(self, wanted: Locator, text: str) -> None:
        if not wanted.evaluate("field => field === document.activeElement"):
            self.clicks += 1
        wanted.fill(text)

    def press(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("button", name=name).first)

    def follow(self, name: str) -> None:
        self.click(self.page.get_by_role("link", name=name).first)


def test_a_first_mailing_is_scheduled(
    desk: Page, app: Flask, database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path
) -> None:
    with database.tenant_session(tenant_id) as session:
        smtp_gateway(session, an_installation(database, plugins, tmp_path), tenant_id, 25)
    hand = Hand(desk)
    desk.goto("/")
    import_customers(hand, app, tenant_id)
    create_segment(hand)
    write(hand)
    schedule(hand)
    expect(desk.locator("h1")).to_contain_text("Created")
    assert hand.clicks <= MOST


def import_customers(hand: Hand, app: Flask, tenant_id: int) -> None:
    page = hand.page
    hand.follow("Import customers")
    with page.expect_file_chooser() as chooser:
        hand.click(page.locator("#file"))
    name, kind = "shop.csv", "text/csv"
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": CUSTOMERS.encode()})
    hand.press("Upload file")
    hand.press("Check file")
    expect(page.locator("#import-course")).to_be_visible()
    number = int(re.findall(r"/import/(\d+)", page.url)[0])
    run_import(app.extensions["envoi"], tenant_id, number)
    hand.press(re.compile(r"Import 20 rows"))
    expect(page.locator("#import-course")).to_contain_text("the import goes on")
    run_import(app.extensions["envoi"], tenant_id, number)


def create_segment(hand: Hand) -> None:
    page = hand.page
    hand.follow("Summary")
    hand.follow("Create segment")
    hand.fill(page.locator("#name"), "Women")
    hand.click(page.locator("summary", has_text="Add condition"))
    # A person types once the field has the focus; the browser gives it a moment after the click.
    expect(page.get_by_label("Find a condition by its name or group").first).to_be_focused()
    page.keyboard.type("gender")
    page.keyboard.press("Enter")
    hand.clicks += 1
    page.get_by_label("Gender: Value").select_option(label="female")
    expect(page.locator("#result")).to_contain_text("20")
    hand.press("Save segment")


def write(hand: Hand) -> None:
    page = hand.page
    hand.click(page.locator("summary", has_text="Create mailing"))
    hand.press("Email")
    hand.press("Continue to What")
    hand.fill(page.locator("#subject"), "Your coffee is waiting")
    hand.fill(page.locator("#sender_address"), "club@shop.test")
    hand.follow("Templates")
    hand.click(page.locator("dialog[open] button", has_text="Use template").first)
    expect(page.locator("[data-ev-sort] > li").first).to_be_visible()
    hand.press("Continue to When and review")


def schedule(hand: Hand) -> None:
    page = hand.page
    hand.click(page.locator("label", has_text="Postpone mailing"))
    hand.fill(page.locator("#date"), "2027-03-01")
    page.locator("#time").fill("10:00")
    page.locator("#time").press("Tab")
    expect(page.locator("dl.ev-facts").first).to_contain_text("1 Mar 2027, 10:00")
    hand.press(re.compile(r"Send to \d+ recipients"))
    hand.click(page.locator("dialog[open] button[data-ev-confirm]"))
