"""Every form that refuses what was filled in: axe finds nothing, nothing is too wide."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from every_page import asked, company, seen, visited
from looking import faults

__all__ = ["asked", "company", "seen"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ASKING = """() => {
    const asks = "input:not([type]), input:is([type=text], [type=password]), textarea";
    const forms = [...document.querySelectorAll("form[method=post]")];
    return forms.map((form, place) => [place, form.getAttribute("action"), form])
        .filter(([, , form]) => [...form.elements].some(field => field.matches(asks)))
        .map(([place, action]) => [place, new URL(action || location, location).pathname]);
}"""
"""The forms of a page that ask for words, by their place."""

FILLED_IN_WRONG = """([place, words]) => {
    const form = document.querySelectorAll("form[method=post]")[place];
    for (const field of form.elements) {
        if (field.matches("input:not([type=hidden], [type=checkbox], [type=radio], [type=file])"
            + ", textarea")) field.value = words;
    }
    HTMLFormElement.prototype.submit.call(form);
}"""
EDITOR = "/what"
"""What its form refuses is said beside the fields by the script that saves."""
WRONG = ("", "~" * 3_000)


def test_every_form_that_refuses(seen: Page, asked: list[str]) -> None:
    found: list[str] = []
    refused: set[str] = set()
    tried: set[str] = set()
    for url in visited(seen, asked):
        for place, action in seen.evaluate(ASKING):
            form = re.sub(r"\d+", "0", action)
            if form in tried or form.endswith(EDITOR):
                continue
            tried.add(form)
            if refuses(seen, url, place):
                refused.add(form)
                found += faults(seen, f"{form} refused, on {url}")
    assert len(refused) > 15, sorted(tried - refused)
    assert "\n".join(found) == ""


def refuses(page: Page, url: str, place: int) -> bool:
    """Fill a form in with nothing and with too much, until it is refused."""
    for words in WRONG:
        page.goto(url)
        with page.expect_navigation(timeout=20_000) as answered:
            page.evaluate(FILLED_IN_WRONG, [place, words])
        if answered.value and answered.value.status in (409, 422):
            return True
    return False
