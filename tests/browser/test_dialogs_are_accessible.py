"""Every dialog, menu and fold of every page, opened: axe finds nothing, nothing is too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from every_page import asked, company, seen, visited
from looking import COVERED, faults

__all__ = ["asked", "company", "seen"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OPENERS = "[data-ev-open]:visible, main summary:visible, main [data-bs-toggle=dropdown]:visible"
OPENED = "dialog[open], main details[open], .dropdown-menu.show"


def test_open_dialogs_and_menus(seen: Page, asked: list[str]) -> None:
    found: list[str] = []
    opened: set[str] = set()
    for url in visited(seen, asked):
        words = [said.strip() for said in seen.locator(OPENERS).all_inner_texts()]
        places = {said: place for place, said in enumerate(words) if not said or said not in opened}
        for earlier, (said, place) in enumerate(places.items()):
            if earlier:
                seen.goto(url)
            seen.locator(OPENERS).nth(place).click()
            # What was folded out to begin with is folded up now.
            within = OPENED if seen.locator(OPENED).count() else None
            found += faults(seen, f"{url}, {said} opened", COVERED, within)
        opened.update(words)
    assert len(opened) > 20, sorted(opened)
    assert "\n".join(found) == ""
