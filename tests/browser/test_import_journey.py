"""An import by hand: uploaded, mapped, checked and done, on pages that everybody can use."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page, expect

from envoi.customers.import_run import run_import

pytestmark = pytest.mark.browser

CONTENT = "Customer ID;Name;Birthday;Shoe\nC-1;Anna;03/04/1990;38\n;Boris;;\nC-2;=1+1;soon;\n"


def test_a_file_is_imported_by_hand(desk: Page, app: Flask, tenant_id: int) -> None:
    _import_by_hand(desk, app, tenant_id, _look)


def test_a_file_is_imported_without_scripts(unscripted: Page, app: Flask, tenant_id: int) -> None:
    _import_by_hand(unscripted, app, tenant_id, lambda _: None)


def _import_by_hand(page: Page, app: Flask, tenant_id: int, look: Callable[[Page], None]) -> None:
    here = app.extensions["envoi"]
    page.goto("/customers/import/")
    file = {"name": "shop.csv", "mimeType": "text/csv", "buffer": CONTENT.encode()}
    page.set_input_files("#file", file)  # type: ignore[arg-type]
    page.click("text=Upload file")
    expect(page.locator("#column-0")).to_have_value("external_id")
    look(page)
    page.click("text=Check file")
    expect(page.locator(".alert-danger")).to_contain_text("what comes first")
    look(page)
    page.select_option("#dates", "day")
    page.click("text=Check file")
    expect(page.locator("#import-course")).to_contain_text("nothing is written")
    number = int(re.findall(r"/import/(\d+)", page.url)[0])
    look(page)
    run_import(here, tenant_id, number)
    page.goto(f"/customers/import/{number}")
    expect(page.locator("main")).to_contain_text("External id is empty")
    look(page)
    page.click("text=Import 1 row")
    expect(page.locator("#import-course")).to_contain_text("the import goes on")
    run_import(here, tenant_id, number)
    page.goto(f"/customers/import/{number}")
    expect(page.locator("main")).to_contain_text("Import another file")
    look(page)


def _look(page: Page) -> None:
    """Find nothing that axe complains of, and nothing too wide on a phone."""
    for width in (1440, 390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
