"""What servers, bounces and colleagues write stands on pages as text, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest
from sqlalchemy import text

from envoi.db import Database, table
from envoi.delivery.circuit import failed
from envoi.delivery.models import Gateway, MessageState, Run, RunStatus, Sender
from envoi.errors import PermanentProviderError
from envoi.feedback.intake import Intake, sign_in
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.installation import Installation
from envoi.mailings import service
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent
from factories.customers import customer_ids, make_customers
from factories.delivery import email_content, smtp_gateway
from ledger_rows import NOW, LedgerRun, add_messages, add_run
from pages import TEST_SETTINGS, SignIn

HOSTILE = "<xss-7 onload=\"alert(1)\" x='{{ 7*7 }}'>%(name)s</pre></script>"
BROKEN_OUT = re.compile(r"<xss-7|onload=\"alert|</pre></script>|x='49'")
SHOWN = str(escape(HOSTILE)).split()[0]


@pytest.fixture
def told(database: Database, plugins: Plugins, tenant_id: int) -> Iterator[dict[str, str]]:
    """Pages about a company in which all that others can write is hostile, by what they show."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        people = customer_ids(session, tenant_id)
        installation = Installation(TEST_SETTINGS, database, plugins)
        gateway_id = smtp_gateway(session, installation, tenant_id, 25)
        gateway = session.get_one(Gateway, (tenant_id, gateway_id))
        gateway.name = HOSTILE
        gateway.settings = {**gateway.settings, "host": HOSTILE, "helo_name": HOSTILE}
        failed(session, (tenant_id, gateway_id), PermanentProviderError(HOSTILE, raw=HOSTILE))
        draft = service.create_draft(session, tenant_id, channel="email", name=HOSTILE).id
    sent = [{"number": 1, "share": 100.0, "content": email_content(subject=HOSTILE)}]
    run = add_run(database, tenant_id, variants=sent, links={0: f"https://shop.test/?{HOSTILE}"})
    other = add_run(database, tenant_id)
    refused: dict[str, Any] = {"state": MessageState.FAILED, "code": 550, "accepted_at": None}
    add_messages(database, run, people[:1], detail=HOSTILE, **refused)
    add_messages(database, run, people[1:])
    _bounce(database, run, people[1])
    intake = Intake(database, signer_of(TEST_SETTINGS))
    intake.receive(HOSTILE.encode(), Door.WEBHOOK, HOSTILE, tenant_id=tenant_id)
    sign_in(database, Door.LISTENER, trouble=HOSTILE)
    with database.system_session() as session:
        sender = Sender(host=HOSTILE, pid=1, recorder="nowhere.rec")
        session.add(sender)
        session.flush()
        sender_id = sender.id
    with database.tenant_session(tenant_id) as session:
        c = table(Run).c
        session.execute(
            table(Run)
            .update()
            .where(c.tenant_id == tenant_id, c.id == run.run_id)
            .values(status=RunStatus.PAUSED, pause_reason=HOSTILE, gateway_id=gateway_id)
        )
        session.get_one(Mailing, (tenant_id, run.mailing_id)).name = HOSTILE
        inbound_id = session.scalar(text("SELECT max(id) FROM inbound"))
    yield {
        "gateways": "/settings/gateways",
        "gateway": f"/settings/gateways/{gateway_id}",
        "bounces": "/settings/bounces",
        "inbound": f"/settings/bounces/{inbound_id}",
        "operations": "/settings/operations",
        "progress": f"/mailings/{run.mailing_id}/progress",
        "report": f"/mailings/{run.mailing_id}/report",
        "links": f"/mailings/{run.mailing_id}/report/links",
        "comparison": f"/mailings/compare?id={run.mailing_id}&id={other.mailing_id}",
        "customers": f"/mailings/{run.mailing_id}/customers?outcome=failed",
        "profile": f"/customers/{people[1]}",
        "list": "/mailings/",
        "when": f"/mailings/{draft}/when",
    }
    sign_in(database, Door.LISTENER)
    with database.system_session() as session:
        session.get_one(Sender, sender_id).ended_at = NOW


def _bounce(database: Database, run: LedgerRun, customer_id: int) -> None:
    reported = DeliveryEvent(
        message_key="", type="bounced", occurred_at=NOW, status="5.1.1", reason=HOSTILE
    )
    with database.tenant_session(run.tenant_id) as session:
        assert apply(session, run.ref(customer_id), reported, Door.LISTENER)


def test_nothing_that_others_write_is_more_than_text(
    signed_in: SignIn, told: dict[str, str]
) -> None:
    browser = signed_in()
    for name, address in told.items():
        for headers in ({}, {"HX-Request": "true", "HX-Target": "live"}):
            answer = browser.get(address, headers=headers)
            page = answer.get_data(as_text=True)
            assert answer.status_code in (200, 303), name
            assert BROKEN_OUT.search(page) is None, name
            assert BROKEN_OUT.search(str(answer.headers)) is None, name
            assert headers or SHOWN in page, f"{name} does not show it, so it proves nothing"
