"""Every link from the first page on: no refusals of the policy, no strangers, nothing too wide."""

from __future__ import annotations

import re
from collections import Counter, deque
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from envoi.db import Database
from envoi.plugins import Plugins
from factories.companies import founded
from looking import Watched, too_wide
from pages import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OF_ONE_KIND = 2
"""How many addresses are visited that differ only in their numbers and values."""

LINKS = """() => [...document.querySelectorAll("a[href]:not([download])")]
    .map(link => link.href).filter(url => url.startsWith(location.origin))"""


def test_every_link_leads_to_a_page_that_is_sound(
    chromium: Browser, address: str, database: Database, plugins: Plugins, tmp_path: Path
) -> None:
    company = founded(database, plugins, tmp_path, "Goldfinch")
    context = chromium.new_context(base_url=address, reduced_motion="reduce")
    page = context.new_page()
    watched = Watched(context, page, address)
    page.goto("/login")
    page.fill("#email", company.email)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "/login" not in url)
    visited = crawl(page, watched)
    context.close()
    assert visited > 60
    assert "\n".join(watched.faults) == ""


def crawl(page: Page, watched: Watched) -> int:
    """Follow the links from the first page on; return how many pages were visited."""
    waiting, seen, kinds = deque(["/"]), {"/"}, Counter[str]()
    visited = 0
    while waiting:
        url = waiting.popleft()
        if not is_page(page, url, watched):
            continue
        page.goto(url)
        visited += 1
        watched.faults += [f"{url}: {said}" for said in too_wide(page)]
        for link in page.evaluate(LINKS):
            found = link.partition("#")[0]
            if found not in seen and kinds[kind(found)] < OF_ONE_KIND:
                seen.add(found)
                kinds[kind(found)] += 1
                waiting.append(found)
    return visited


def is_page(page: Page, url: str, watched: Watched) -> bool:
    """Whether a link leads to a page; one that leads nowhere is told."""
    answer = page.request.get(url)
    if not answer.ok:
        watched.faults.append(f"{page.url}: leads to {url}, which answers {answer.status}")
    return answer.ok and answer.headers.get("content-type", "").startswith("text/html")


def kind(url: str) -> str:
    """What an address has in common with those of the same kind."""
    parts = urlsplit(url)
    names = sorted({name for name, _ in parse_qsl(parts.query)})
    return re.sub(r"\d+", "0", parts.path) + "?" + "&".join(names)
