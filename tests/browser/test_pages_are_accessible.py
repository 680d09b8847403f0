"""Every page, with everything in it and with nothing: no errors of access, nothing sideways."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.models import RunStatus
from envoi.mailings import launch
from envoi.plugins import Plugins
from factories.companies import CUSTOMERS, Company, founded
from ledger_rows import add_run
from pages import PASSWORD, TEST_SETTINGS

pytestmark = pytest.mark.browser

CUSTOMER_TABS = ("subscriptions", "receipts", "messages", "segments&find=1", "timeline")
LISTS = (
    "/customers/",
    "/customers/?q=nobody",
    "/customers/?days=3650&sum_from=1",
    "/settings/fields",
    "/customers/import/",
    "/segments/",
    "/segments/?q=nothing",
    "/audiences/",
    "/exports/",
    "/mailings/",
    "/mailings/?q=nothing",
    "/mailings/email?status=draft&sort=-sent",
    "/calendar/2026/11",
    "/calendar/2026/w48",
    "/settings/policies/",
    "/templates/",
    "/templates/?q=nothing",
    "/images/",
    "/images/?q=nothing",
)
FORMS = (
    "/segments/new",
    "/audiences/import",
    "/mailings/new",
    "/settings/policies/new",
    "/settings/plugins/",
    "/own/",
    "/change",
    "/demo/mailbox",
    "/nowhere",
)
NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1440, "height": 900}


@pytest.fixture
def company(database: Database, plugins: Plugins, tmp_path: Path) -> Company:
    return founded(database, plugins, tmp_path, "Goldfinch")


def test_pages_of_a_new_company(desk: Page) -> None:
    assert faults(desk, LISTS + FORMS) == ""


def test_pages_of_a_company_with_everything(
    visitor: Page, database: Database, plugins: Plugins, company: Company
) -> None:
    sign_in(visitor, company.email)
    own = {name: found[0] for name, found in company.numbers.items()}
    draft, sent = company.numbers["mailing_id"]
    paused = with_status(database, company, RunStatus.PAUSED)
    sending = with_status(database, company, RunStatus.SENDING)
    pages = [
        *LISTS,
        f"/customers/{own['customer_id']}",
        f"/customers/{own['customer_id']}/edit",
        *(f"/customers/{own['customer_id']}?tab={tab}" for tab in CUSTOMER_TABS),
        f"/settings/fields/{own['field_id']}",
        f"/customers/import/{own['import_id']}",
        f"/segments/{own['segment_id']}",
        *(
            f"/segments/{own['segment_id']}/{page}"
            for page in ("versions", "customers", "audience")
        ),
        f"/audiences/{own['audience_id']}",
        f"/settings/policies/{own['policy_id']}",
        *(f"/mailings/{draft}/{step}" for step in ("who", "what", "when")),
        f"/mailings/{draft}/test",
        f"/mailings/{draft}/templates",
        f"/mailings/{draft}/why?customer=Goldfinch-1",
        *(f"/images/{number}" for number in company.numbers["file_id"]),
        *(f"/templates/{number}" for number in company.numbers["template_id"]),
        f"/mailings/delete?id={draft}&id={sent}",
        *(f"/mailings/{mailing}/progress" for mailing in (sending, paused, sent)),
        f"/mailings/{sent}/report",
        f"/mailings/{sent}/report?machines=1&measure=amount",
        f"/mailings/{sent}/customers?outcome=control",
        f"/mailings/{sent}/customers?outcome=failed",
    ]
    assert faults(visitor, pages) == ""
    confirm(database, plugins, company, draft)
    assert faults(visitor, [f"/mailings/{draft}/progress"]) == ""


def sign_in(page: Page, email: str) -> None:
    page.goto("/login")
    page.fill("#email", email)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda url: "/login" not in url)


def faults(page: Page, addresses: tuple[str, ...] | list[str]) -> str:
    """Look at each page wide and narrow; say what axe finds, and what is too wide."""
    axe = Axe()
    found: list[str] = []
    for address in addresses:
        page.set_viewport_size(WIDE)
        page.goto(address)
        for violation in axe.run(page).response["violations"]:
            found += [
                f"{address}: {violation['id']}: {n['html'][:150]}" for n in violation["nodes"]
            ]
        page.set_viewport_size(NARROW)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > NARROW["width"]:
            found.append(f"{address}: {width} px wide")
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


def confirm(database: Database, plugins: Plugins, company: Company, mailing_id: int) -> None:
    with database.tenant_session(company.tenant_id) as session:
        launch.confirm(
            session,
            plugins,
            TEST_SETTINGS,
            company.tenant_id,
            mailing_id,
            recipients=CUSTOMERS - CUSTOMERS // 5,
        )
