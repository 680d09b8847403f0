"""The main journeys with the keys alone: the focus is never lost, and never caught."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import FilePayload, Locator, Page, expect
from sqlalchemy import text

from envoi.customers.import_run import run_import
from envoi.db import Database
from envoi.delivery.models import RunStatus
from envoi.mailings import service, variants
from envoi.plugins import Plugins
from factories.customers import make_customers
from factories.delivery import an_installation, smtp_gateway
from ledger_rows import add_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_STEPS = 150
HAS_FOCUS = "element => element === document.activeElement"
NOBODY = "() => document.activeElement !== document.body"


@pytest.fixture
def company(database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path) -> int:
    """A company with customers and a way to send."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 20)
        smtp_gateway(session, an_installation(database, plugins, tmp_path), tenant_id, 25)
    return tenant_id


@pytest.mark.usefixtures("company")
def test_a_mailing_is_created_written_and_scheduled(desk: Page) -> None:
    desk.goto("/mailings/new")
    desk.keyboard.type("Coffee week")
    press(desk, button(desk, "Create draft"), leads_away=True)
    press(desk, button(desk, "Choose All customers"))
    press(desk, button(desk, "Continue to What"), leads_away=True)
    expect(desk.locator("#subject")).to_be_visible()
    type_into(desk, "#subject", "Your coffee is waiting")
    type_into(desk, "#sender_address", "club@shop.test")
    written = {"Heading": "block.text", "Text": "block.html-page", "Footer": ""}
    for kind, field in written.items():
        press(desk, desk.locator("#add-block"))
        press(desk, desk.get_by_role("button", name=kind, exact=True))
        expect(desk.locator("#settings-title")).to_have_text(kind)
        expect(desk.locator("#settings-title")).to_be_focused()
        if field:
            type_into(desk, f"[id='{field}']", "Coffee is cheaper")
    press(desk, desk.locator("[data-ev-sort] > li").nth(1).locator("[id^=up-]"))
    expect(desk.locator("[data-ev-sort] > li").first).to_contain_text("Text")
    keeps_the_focus(desk)
    press(desk, button(desk, "Continue to When and review"), leads_away=True)
    schedule(desk)


def schedule(page: Page) -> None:
    tab_to(page, page.locator("[name=start][value=now]"))
    page.keyboard.press("ArrowDown")
    expect(page.locator("[name=start][value=later]")).to_be_checked()
    keeps_the_focus(page)
    tab_to(page, page.locator("#date"))
    page.keyboard.type("03012027")
    tab_to(page, page.locator("#time"))
    page.keyboard.type("1000AM")
    page.keyboard.press("Tab")
    expect(page.locator("dl.ev-facts").first).to_contain_text("10:00")
    keeps_the_focus(page)
    press(page, button(page, re.compile(r"Send to \d+ recipients")))
    press(page, page.locator("dialog[open] button[data-ev-confirm]"), leads_away=True)
    expect(page.locator("h1")).to_contain_text("Created")


@pytest.mark.usefixtures("company")
def test_a_segment_of_three_levels_is_built(desk: Page) -> None:
    desk.goto("/segments/new")
    type_into(desk, "#name", "Women of Omsk")
    for level in (1, 2, 3):
        group = desk.locator(f".ev-group-{level}")
        if level > 1:
            above = desk.locator(f".ev-group-{level - 1}")
            press(desk, above.get_by_role("button", name="Add group"))
            expect(group).to_be_visible()
        press(desk, group.locator("summary", has_text="Add condition").last)
        expect(group.locator("details[open] [data-ev-filter]")).to_be_focused()
        desk.keyboard.type("gender")
        desk.keyboard.press("Enter")
        expect(desk.locator(".ev-rule-name")).to_have_count(level)
        keeps_the_focus(desk)
        tab_to(desk, group.locator("select[name$='.value']").last)
        desk.keyboard.type("female")
    press(desk, button(desk, "Save segment").first, leads_away=True)
    expect(desk.locator("h1")).to_contain_text("Women of Omsk")


def test_a_running_mailing_is_paused(desk: Page, database: Database, tenant_id: int) -> None:
    run = add_run(database, tenant_id)
    with database.tenant_session(tenant_id) as session:
        session.execute(
            text(
                "UPDATE run SET status = :status, finished_at = NULL,"
                " expires_at = now() + interval '1 day' WHERE tenant_id = :tenant"
            ),
            {"status": int(RunStatus.SENDING), "tenant": tenant_id},
        )
    desk.goto(f"/mailings/{run.mailing_id}/progress")
    pause = button(desk, "Pause")
    tab_to(desk, pause)
    with desk.expect_response(re.compile("/progress$")):
        pass
    expect(pause).to_be_focused()
    desk.keyboard.press("Enter")
    expect(button(desk, "Resume")).to_be_visible()


def test_a_mailing_is_moved_in_the_calendar(desk: Page, database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        made = service.create_draft(session, tenant_id, channel="email", name="Coffee week")
        session.execute(
            text("UPDATE mailing SET starts_at = '2027-03-10 09:00+00' WHERE id = :id"),
            {"id": made.id},
        )
    desk.goto("/calendar/2027/3")
    press(desk, desk.get_by_role("link", name="Reschedule Coffee week").first)
    expect(desk.locator("#ask #date")).to_be_visible()
    tab_to(desk, desk.locator("#ask #date"))
    desk.keyboard.type("03122027")
    press(desk, desk.locator("#ask").get_by_role("button", name="Reschedule"), leads_away=True)
    expect(desk.locator("main")).to_contain_text("Coffee week")
    with database.tenant_session(tenant_id) as session:
        start = service.get_mailing(session, tenant_id, made.id).starts_at
    assert start is not None
    assert start.date().isoformat() == "2027-03-12"


def test_a_test_message_is_sent(desk: Page, database: Database, company: int) -> None:
    with database.tenant_session(company) as session:
        made = service.create_draft(session, company, channel="email", name="Coffee week")
        content: Mapping[str, Any] = {"subject": "Coffee", "sender_address": "club@shop.test"}
        content = variants.add_block(content, "heading", text="Coffee is cheaper")
        content = variants.add_block(content, "footer")
        variants.save_content(session, company, made.id, made.version, content)
    desk.goto(f"/mailings/{made.id}/what")
    press(desk, desk.get_by_role("link", name="Send test message"))
    dialog = desk.locator("dialog[open]")
    type_into(desk, "dialog[open] [name=addresses]", "colleague@shop.test")
    press(desk, dialog.get_by_role("button", name="Send test message"))
    expect(dialog.locator("#test-result")).to_contain_text("colleague@shop.test")
    keeps_the_focus(desk)
    desk.keyboard.press("Escape")
    expect(desk.get_by_role("link", name="Send test message")).to_be_focused()


def test_a_file_is_mapped_and_imported(desk: Page, app: Flask, tenant_id: int) -> None:
    file: FilePayload = {
        "name": "shop.csv",
        "mimeType": "text/csv",
        "buffer": b"Number;Called\nC-1;Anna\n",
    }
    # Chromium hands its dialog over from here on. Asked for it only when Enter is pressed, a
    # busy one hears the key first, opens its own dialog, and nobody ever answers that.
    desk.on("filechooser", lambda dialog: dialog.set_files(file))
    desk.goto("/customers/import/")
    press(desk, desk.locator("#file"))
    expect(desk.locator("#file")).to_have_value(re.compile("shop.csv"))
    press(desk, button(desk, "Upload file"), leads_away=True)
    for column, wanted in enumerate(("External id", "First name")):
        choose(desk, desk.locator(f"#column-{column}"), wanted)
    press(desk, button(desk, "Check file"), leads_away=True)
    for seen in ("nothing is written", "the import goes on"):
        expect(desk.locator("#import-course")).to_contain_text(seen)
        number = int(re.findall(r"/import/(\d+)", desk.url)[0])
        run_import(app.extensions["envoi"], tenant_id, number)
        if "nothing" in seen:
            press(desk, button(desk, "Import 1 row"), leads_away=True)
    expect(desk.locator("main")).to_contain_text("Import another file")


def tab_to(page: Page, wanted: Locator) -> None:
    """Step with Tab until something has the focus; whatever catches the focus fails."""
    wanted.wait_for(state="attached")
    for _ in range(MOST_STEPS):
        if wanted.evaluate(HAS_FOCUS):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {wanted}")


def press(page: Page, wanted: Locator, *, leads_away: bool = False) -> None:
    """Reach something with Tab and press Enter; on the same page the focus is kept."""
    tab_to(page, wanted)
    page.keyboard.press("Enter")
    if not leads_away:
        keeps_the_focus(page)


def type_into(page: Page, selector: str, words: str) -> None:
    tab_to(page, page.locator(selector))
    page.keyboard.type(words)


def choose(page: Page, field: Locator, words: str) -> None:
    """Choose from a list by typing the beginning of a choice."""
    tab_to(page, field)
    page.keyboard.type(words)
    expect(field.locator("option:checked")).to_contain_text(words)


def keeps_the_focus(page: Page) -> None:
    page.wait_for_load_state()
    page.wait_for_function(NOBODY)


def button(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("button", name=name)
