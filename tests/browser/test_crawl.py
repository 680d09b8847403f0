"""Every link from the first page on: no refusals of the policy, no strangers, nothing too wide."""

from __future__ import annotations

import re
from collections import Counter, deque
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page

from every_page import company, seen
from looking import too_wide

__all__ = ["company", "seen"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OF_ONE_KIND = 2
"""How many addresses are visited that differ only in their numbers and values."""

LINKS = """() => [...document.querySelectorAll("a[href]:not([download])")]
    .map(link => link.href).filter(url => url.startsWith(location.origin))"""


def test_every_link_leads_to_a_page_that_is_sound(seen: Page) -> None:
    visited, found = crawl(seen)
    assert visited > 60
    assert "\n".join(found) == ""


def crawl(page: Page) -> tuple[int, list[str]]:
    """Follow the links from the first page on; return how many pages there are, and the faults."""
    waiting, seen, kinds = deque(["/"]), {"/"}, Counter[str]()
    visited, found = 0, list[str]()
    while waiting:
        url = waiting.popleft()
        answer = page.request.get(url)
        if not answer.ok:
            found.append(f"{page.url}: leads to {url}, which answers {answer.status}")
        if not answer.ok or not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page.goto(url)
        visited += 1
        found += [f"{url}: {said}" for said in too_wide(page)]
        for link in page.evaluate(LINKS):
            to = link.partition("#")[0]
            if to not in seen and kinds[kind(to)] < OF_ONE_KIND:
                seen.add(to)
                kinds[kind(to)] += 1
                waiting.append(to)
    return visited, found


def kind(url: str) -> str:
    """What an address has in common with those of the same kind."""
    parts = urlsplit(url)
    names = sorted({name for name, _ in parse_qsl(parts.query)})
    return re.sub(r"\d+", "0", parts.path) + "?" + "&".join(names)
