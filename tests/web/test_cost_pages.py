"""The pages tell what a mailing is going to cost, and take a budget."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from desk import Desk
from drafts import stored
from envoi.db import Database
from envoi.delivery.gateways import set_gateway
from envoi.delivery.prices import UNITS, set_prices
from envoi.mailings import launch, service, variants
from envoi.plugins import Plugins
from factories.customers import make_customers
from pages import TEST_SETTINGS


@pytest.fixture
def sms(database: Database, plugins: Plugins, tenant_id: int) -> int:
    """A draft of an SMS of one part to three customers, and a gateway with prices."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
        values = {"host": "127.0.0.1", "system_id": "envoi", "password": "secret"}
        gateway = set_gateway(
            session,
            plugins,
            TEST_SETTINGS,
            tenant_id,
            channel="sms",
            provider="smpp",
            name="centre",
            values=values,
        )
        set_prices(session, tenant_id, gateway.id, {"prices": [{"price": "0.075"}]})
        made = service.create_draft(session, tenant_id, channel="sms", name="Coffee", tree={})
        variants.save_content(session, tenant_id, made.id, made.version, {"text": "Hello"})
        return made.id


def test_the_review_tells_the_cost(desk: Desk, sms: int) -> None:
    review = desk.get(f"/mailings/{sms}/when")
    assert f"/mailings/{sms}/cost" in review.source
    alone = desk.get(f"/mailings/{sms}/cost", **{"HX-Request": "true", "HX-Target": "cost"})
    assert alone.words.strip() == "€0.23, 3 parts"
    assert "Cost of Coffee" in desk.get(f"/mailings/{sms}/cost").words, "without scripts as well"


def test_a_message_that_cannot_be_sent_has_no_cost(
    desk: Desk, database: Database, tenant_id: int, sms: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, sms)
        variants.save_content(session, tenant_id, sms, mailing.version, {"text": "{% if %}"})
    assert "cost is not known" in desk.get(f"/mailings/{sms}/cost").words


def test_a_budget_is_saved_shown_and_refused(
    desk: Desk, database: Database, tenant_id: int, sms: int
) -> None:
    form = {"lifetime": "24", "lifetime_unit": "hours", "attribution_days": "14", "start": "now"}

    def save(budget: str) -> str:
        version = stored(database, tenant_id, sms).version
        return desk.post(f"/mailings/{sms}/when", version=version, budget=budget, **form).source

    assert 'value="12.5"' in save("12,50")
    assert stored(database, tenant_id, sms).budget == 12.5 * UNITS
    assert "Enter an amount" in save("much")
    save("")
    assert stored(database, tenant_id, sms).budget is None


def test_a_mailing_without_prices_is_not_asked_for_a_budget(desk: Desk, draft: int) -> None:
    source = desk.get(f"/mailings/{draft}/when").source
    assert 'name="budget"' not in source
    assert "/cost" not in source


def test_a_started_mailing_takes_another_budget(
    desk: Desk, database: Database, plugins: Plugins, tenant_id: int, sms: int
) -> None:
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        launch.launch_draft(session, plugins, TEST_SETTINGS, tenant_id, sms, now)
    assert "€0.00 so far" in desk.get(f"/mailings/{sms}/budget").words
    assert desk.post(f"/mailings/{sms}/budget", budget="nothing").status == 422
    assert desk.post(f"/mailings/{sms}/budget", budget="30").status == 303
    mailing = stored(database, tenant_id, sms)
    assert mailing.budget == 30 * UNITS
    with database.tenant_session(tenant_id) as session:
        run = service.get_run(session, mailing)
        assert run is not None
        assert run.settings["budget"] == 30 * UNITS
    assert desk.post(f"/mailings/{sms}/budget", budget="").status == 303
    assert stored(database, tenant_id, sms).budget is None


def test_the_budget_of_a_draft_belongs_to_its_form(desk: Desk, sms: int) -> None:
    assert desk.post(f"/mailings/{sms}/budget", budget="30").status == 303
    assert 'value="30"' not in desk.get(f"/mailings/{sms}/when").source
