"""A served application and a real Chromium; tests are skipped where none is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright

from looking import WIDE, sign_in
from pages import app, employee, served

__all__ = ["app", "employee"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]

# A busy machine is no reason to fail: what must be fast has a test of its own that says so.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def address(app: Flask) -> Iterator[str]:
    """Where the application is served, without a slash at the end."""
    with served(app) as address:
        yield address


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
    context = chromium.new_context(base_url=address, viewport=WIDE)
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
    sign_in(visitor, employee())
    return visitor


@pytest.fixture
def unscripted(chromium: Browser, address: str, employee: Callable[..., str]) -> Iterator[Page]:
    """A page of an administrator whose browser runs no scripts."""
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, employee())
    yield page
    context.close()
