"""Every page of a company that has one of everything, as its administrator comes to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from werkzeug.routing import Rule

from envoi.db import Database
from envoi.plugins import Plugins
from factories.companies import Company, founded
from looking import WIDE, Watched, faults, sign_in

SAMPLES = {
    "channel": "email",
    "code": "letter",
    "filename": "mark.svg",
    "kind": "customers",
    "message_id": "none",
    "month": 11,
    "name": "first-mailing",
    "token": "none",
    "week": 48,
    "year": 2026,
}
"""What parts of addresses are asked with that name nothing a company owns."""

MESSAGES = (
    "demo.body",
    "mailings.show_preview",
    "reports.heated_message",
    "settings.design_preview",
    "templates.preview",
    "templates.preview_starting",
)
"""Shown in frames: what readers see."""


@pytest.fixture(scope="module")
def company(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("company"), "Goldfinch")


@pytest.fixture(scope="module")
def seen(chromium: Browser, address: str, company: Company) -> Iterator[Page]:
    """The page of the company's administrator; the last test says what the browser heard."""
    context = chromium.new_context(base_url=address, reduced_motion="reduce", viewport=WIDE)
    page = context.new_page()
    watched = Watched(context, page, address)
    sign_in(page, company.email)
    yield page
    context.close()
    assert not watched.faults, "\n".join(watched.faults)


@pytest.fixture(scope="module")
def asked(app: Flask, company: Company) -> list[str]:
    """Every address that the routes have for the company; not all answer with a page."""
    rules = app.url_map.iter_rules()
    return sorted(url for rule in rules for url in addresses(app, rule, company))


def addresses(app: Flask, rule: Rule, company: Company) -> Iterator[str]:
    """Every address of a route: with everything that the company owns."""
    if "GET" not in (rule.methods or ()) or rule.endpoint in MESSAGES:
        return
    known = {name: (value,) for name, value in SAMPLES.items()} | dict(company.numbers)
    unknown = rule.arguments - set(known)
    assert not unknown, f"give the company a {unknown}, so that {rule.rule} is looked at"
    urls = app.url_map.bind("localhost")
    for values in product(*(known[name] for name in rule.arguments)):
        yield urls.build(rule.endpoint, dict(zip(rule.arguments, values, strict=True)))


def visited(page: Page, urls: Iterable[str]) -> Iterator[str]:
    """Go to each address that answers with a page, and name it."""
    for url in urls:
        if is_page(page, url):
            page.goto(url)
            yield url


def is_page(page: Page, url: str) -> bool:
    """Whether an address answers with a page: no redirect, no file, no part of a page."""
    answer = page.request.get(url, max_redirects=0)
    kind = answer.headers.get("content-type", "")
    return answer.ok and kind.startswith("text/html") and "<!doctype html>" in answer.text()


def look(page: Page, urls: Iterable[str]) -> str:
    """Go to each address and look; return what is wrong, a line each."""
    found: list[str] = []
    for url in urls:
        page.goto(url)
        found += faults(page, url)
    return "\n".join(found)


def look_at_pages(page: Page, urls: Iterable[str]) -> tuple[int, str]:
    """Look at those addresses that are pages; return how many, and what is wrong, a line each."""
    found = [faults(page, url) for url in visited(page, urls)]
    return len(found), "\n".join(said for each in found for said in each)
