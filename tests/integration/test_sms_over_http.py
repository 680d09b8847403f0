"""SMS through providers with an HTTP interface: handed over, reported back, and kept in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import select

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run
from envoi.feedback.webhook import make_webhook
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.tenants.service import tenant_settings
from envoi.tracking.tokens import signer_of
from envoi_simulators.devino import Devino
from envoi_simulators.http_sms import HttpSms
from envoi_simulators.web_service import Taken
from factories.delivery import a_run, an_installation
from factories.reports import door
from factories.scripted import make_due, send_through

PEOPLE = 30
TEXT = "Привет, {{ client.properties.first_name }}! https://shop.test/sale " + "ж" * 40
WAIT_SECONDS = 20


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def gateway(
    installation: Installation, tenant_id: int, provider: str, **values: Any
) -> tuple[int, str]:
    """A default gateway for SMS, and the path of its webhook."""
    signer = signer_of(installation.settings)
    number = keep(installation, tenant_id, provider, values)
    with installation.database.tenant_session(tenant_id) as session:
        return number, f"/in/{make_webhook(session, signer, tenant_id, number).key}"


def keep(
    installation: Installation, tenant_id: int, provider: str, values: Mapping[str, Any]
) -> int:
    """Fill the gateway's form in; once more when its webhook is known."""
    with installation.database.tenant_session(tenant_id) as session:
        made = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="sms",
            provider=provider,
            name=provider,
            values=values,
        )
        return made.id


def launched(
    installation: Installation, tenant_id: int, gateway_id: int, sender: str = "Shop"
) -> Run:
    with installation.database.tenant_session(tenant_id) as session:
        content = {"text": TEXT, "sender_name": sender, "track_links": True}
        return a_run(
            session,
            tenant_id,
            gateway_id,
            PEOPLE,
            content=content,
            channel="sms",
            resends_unconfirmed=installation.plugins.channels["sms"].resends_unconfirmed,
        )


def outcomes(database: Database, run: Run) -> Counter[tuple[str, bool, bool]]:
    """How many messages are in which state, delivered and failed."""
    c = table(Message).c
    query = select(c.state, c.delivered_at, c.bounced_at).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        rows = session.execute(query).all()
    return Counter((MessageState(s).name, d is not None, b is not None) for s, d, b in rows)


def until(database: Database, run: Run, expected: Counter[tuple[str, bool, bool]]) -> None:
    """Wait until the reports are in the ledger."""
    end = monotonic() + WAIT_SECONDS
    while (found := outcomes(database, run)) != expected and monotonic() < end:
        sleep(0.05)
    assert found == expected


def phones(database: Database, tenant_id: int) -> list[str]:
    c = table(Customer).c
    with database.tenant_session(tenant_id) as session:
        return [str(p) for p in session.scalars(select(c.phone).where(c.tenant_id == tenant_id))]


def report_in_thirds(service: HttpSms | Devino, words: tuple[str, str, str]) -> None:
    """Each message is reported twice, as webhooks are."""
    taken: list[Taken] = [*service.taken, *service.taken]
    for message in taken:
        service.report(message, words[message.number % 3])


EXPECTED = Counter(
    {("ACCEPTED", True, False): 10, ("ACCEPTED", False, True): 10, ("ACCEPTED", False, False): 10}
)


def test_any_http_interface(installation: Installation, database: Database, tenant_id: int) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(door(installation))
        service = stack.enter_context(HttpSms(secret="s"))
        number, path = gateway(
            installation,
            tenant_id,
            "http_sms",
            url=f"{service.url}/send",
            secret="key",
            status_at="status",
            taken="queued",
            report_words={"DELIVRD": "delivered", "UNDELIV": "failed"},
            report_secret="s",
        )
        service.webhook = f"{sink.url}{path}"
        run = launched(installation, tenant_id, number)
        send_through(installation, run)
        assert len({taken.address for taken in service.taken}) == len(service.taken) == PEOPLE
        assert all("http://links.test/s/" in taken.text for taken in service.taken)
        report_in_thirds(service, ("DELIVRD", "UNDELIV", "lost in space"))
        until(database, run, EXPECTED)
        service.secret = "forged"
        report_in_thirds(service, ("UNDELIV", "DELIVRD", "DELIVRD"))
        assert outcomes(database, run) == EXPECTED


@pytest.mark.parametrize(
    ("mailing", "gateway_has", "company_has", "seen"),
    [
        ("Shop", "Main", "Usual", "Shop"),
        ("", "Main", "Usual", "Main"),
        ("", "", "Usual", "Usual"),
        ("", "", "", ""),
    ],
)
def test_the_nearest_sender_counts(
    installation: Installation,
    tenant_id: int,
    mailing: str,
    gateway_has: str,
    company_has: str,
    seen: str,
) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        tenant_settings(session, tenant_id).sender_names = {"sms": company_has, "viber": "Other"}
    with HttpSms(secret="s") as service:
        values = {"url": f"{service.url}/send", "secret": "key", "sender": gateway_has}
        number, _ = gateway(installation, tenant_id, "http_sms", **values)
        send_through(installation, launched(installation, tenant_id, number, mailing))
        assert {taken.sender for taken in service.taken} == {seen}


def test_devino(installation: Installation, database: Database, tenant_id: int) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(door(installation))
        service = stack.enter_context(Devino())
        values = {"url": service.url, "api_key": "key", "callback_secret": "s"}
        number, path = gateway(installation, tenant_id, "devino_sms", **values)
        keep(installation, tenant_id, "devino_sms", values | {"callback_url": f"{sink.url}{path}"})
        run = launched(installation, tenant_id, number)
        send_through(installation, run)
        assert len({taken.address for taken in service.taken}) == len(service.taken) == PEOPLE
        report_in_thirds(service, ("DELIVERED", "UNDELIVERED", "SENT"))
        until(database, run, EXPECTED)


def test_a_service_that_throttles_and_refuses(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with Devino() as service:
        number, _ = gateway(installation, tenant_id, "devino_sms", url=service.url, api_key="key")
        run = launched(installation, tenant_id, number)
        service.faults.refused = phones(database, tenant_id)[:5]
        service.faults.per_second = 1
        end = monotonic() + WAIT_SECONDS
        while len(service.taken) < PEOPLE - 5 and monotonic() < end:
            send_through(installation, run)
            make_due(database, run)
        found = outcomes(database, run)
    assert found == {("ACCEPTED", False, False): PEOPLE - 5, ("FAILED", False, False): 5}
    assert len({taken.address for taken in service.taken}) == len(service.taken)


@pytest.mark.parametrize("fault", [{"not_json": True}, {"vanish_share": 1.0}, {"status": 500}])
def test_what_may_have_been_taken_is_held(
    installation: Installation, database: Database, tenant_id: int, fault: dict[str, Any]
) -> None:
    with HttpSms() as service:
        for name, value in fault.items():
            setattr(service.faults, name, value)
        number, _ = gateway(
            installation, tenant_id, "http_sms", url=f"{service.url}/send", secret="key"
        )
        run = launched(installation, tenant_id, number)
        send_through(installation, run)
        tries = len(service.taken)
        make_due(database, run)
        send_through(installation, run)
    assert len(service.taken) == tries, "nothing leaves a second time by itself"
    states = {state for state, *_ in outcomes(database, run)}
    assert states <= {"UNCONFIRMED", "READY"}
    assert "UNCONFIRMED" in states
