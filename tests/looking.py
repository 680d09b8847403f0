"""Looking at a page as somebody who sees badly, has a small screen, or no patience."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, ViewportSize

from pages import PASSWORD, TEST_SETTINGS

TRACKING = TEST_SETTINGS.links_url
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROWEST: ViewportSize = {"width": 320, "height": 800}
EVERYTHING: dict[str, Any] = {
    "resultTypes": ["violations"],
    # Of WCAG 2.2, but not among what axe looks for by itself.
    "rules": {"target-size": {"enabled": True}},
}
COLOURS: dict[str, Any] = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
# An open menu covers what lies under it.
COVERED: dict[str, Any] = {"resultTypes": ["violations"]}
VIOLATIONS = """async ([within, asked]) =>
    (await axe.run(within ?? document, asked)).violations"""
REFUSALS = """addEventListener("securitypolicyviolation", e =>
    console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`))"""
# A refused form is an answer, and Chromium and htmx write each into the console.
REFUSED = ("with a status of 4", "Response Status Error Code 4")


def faults(
    page: Page, where: str, asked: dict[str, Any] = EVERYTHING, within: str | None = None
) -> list[str]:
    """Look at a page in light and dark and on the narrowest screen; say what is wrong.

    Args:
        page: Shown on a wide screen.
        where: What the page is called in what is said.
        asked: What axe is asked, in its own words.
        within: Only the parts that a selector finds, where the others were looked at before.
    """
    # A button on its way from one colour to the other has neither.
    page.emulate_media(reduced_motion="reduce")
    found = _violations(page, asked, within)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {said}" for said in _violations(page, COLOURS, within)]
    page.emulate_media(color_scheme="light")
    return [f"{where}: {said}" for said in [*found, *too_wide(page)]]


def too_wide(page: Page) -> list[str]:
    """Say whether a page scrolls sideways on the narrowest screen."""
    page.set_viewport_size(NARROWEST)
    width = page.evaluate("document.scrollingElement.scrollWidth")
    page.set_viewport_size(WIDE)
    return [f"{width} px wide on a screen of 320"] if width > NARROWEST["width"] else []


def _violations(page: Page, asked: dict[str, Any], within: str | None) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate(VIOLATIONS, [within, asked])
    return [f"{each['id']}: {node['html'][:150]}" for each in found for node in each["nodes"]]


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Fill in the sign-in form, and wait for what follows it."""
    page.goto("/login")
    page.fill("#email", email)
    page.fill("#password", password)
    page.click("main button")
    page.wait_for_url(lambda url: "/login" not in url)


class Watched:
    """What a browser complains of while it shows pages, each time with the page's address."""

    def __init__(self, context: BrowserContext, page: Page, address: str) -> None:
        self.faults: list[str] = []
        self._page = page
        self._address = address
        context.add_init_script(REFUSALS)
        page.on("pageerror", lambda error: self._hear(str(error)))
        page.on("console", self._told)
        page.on("response", self._answered)
        context.on("request", lambda asked: self._asked(asked.url))

    def _told(self, said: ConsoleMessage) -> None:
        # The tracking application, whose page the design's preview is, does not run in these tests.
        if said.type == "error" and not said.location["url"].startswith(TRACKING):
            self._hear(said.text)

    def _hear(self, complaint: str) -> None:
        if not any(words in complaint for words in REFUSED):
            self.faults.append(f"{self._page.url}: {complaint}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self._address, "data:", "blob:", "about:", TRACKING)):
            self._hear(f"asks another host: {url}")

    def _answered(self, got: Response) -> None:
        page = got.request.resource_type in ("document", "xhr", "fetch")
        if got.status >= (500 if page else 400):
            self._hear(f"{got.status} from {got.url}")
