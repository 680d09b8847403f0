"""A cascade of three channels is put together in a real browser: nothing typed is lost."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from envoi.db import Database
from envoi.delivery.models import Gateway
from envoi.mailings import cascade, service, variants
from envoi.mailings.cascade import channels_of
from envoi.plugins import Plugins
from factories.customers import make_customers
from looking import faults

pytestmark = pytest.mark.browser

GATEWAYS = {"sms": "devino_sms", "viber": "devino_viber", "email": "smtp"}


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    """An SMS draft of a company with three gateways."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, phones=True)
        for channel, provider in GATEWAYS.items():
            about: dict[str, Any] = {"channel": channel, "provider": provider, "name": channel}
            session.add(Gateway(tenant_id=tenant_id, secrets=b"", **about))
        return service.create_draft(session, tenant_id, channel="sms", name="Double points").id


def test_three_channels_in_a_browser(
    desk: Page, database: Database, tenant_id: int, draft: int
) -> None:
    desk.goto(f"/mailings/{draft}/what")
    desk.locator("#text").fill("By SMS")
    desk.locator("#add-step").click()
    desk.get_by_role("button", name="Viber, then SMS").click()
    expect(desk.locator("#step-1")).to_have_attribute("aria-pressed", "true")
    expect(desk.get_by_label("Button text")).to_be_visible()
    desk.locator("#text").fill("By Viber")
    desk.locator("#add-step").click()
    desk.get_by_role("button", name="Then Email").click()
    expect(desk.locator("#subject")).to_be_visible()
    desk.locator("#subject").fill("By email")
    desk.locator("#step-2").click()
    expect(desk).to_have_url(re.compile("step=2"))
    expect(desk.locator("#text")).to_have_value("By SMS")
    expect(desk.locator("#length")).to_contain_text("6 characters, 1 part")
    desk.locator('[name="step.wait_minutes"]').fill("30")
    desk.locator("#text").fill("By SMS, later")
    expect(desk.locator("#length")).to_contain_text("13 characters")
    shown = [
        desk.frame_locator(f'iframe[data-ev-step="{step}"]:not(.ev-coming)').locator("body")
        for step in (1, 2)
    ]
    expect(shown[0]).to_contain_text("By Viber")
    expect(shown[1]).to_contain_text("By SMS, later")
    desk.get_by_role("button", name="Move SMS forward").click()
    expect(desk.locator("#step-1")).to_have_text(re.compile(r"1\. SMS"))
    expect(desk.locator("#text")).to_have_value("By SMS, later")
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        variant = variants.get_variant(session, mailing, 1)
        contents = [variant.content, *variant.steps]
    assert channels_of(mailing) == ["sms", "viber", "email"]
    written = [content.get("subject") or content.get("text") for content in contents]
    assert written == ["By SMS, later", "By Viber", "By email"]
    assert [step["wait_minutes"] for step in mailing.cascade] == [30, 10]


def test_every_step_of_a_cascade_is_shown_without_a_fault(
    desk: Page, database: Database, plugins: Plugins, tenant_id: int, draft: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        for channel in ("viber", "email"):
            cascade.add_step(session, plugins, tenant_id, draft, mailing.version, channel)
    found: list[str] = []
    for step in (1, 2, 3):
        desk.goto(f"/mailings/{draft}/what?step={step}")
        found += faults(desk, f"step {step}")
    assert "\n".join(found) == ""
