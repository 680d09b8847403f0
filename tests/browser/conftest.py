"""A served application and a real Chromium; tests are skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from pages import PASSWORD, app, employee

__all__ = ["app", "employee"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def address(app: Flask) -> Iterator[str]:
    """Where the application is served, without a slash at the end."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed, and CI must not pass without it.")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Browser, address: str) -> Iterator[Page]:
    """A page of a visitor who has not signed in; script errors fail the test."""
    context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if _serious(said.text) else None)
    yield page
    context.close()
    assert complaints == []


def _serious(text: str) -> bool:
    # What a later request replaces is aborted, and htmx writes so into the console.
    if "htmx:afterRequest" in text or "htmx:sendAbort" in text:
        return False
    return "Content Security Policy" in text or "htmx:" in text


@pytest.fixture
def desk(visitor: Page, employee: Callable[..., str]) -> Page:
    """A page of an administrator who has signed in."""
    visitor.goto("/login")
    visitor.fill("#email", employee())
    visitor.fill("#password", PASSWORD)
    visitor.click("main button")
    visitor.wait_for_url(lambda url: "/login" not in url)
    return visitor


@pytest.fixture
def unscripted(chromium: Browser, address: str, employee: Callable[..., str]) -> Iterator[Page]:
    """A page of an administrator whose browser runs no scripts."""
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/login")
    page.fill("#email", employee())
    page.fill("#password", PASSWORD)
    page.click("main button")
    yield page
    context.close()
