"""Every page, empty, full and running: axe finds nothing, nothing is too wide."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from flask import Flask
from playwright.sync_api import Page
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import Run, RunStatus
from envoi.mailings import launch, service
from envoi.mailings.approval import Approval
from envoi.mailings.kept import LARGE_RUN
from envoi.plugins import Plugins
from every_page import SAMPLES, addresses, asked, company, look, look_at_pages, seen
from factories.companies import CUSTOMERS, Company
from ledger_rows import add_run
from looking import faults
from pages import TEST_SETTINGS

__all__ = ["asked", "company", "seen"]

pytestmark = pytest.mark.browser

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
NOW = datetime.now(UTC)
SWAPPED = (("/segments/", "a.table-sort"), ("/customers/", "a.table-sort"))
"""What of lists is swapped by a click: their order."""

AT_REST = "!document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')"
ADDED = """(criterion) => {
    const list = document.getElementById("t.new");
    list.value = criterion;
    list.closest("details").querySelector("button").click();
}"""


def test_pages_of_a_new_company(desk: Page, app: Flask) -> None:
    nobody = Company(0, "", "", {})
    rules = [rule for rule in app.url_map.iter_rules() if not set(rule.arguments) - set(SAMPLES)]
    urls = sorted(url for rule in rules for url in addresses(app, rule, nobody))
    pages, found = look_at_pages(desk, urls)
    assert pages > 30
    assert found == ""


@pytest.mark.slow
def test_every_page_of_a_company_with_everything(seen: Page, asked: list[str]) -> None:
    pages, found = look_at_pages(seen, asked)
    assert pages > 60
    assert found == ""


def test_what_was_searched_and_not_found(seen: Page) -> None:
    assert look(seen, FOUND) == ""


def test_pages_with_something_chosen(
    seen: Page, database: Database, plugins: Plugins, company: Company
) -> None:
    draft, sent = company.numbers["mailing_id"]
    [customer] = company.numbers["customer_id"]
    paused = with_status(database, company, RunStatus.PAUSED)
    sending = with_status(database, company, RunStatus.SENDING)
    chosen = [
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
        *(f"/mailings/{one}/when" for one in asking_for_approval(database, company)),
    ]
    assert look(seen, chosen) == ""


def test_parts_that_were_swapped(seen: Page, company: Company) -> None:
    draft, _ = company.numbers["mailing_id"]
    seen.goto(f"/mailings/{draft}/who")
    seen.locator("#volume:not([aria-busy=true])").wait_for()
    found = faults(seen, "the estimate of a mailing")
    for url, clicked in SWAPPED:
        seen.goto(url)
        with seen.expect_response(re.compile("sort=")):
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


def asking_for_approval(database: Database, company: Company) -> tuple[int, int]:
    """Add a mailing that waits for approval, and one that was sent back."""
    [segment] = company.numbers["segment_id"]
    asked = Approval(asked_by=0, asked_at=NOW, version=1, recipients=9, comment="Spring sale")
    back = {"declined_by": 0, "declined_at": NOW, "reason": "Too early"}
    with database.tenant_session(company.tenant_id) as session:
        waiting, declined = (
            service.create_draft(
                session, company.tenant_id, channel="email", name=name, segment_id=segment
            )
            for name in ("Waiting", "Sent back")
        )
        waiting.approval = asked.model_dump(mode="json")
        declined.approval = asked.model_copy(update=back).model_dump(mode="json")
        return waiting.id, declined.id


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
