"""Unsubscribing and preferences in a browser: axe finds nothing, with and without an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from envoi.db import Database
from envoi.plugins import Plugins
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from ledger_rows import add_customers, add_messages, add_run
from looking import WIDE, faults
from pages import served

pytestmark = pytest.mark.browser

SIGNER = TokenSigner(["a secret of the tests"])


@pytest.fixture
def tracked(database: Database, plugins: Plugins) -> Iterator[str]:
    """Where the tracking application answers."""
    app = TrackingApp(database, SIGNER, plugins)
    with served(app) as address:
        yield address
    app.close()


def test_readers_can_use_every_public_page(
    chromium: Browser, database: Database, tenant_id: int, tracked: str
) -> None:
    [customer] = add_customers(database, tenant_id, 1)
    run = add_run(database, tenant_id)
    add_messages(database, run, [customer])
    urls = UrlMaker(tracked, SIGNER).message(run.ref(customer))
    context = chromium.new_context(reduced_motion="reduce", viewport=WIDE)
    page = context.new_page()
    found: list[str] = []
    for kind in (TokenKind.PREFERENCES, TokenKind.UNSUBSCRIBE):
        page.goto(urls.of(kind))
        found += faults(page, kind.name)
        page.locator("button[type=submit], button:not([type])").first.click()
        found += faults(page, f"{kind.name} answered")
    context.close()
    assert "\n".join(found) == ""
