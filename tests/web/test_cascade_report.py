"""The report of a cascade counts people once, and messages by channel."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from io import StringIO
from typing import Any

from sqlalchemy import insert

from envoi.db import Database, table
from envoi.delivery.models import Circuit, Gateway, Run, RunBlock, RunCost, RunStatus
from envoi.mailings.outcomes import count_of
from ledger_rows import NOW, add_customers, add_messages, add_run
from pages import SignIn


def test_people_once_and_messages_by_channel(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    """Five by Viber: two arrive, three are followed by an SMS, of which one arrives."""
    sms = {"channel": "sms", "wait_minutes": 10, "success": "delivered", "contents": [{}]}
    run = add_run(database, tenant_id, channel="viber", steps=[sms])
    people = add_customers(database, tenant_id, 5)
    add_messages(database, run, people[:2], delivered_at=NOW, opened_at=NOW)
    add_messages(database, run, people[2:], bounced_at=NOW)
    add_messages(database, run, people[2:3], step=2, follows=True, delivered_at=NOW)
    add_messages(database, run, people[3:], step=2, follows=True, bounced_at=NOW)
    cost = {"tenant_id": tenant_id, "run_id": run.run_id, "gateway_id": 1, "parts": 3}
    with database.tenant_session(tenant_id) as session:
        session.execute(insert(table(RunCost)).values(**cost, step=2, amount=22_500))
        outcomes = ("recipients", "sent", "delivered", "undelivered", "opened")
        counts = [count_of(session, tenant_id, run.mailing_id, name) for name in outcomes]
    assert counts == [5, 5, 3, 2, 2]
    address = f"/mailings/{run.mailing_id}/report"
    browser = signed_in()
    shown = browser.get(address).text
    [card] = re.findall(r'aria-labelledby="steps-title">(.*?)</section>', shown, re.DOTALL)
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in card.split("<tr>")[2:]]
    assert rows[0][:7] == ["1.", "Viber", "5", "2", "2", "3", "3"]
    assert rows[1][:7] == ["2.", "SMS", "3", "1", "0", "2", "–"]
    assert any("2.25" in cell for cell in rows[1])
    assert f"{address}/figures.csv?of=steps" in shown
    file = browser.get(f"{address}/figures.csv?of=steps").text.removeprefix("\ufeff")
    assert list(csv.reader(StringIO(file))) == [
        ["Step", "Channel", "Sent", "Delivered", "Read", "Failed", "Moved on", "Cost, EUR"],
        ["1", "Viber", "5", "2", "2", "3", "3", ""],
        ["2", "SMS", "3", "1", "0", "2", "", "2.25"],
    ]


def test_a_step_that_waits_for_its_gateway_is_told_with_the_reason(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    sms = {"channel": "sms", "wait_minutes": 10, "success": "delivered", "contents": [{}]}
    run = add_run(database, tenant_id, channel="viber", steps=[sms])
    with database.tenant_session(tenant_id) as session:
        stored = session.get_one(Run, (tenant_id, run.run_id))
        stored.status, stored.finished_at = RunStatus.SENDING, None
        stored.expires_at = NOW + timedelta(days=1)
        gateways = [
            Gateway(
                tenant_id=tenant_id,
                channel=channel,
                provider=provider,
                name=channel.title(),
                secrets=b"",
            )
            for channel, provider in {"viber": "devino_viber", "sms": "devino_sms"}.items()
        ]
        session.add_all(gateways)
        session.flush()
        circuit = Circuit(tenant_id=tenant_id, gateway_id=gateways[1].id, failures=5)
        circuit.opened_at, circuit.error = NOW, "The account is locked."
        session.add(circuit)
        key: dict[str, Any] = {
            "tenant_id": tenant_id,
            "run_id": run.run_id,
            "launched_on": stored.launched_on,
        }
        session.add(RunBlock(**key, number=1, step=1, size=1, due_at=NOW))
        session.add(RunBlock(**key, number=2, step=2, size=1, due_at=NOW))
    shown = signed_in().get(f"/mailings/{run.mailing_id}/progress").text
    assert "SMS waits, the other channels go on: The account is locked." in shown
    assert "Sms is tried again by itself." in shown
    assert "Viber waits" not in shown
