"""Every page, empty, full, refusing and asking: axe finds nothing, nothing is too wide."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from sqlalchemy import text
from werkzeug.routing import Rule

from envoi.db import Database
from envoi.delivery.models import Run, RunStatus
from envoi.mailings import launch
from envoi.mailings.kept import LARGE_RUN
from envoi.plugins import Plugins
from factories.companies import CUSTOMERS, Company, founded
from ledger_rows import add_run
from looking import COVERED, Watched, faults
from pages import PASSWORD, TEST_SETTINGS

pytestmark = pytest.mark.browser

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

FOUND = (
    "/customers/?q=nobody",
    "/customers/?days=3650&sum_from=1",
    "/segments/?q=nothing",
    "/mailings/?q=nothing",
    "/mailings/email?status=draft&sort=-sent",
    "/templates/?q=nothing",
    "/images/?q=nothing",
    "/nowhere",
)
CUSTOMER_TABS = ("subscriptions", "receipts", "messages", "segments&find=1", "timeline")
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
SWAPPED = (("/segments/", "a.table-sort"), ("/customers/", "a.table-sort"))
"""What of lists is swapped by a click: their order."""

AT_REST = "!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"
ADDED = """(criterion) => {
    const list = document.getElementById("t.new");
    list.value = criterion;
    list.closest("details").querySelector("button").click();
}"""
EDITOR = "/what"
"""What its form refuses is said beside the fields by the script that saves."""
WRONG = ("", "~" * 3_000)
OPENERS = "[data-ev-open]:visible, main summary:visible, main [data-bs-toggle=dropdown]:visible"


@pytest.fixture(scope="module")
def company(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("company"), "Goldfinch")


@pytest.fixture(scope="module")
def seen(chromium: Browser, address: str, company: Company) -> Iterator[Page]:
    """The page of the company's administrator; the last test says what the browser heard."""
    context = chromium.new_context(base_url=address, reduced_motion="reduce")
    page = context.new_page()
    watched = Watched(context, page, address)
    sign_in(page, company.email)
    yield page
    context.close()
    assert watched.faults == []


@pytest.fixture(scope="module")
def pages(seen: Page, app: Flask, company: Company) -> list[str]:
    """The address of every page of the company, found by the routes."""
    asked = [url for rule in app.url_map.iter_rules() for url in addresses(app, rule, company)]
    return [url for url in sorted(asked) if is_page(seen, url)]


def test_pages_of_a_new_company(desk: Page, app: Flask) -> None:
    desk.emulate_media(reduced_motion="reduce")
    nobody = Company(0, "", "", {})
    rules = [rule for rule in app.url_map.iter_rules() if not set(rule.arguments) - set(SAMPLES)]
    asked = [url for rule in rules for url in addresses(app, rule, nobody)]
    assert look(desk, [url for url in sorted(asked) if is_page(desk, url)]) == ""


def test_every_page_of_a_company_with_everything(seen: Page, pages: list[str]) -> None:
    assert len(pages) > 60
    assert look(seen, [*pages, *FOUND]) == ""


def test_pages_with_something_chosen(
    seen: Page, database: Database, plugins: Plugins, company: Company
) -> None:
    draft, sent = company.numbers["mailing_id"]
    [customer] = company.numbers["customer_id"]
    paused = with_status(database, company, RunStatus.PAUSED)
    sending = with_status(database, company, RunStatus.SENDING)
    asked = [
        *(f"/customers/{customer}?tab={tab}" for tab in CUSTOMER_TABS),
        f"/mailings/{draft}/why?customer=Goldfinch-1",
        f"/mailings/delete?id={draft}&id={sent}",
        *(f"/mailings/{mailing}/progress" for mailing in (sending, paused)),
        f"/mailings/{sent}/report?machines=1&measure=amount",
        f"/mailings/{sent}/report?day_from=2000-01-01&day_to=2000-01-02",
        f"/mailings/{sent}/report/links?machines=1",
        f"/mailings/{counted_later(database, company)}/report",
        f"/mailings/compare?id={sent}&id={paused}&id={sending}&id={draft}",
        f"/mailings/{sent}/customers?outcome=control",
        f"/mailings/{sent}/customers?outcome=failed",
    ]
    assert look(seen, asked) == ""


@pytest.mark.slow
def test_open_dialogs_and_menus(seen: Page, pages: list[str]) -> None:
    found: list[str] = []
    opened: set[str] = set()
    for url in pages:
        seen.goto(url)
        named = {each.inner_text().strip(): each for each in seen.locator(OPENERS).all()}
        for said, opener in named.items():
            if said and said in opened:
                continue
            opened.add(said)
            opener.click()
            found += faults(seen, f"{url}, {said} opened", COVERED)
            seen.goto(url)
    assert "\n".join(found) == ""


def test_parts_that_were_swapped(seen: Page, company: Company) -> None:
    draft, _ = company.numbers["mailing_id"]
    seen.goto(f"/mailings/{draft}/who")
    seen.locator("#volume:not([aria-busy=true])").wait_for()
    found = faults(seen, "the estimate of a mailing")
    for url, clicked in SWAPPED:
        seen.goto(url)
        with seen.expect_response(lambda answer: "hx-request" in answer.request.headers):
            seen.locator(clicked).first.click()
        seen.wait_for_function(AT_REST)
        found += faults(seen, f"{url}, {clicked} clicked")
    seen.goto("/segments/new")
    with seen.expect_response("**/segments/preview"):
        seen.evaluate(ADDED, "purchases:product")
    seen.locator(".ev-tags [list]").wait_for()
    found += faults(seen, "the builder with a condition")
    assert "\n".join(found) == ""


def test_a_page_after_a_swap(
    seen: Page, database: Database, plugins: Plugins, company: Company
) -> None:
    draft, _ = company.numbers["mailing_id"]
    launched(database, plugins, company, draft)
    assert look(seen, [f"/mailings/{draft}/progress"]) == ""


@pytest.mark.slow
def test_every_form_that_refuses(seen: Page, pages: list[str]) -> None:
    found: list[str] = []
    refused: set[str] = set()
    tried: set[str] = set()
    for url in pages:
        seen.goto(url)
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


def is_page(page: Page, url: str) -> bool:
    """Whether an address answers with a page: no redirect, no file, no part of a page."""
    answer = page.request.get(url, max_redirects=0)
    kind = answer.headers.get("content-type", "")
    return answer.ok and kind.startswith("text/html") and "<!doctype html>" in answer.text()


def sign_in(page: Page, email: str) -> None:
    page.goto("/login")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "/login" not in url)


def look(page: Page, urls: list[str]) -> str:
    """Go to each address and look; return what is wrong, a line each."""
    found: list[str] = []
    for url in urls:
        page.goto(url)
        found += faults(page, url)
    return "\n".join(found)


def with_status(database: Database, company: Company, status: RunStatus) -> int:
    """Add a mailing whose run has a status."""
    run = add_run(database, company.tenant_id)
    with database.tenant_session(company.tenant_id) as session:
        session.execute(
            text(
                "UPDATE run SET status = :status, finished_at = NULL, expires_at = now()"
                " WHERE tenant_id = :tenant AND id = :run"
            ),
            {"status": int(status), "tenant": company.tenant_id, "run": run.run_id},
        )
    return run.mailing_id


def counted_later(database: Database, company: Company) -> int:
    """Add a mailing to so many customers that its report is counted in the background."""
    run = add_run(database, company.tenant_id)
    with database.tenant_session(company.tenant_id) as session:
        found = session.get(Run, (company.tenant_id, run.run_id))
        assert found is not None
        sizes = {"eligible": LARGE_RUN, "control": 0, "recipients": LARGE_RUN, "deferred": 0}
        lists = {"lines": [], "strata": [], "variants": [LARGE_RUN]}
        counted = {"segment": LARGE_RUN, "computed_at": "2026-01-01T00:00:00Z"}
        found.volume = sizes | lists | counted
    return run.mailing_id


def launched(database: Database, plugins: Plugins, company: Company, mailing_id: int) -> None:
    with database.tenant_session(company.tenant_id) as session:
        launch.confirm(
            session,
            plugins,
            TEST_SETTINGS,
            company.tenant_id,
            mailing_id,
            recipients=CUSTOMERS - CUSTOMERS // 5,
        )
