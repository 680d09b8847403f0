"""The help inside the product, and the first page with its guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.delivery.models import Gateway
from envoi.mailings.service import create_draft
from envoi.segments.models import Segment
from envoi_web.help.topics import CHANNELS, TOPICS
from factories.customers import make_customers
from ledger_rows import add_run
from pages import SignIn

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


def test_every_topic_has_its_page_and_every_area_exists(app: Flask) -> None:
    for topic in CHANNELS.values():
        assert (DOCS / "users" / f"{topic}.md").is_file(), topic
    for place, topic in TOPICS.items():
        assert (DOCS / "users" / f"{topic}.md").is_file(), topic
        area = place.partition(".")[0]
        assert area in app.blueprints, area


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_page_of_the_help_is_shown_with_its_pictures(
    signed_in: SignIn, language: str
) -> None:
    browser = signed_in(language=language)
    for path in sorted((DOCS / "users").glob("*.md")):
        answer = browser.get(f"/help/{path.stem}")
        page = answer.get_data(as_text=True)
        assert answer.status_code == 200, path
        assert page.count("<h1") == 1
        for picture in re.findall(r'src="(/help/images/[^"]+)"', page):
            with browser.get(picture) as found:
                assert found.status_code == 200, picture
        for link in re.findall(r"<article.*</article>", page, re.DOTALL)[0].split('href="')[1:]:
            address = link.partition('"')[0].partition("#")[0]
            if address.startswith("/help"):
                assert browser.get(address).status_code == 200, address


@pytest.mark.parametrize("name", ["nothing", "..%2fperformance", "index.md", "%00", "images"])
def test_what_is_no_page_is_not_found(browser: FlaskClient, name: str) -> None:
    assert browser.get(f"/help/{name}").status_code == 404


@pytest.mark.parametrize("name", ["nothing.png", "..%2f..%2fpyproject.toml", "report.svg"])
def test_what_is_no_picture_is_not_found(browser: FlaskClient, name: str) -> None:
    assert browser.get(f"/help/images/{name}").status_code == 404


def test_each_page_leads_to_its_help(browser: FlaskClient) -> None:
    page = browser.get("/customers/import/").get_data(as_text=True)
    assert 'href="/help/import"' in page


def test_the_guide_ticks_itself_and_goes_when_a_mailing_has_started(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    def ticked() -> int:
        return browser.get("/summary/").get_data(as_text=True).count(">Done<")

    assert ticked() == 0
    with database.tenant_session(tenant_id) as session:
        session.add(Gateway(tenant_id=tenant_id, channel="email", provider="smtp", secrets=b""))
        make_customers(session.connection(), tenant_id, 1)
    assert ticked() == 2
    with database.tenant_session(tenant_id) as session:
        session.add(Segment(tenant_id=tenant_id, name="All", tree={"op": "all", "rules": []}))
        create_draft(session, tenant_id, channel="email", name="Hello")
    assert ticked() == 3
    add_run(database, tenant_id)
    page = browser.get("/summary/").get_data(as_text=True)
    assert "Your first mailing" not in page
    assert "Coffee week" in page


def test_who_may_not_see_the_summary_comes_to_another_page(signed_in: SignIn) -> None:
    operator = signed_in(role=Role.OPERATOR)
    assert operator.get("/summary/").status_code == 403
    assert operator.get("/", follow_redirects=True).status_code == 200
