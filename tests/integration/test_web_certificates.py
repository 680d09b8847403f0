"""Certificates of web services: what is wrong with one is said, nothing leaves, nothing is lost."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import select

from envoi.customers.devices import register
from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Circuit, Message, MessageState, Run, RunStatus
from envoi.delivery.probing import probe_gateway
from envoi.delivery.runs import get_run
from envoi.demo.push_keys import PushKeys
from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.installation import Installation
from envoi.outgoing import HttpClient, WebAccount
from envoi.plugins import Plugins
from envoi.testing.certificates import DAY, HERE, NOW, Authority, make_authority
from envoi.types import Outgoing
from envoi_provider_devino.sms import SmsAccount, SmsSettings
from envoi_provider_hms.provider import HmsAccount, HmsSettings
from envoi_simulators.push_services import PushServices
from factories.customers import customer_ids, make_customers
from factories.delivery import a_run, an_installation
from factories.push import fcm_values, provider_of, push_message
from factories.scripted import send_through
from web_sink import WebSink

BAD: dict[str, tuple[Callable[[Authority], ssl.SSLContext], str]] = {
    "expired": (lambda a: a.context(HERE, begins=NOW - 2 * DAY, ends=NOW - DAY), "has expired"),
    "too early": (lambda a: a.context(HERE, begins=NOW + DAY, ends=NOW + 2 * DAY), "not yet valid"),
    "another host": (lambda a: a.context([x509.DNSName("push.other.test")]), "another server"),
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def refused(account: WebAccount, message: Outgoing, words: str) -> None:
    """Neither a test nor a message gets beyond the certificate."""

    def send() -> None:
        with closing(account.connect()) as connection:
            connection.send(message)

    for ask in (account.test, send):
        with pytest.raises(PermanentProviderError, match=words) as caught:
            ask()
        assert str(caught.value).startswith("The certificate of 127.0.0.1")
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.raw


@pytest.mark.parametrize("service", ["fcm", "apns", "rustore"])
@pytest.mark.parametrize("kind", BAD)
def test_push_over_http_2(trusted: Authority, service: str, kind: str) -> None:
    make, words = BAD[kind]
    with PushServices(tls=make(trusted)) as services:
        refused(provider_of(service, services), push_message(1), words)
        assert services.taken == []


@pytest.mark.parametrize("service", ["fcm", "apns", "rustore"])
def test_push_goes_through_a_good_one(trusted: Authority, service: str) -> None:
    with PushServices(tls=trusted.context(HERE)) as services:
        account = provider_of(service, services)
        assert account.test()
        with closing(account.connect()) as connection:
            results = connection.send_batch([push_message(n) for n in range(1, 151)])
        assert len(services.taken) == len(results) == 150


def accounts_of(url: str) -> list[tuple[WebAccount, Outgoing]]:
    """An account of HTTP/1.1 for SMS, and one for push, whose token is asked for first."""
    sms = SmsAccount(SmsSettings.model_validate({"url": url, "api_key": "key", "timeout": 5}))
    given = {"client_id": "7", "client_secret": "s", "title": "Shop", "url": url}
    text = Outgoing(key="k", address="+79115550001", sender="Shop", payload=b"Hello")
    return [(sms, text), (HmsAccount(HmsSettings.model_validate(given)), push_message(1))]


@pytest.mark.parametrize("kind", BAD)
def test_services_over_http_1(trusted: Authority, kind: str) -> None:
    make, words = BAD[kind]
    with WebSink(tls=make(trusted)) as sink:
        for account, message in accounts_of(sink.url):
            refused(account, message, words)
        assert sink.asked == []


def test_nobody_vouches_for_it(authority: Authority) -> None:
    with PushServices(tls=authority.context(HERE)) as services:
        refused(provider_of("apns", services), push_message(1), "signed by nobody")
    with WebSink(tls=authority.context(HERE)) as sink:
        for account, message in accounts_of(sink.url):
            refused(account, message, "signed by nobody")


def test_tls_that_is_none(trusted: Authority) -> None:
    with (
        WebSink() as sink,
        closing(HttpClient(timeout=5)) as client,
        pytest.raises(TemporaryProviderError, match="cannot be reached") as caught,
    ):
        client.request("GET", sink.url.replace("http:", "https:"))
    assert "SSL" in caught.value.raw


def test_an_expired_certificate_pauses_the_mailing_and_costs_nobody_anything(
    trusted: Authority,
    installation: Installation,
    tenant_id: int,
) -> None:
    keys = PushKeys.made()
    with PushServices(keys=keys, tls=BAD["expired"][0](trusted)) as services:
        gateway, run = mailing(installation, tenant_id, fcm_values(services))
        for _ in range(3):
            send_through(installation, run)
        assert services.taken == []
    with installation.database.tenant_session(tenant_id) as session:
        circuit = session.get_one(Circuit, (tenant_id, gateway))
        assert get_run(session, tenant_id, run.id).status == RunStatus.PAUSED
        assert circuit.opened_at is not None
        assert "127.0.0.1 has expired. Whoever runs the server has to renew it" in circuit.error
        assert "CERTIFICATE_VERIFY_FAILED" in circuit.answer
    assert messages(installation.database, run) == [(MessageState.READY, 0)] * 3
    renewed = trusted.context(HERE)
    with PushServices(keys=keys, tls=renewed, port=services.port) as services:
        assert probe_gateway(installation, tenant_id, gateway)
        send_through(installation, run)
        assert len(services.taken) == 3
    assert messages(installation.database, run) == [(MessageState.ACCEPTED, 0)] * 3


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def mailing(installation: Installation, tenant_id: int, values: dict[str, Any]) -> tuple[int, Run]:
    """A gateway to FCM, and a mailing to three people with a device each."""
    with installation.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        people = customer_ids(session, tenant_id)
        for person in people:
            register(session, tenant_id, person, service="fcm", token=f"token{person}")
        gateway = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="push",
            provider="fcm",
            name="fcm",
            values=values,
            is_default=True,
        )
        content = {"title": "News", "text": "Hello", "link": ""}
        run = a_run(session, tenant_id, None, people, content=content, channel="push")
        return gateway.id, run


def messages(database: Database, run: Run) -> list[tuple[MessageState, int]]:
    """The states, and how many attempts were used up."""
    c = table(Message).c
    query = select(c.state, c.attempt).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        return [(MessageState(row.state), row.attempt) for row in session.execute(query)]
