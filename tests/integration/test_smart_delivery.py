"""Viber by SmsTraffic, which goes on to SMS by itself: sent, reported and counted for real."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.prices import set_prices
from envoi.delivery.runs import get_run
from envoi.delivery.steps import StepContent
from envoi.feedback.models import Door, Inbound, InboundState
from envoi.feedback.webhook import make_webhook
from envoi.installation import Installation
from envoi.mailings.steps import StepFigures, steps_of
from envoi.plugins import Plugins
from envoi.tracking.tokens import signer_of
from envoi_simulators.smstraffic import SmartDelivery
from factories.delivery import a_run, an_installation
from factories.reports import door
from factories.scripted import send_through
from processes import wait_until

PEOPLE = 12
TWO_PARTS = "ж" * 100


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def applied(database: Database, tenant_id: int) -> int:
    """How many reports have been applied so far."""
    c = table(Inbound).c
    query = select(func.count()).where(
        c.tenant_id == tenant_id, c.state == InboundState.APPLIED, c.door == Door.WEBHOOK
    )
    with database.tenant_session(tenant_id) as session:
        return session.scalar(query) or 0


def test_what_smart_delivery_does_is_what_the_report_says(
    installation: Installation, tenant_id: int
) -> None:
    where = (installation.plugins, installation.settings, tenant_id)
    with door(installation) as sink, SmartDelivery() as service:
        with installation.database.tenant_session(tenant_id) as session:
            account = {"login": "login", "password": "key", "report_secret": "s"}
            viber = set_gateway(
                session,
                *where,
                channel="viber",
                provider="smstraffic_viber",
                name="Viber",
                values={**account, "url": service.url},
            )
            sms = set_gateway(
                session,
                *where,
                channel="sms",
                provider="smstraffic",
                name="SMS",
                values={"api_key": "k", "url": service.url},
            )
            for gateway, price in ((viber, "0.5"), (sms, "2")):
                set_prices(session, tenant_id, gateway.id, {"prices": [{"price": price}]})
            webhook = make_webhook(session, signer_of(installation.settings), tenant_id, viber.id)
            run = a_run(
                session,
                tenant_id,
                viber.id,
                PEOPLE,
                channel="viber",
                content={"text": "By Viber"},
                steps=[
                    StepContent(channel="sms", gateway_id=sms.id, contents=[{"text": TWO_PARTS}])
                ],
            )
        service.webhook = f"{sink.url}/in/{webhook.key}?secret=s"
        send_through(installation, run)
        taken = list(service.taken)
        assert {each.fields["route"] for each in taken} == {"viber(600)-sms"}
        for place, each in enumerate(taken):
            service.happened(each, ("delivered", "failed", "read")[place % 3])
        for each in service.taken[PEOPLE:]:
            service.happened(each, "delivered")
        settled = PEOPLE + PEOPLE // 3
        wait_until(lambda: applied(installation.database, tenant_id) == settled, what="reports")
    with installation.database.tenant_session(tenant_id) as session:
        first, second = steps_of(session, get_run(session, tenant_id, run.id))
    third = PEOPLE // 3
    assert first == StepFigures(
        step=1,
        channel="viber",
        messages=PEOPLE,
        sent=PEOPLE,
        delivered=2 * third,
        read=third,
        failed=third,
        followed=third,
        amount=PEOPLE * 5_000,
    )
    assert second == StepFigures(
        step=2,
        channel="sms",
        messages=third,
        sent=third,
        delivered=third,
        amount=2 * third * 20_000,
    )
