"""How a gateway's page tells where reports come in, and how its connection for them fares."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.feedback.models import ReceiverSign
from envoi.plugins import Plugins
from pages import TEST_SETTINGS, SignIn, token

LIST = "/settings/gateways"
NEW = f"{LIST}/new?provider=devino_sms"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


def test_a_gateway_gets_an_address_for_reports_when_it_is_saved(browser: FlaskClient) -> None:
    form = {
        "csrf_token": token(browser, NEW),
        "provider": "devino_sms",
        "version": "0",
        "name": "Reseller",
        "is_on": "1",
        "settings.url": "https://devino.test",
        "settings.api_key": "a key",
        "settings.timeout": "30",
        "settings.priority": "LOW",
    }
    made = browser.post(NEW, data=form)
    assert made.status_code in (302, 303), made.get_data(as_text=True)
    page = browser.get(made.headers["Location"]).get_data(as_text=True)
    address = re.search(r"<code[^>]*>(http[^<]*/in/[^<]+)</code>", page)
    assert address, page
    again = browser.get(made.headers["Location"]).get_data(as_text=True)
    assert address[1] in again
    kept = browser.get("/settings/bounces").get_data(as_text=True)
    assert address[1] in kept
    assert "The provider proves itself in its own way." in kept


@pytest.mark.parametrize(
    ("trouble", "words"), [("", "Works"), ("The centre lets nobody in.", "Does not work")]
)
def test_a_gateways_card_tells_how_its_connection_for_reports_fares(
    browser: FlaskClient,
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    trouble: str,
    words: str,
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            plugins,
            TEST_SETTINGS,
            tenant_id,
            channel="sms",
            provider="smpp",
            name="Centre",
            values={"host": "smsc.test", "system_id": "envoi", "password": "secret"},
        )
        sign = {"tenant_id": tenant_id, "gateway_id": gateway.id, "trouble": trouble}
        session.execute(insert(table(ReceiverSign)).values(sign))
    page = browser.get(LIST).get_data(as_text=True)
    shown = page[page.index("Connection for reports") :]
    assert re.search(r"<dd>([^<]+)</dd>", shown)[1] == words  # type: ignore[index]
    assert trouble in page
