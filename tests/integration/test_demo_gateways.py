"""The demo's gateways and the simulated providers know each other: what is sent arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest
from pydantic import SecretStr

from envoi.db import Database
from envoi.delivery.gateway_list import list_gateways
from envoi.delivery.gateways import open_gateway
from envoi.demo.gateways import demo_accounts, set_demo_gateway, set_demo_gateways
from envoi.demo.phone import PhoneAwayError, Phones
from envoi.demo.services import Conduct, Fault, Service
from envoi.errors import TemporaryProviderError
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.types import Device, Outgoing, Provider, SendResult, SendStatus
from processes import running_script, wait_until
from product import free_ports

SIMULATORS = """
import json, os, sys
os.environ.update(json.loads(sys.argv[1]))
from envoi_simulators.cli import simulators
simulators([])
"""
ANNA = "+12015550101"
TOKEN = "a1" * 32
SOCIAL = {"text": "Hello", "template": "points-7"}
VIBER = {"text": "Hello", "image": "", "button": "", "url": "", "category": "promotional"}
PICTURE, LINK = "https://shop.test/coffee.png", "fieldmarket://coffee"
PUSH = {"title": "Coffee", "text": "Hello", "image": PICTURE, "link": LINK, "data": {"cup": "2"}}
SMS = (ANNA, b"Hello")
APPS = ("apns", "fcm", "hms", "rustore", "azure")
MESSAGES = {
    **dict.fromkeys(("smpp", "devino_sms", "smstraffic", "streamtelecom", "http_sms"), SMS),
    **dict.fromkeys(("devino_viber", "smstraffic_viber"), (ANNA, json.dumps(VIBER).encode())),
    "devino_social": (ANNA, json.dumps(SOCIAL).encode()),
    **{name: (f"{TOKEN}{name.encode().hex()}", json.dumps(PUSH).encode()) for name in APPS},
}
AT_FIRST = {"smtp", "smpp", "devino_viber", "devino_social", "apns", "fcm", "hms"}
FAULTS: dict[Fault, set[SendStatus | None]] = {
    Fault.THROTTLED: {SendStatus.THROTTLED, SendStatus.REFUSED_NOW, None},
    Fault.REFUSED: {SendStatus.REFUSED},
    Fault.CUT: {SendStatus.UNKNOWN},
    Fault.BROKEN: {SendStatus.REFUSED_NOW, SendStatus.UNKNOWN, None},
    Fault.NOT_JSON: {SendStatus.UNKNOWN, SendStatus.REFUSED_NOW, None},
}
"""What may become of a message by each, whichever service makes the mistake; none: it waits."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    key = SecretStr("a key for the demo of a test, thirty-two bytes")
    return Settings(data_dir=tmp_path_factory.mktemp("demo"), port=free_ports(9), secret_key=key)


@pytest.fixture
def gateways(
    settings: Settings, database: Database, plugins: Plugins, tenant_id: int
) -> Installation:
    installation = Installation(settings, database, plugins)
    with database.tenant_session(tenant_id) as session:
        set_demo_gateways(session, installation, tenant_id)
    return installation


@pytest.fixture
def phones(gateways: Installation, settings: Settings) -> Iterator[Phones]:
    given = {
        "ENVOI_DATA_DIR": str(settings.data_dir),
        "ENVOI_PORT": str(settings.port),
        "ENVOI_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    found = Phones(settings)
    with running_script(SIMULATORS, json.dumps(given)):
        wait_until(lambda: _answer(found), seconds=60, what="the virtual phones")
        yield found


@pytest.fixture
def providers(gateways: Installation, phones: Phones, tenant_id: int) -> dict[str, Provider]:
    """An account of each provider: those of the demo, and the others set up by hand."""
    with gateways.database.tenant_session(tenant_id) as session:
        there = {g.gateway.provider: g.gateway.id for g in list_gateways(session, tenant_id)}
        assert there.keys() == AT_FIRST
        for account in demo_accounts(gateways.settings):
            if not account.at_first:
                made, _ = set_demo_gateway(session, gateways, tenant_id, account, is_default=False)
                there[account.provider] = made.id
        about = (session, gateways.plugins, gateways.settings, tenant_id)
        return {name: open_gateway(*about, there[name]) for name in MESSAGES}


def test_what_is_sent_by_each_gateway_arrives_on_a_phone(
    providers: dict[str, Provider], phones: Phones
) -> None:
    for name, provider in providers.items():
        assert provider.test(), name
        assert _sent(name, provider).status is SendStatus.ACCEPTED, name
        [arrival] = phones.messages([MESSAGES[name][0]], 1)
        assert arrival.text == "Hello", name
        if name in APPS:
            fields = {"title": "Coffee", "image": PICTURE, "link": LINK, "data": {"cup": "2"}}
            assert arrival.fields == fields, name


def test_every_service_makes_the_mistakes_it_is_told_to(
    providers: dict[str, Provider], phones: Phones
) -> None:
    assert phones.conducts() == {each.value: Conduct() for each in Service}
    for fault, allowed in FAULTS.items():
        for service in Service:
            phones.set_conduct(service, Conduct(fault=fault, per_second=1))
        for name, provider in providers.items():
            found = {_status(name, provider) for _ in range(3)}
            assert found & allowed, (fault, name, found)
            assert found <= allowed | {SendStatus.ACCEPTED}, (fault, name, found)
        for service in Service:
            phones.set_conduct(service, Conduct())
        for name, provider in providers.items():
            # An account that was asked to wait does.
            accepted = partial(_is_accepted, name, provider)
            wait_until(accepted, seconds=10, what=f"{name} to work again")


def _is_accepted(name: str, provider: Provider) -> bool:
    return _status(name, provider) is SendStatus.ACCEPTED


def _status(name: str, provider: Provider) -> SendStatus | None:
    try:
        return _sent(name, provider).status
    except TemporaryProviderError:
        return None


def _sent(name: str, provider: Provider) -> SendResult:
    address, payload = MESSAGES[name]
    message = Outgoing(key=uuid4().hex, address=address, sender="SHOP", payload=payload)
    if name in APPS:
        kind = "fcm" if name == "azure" else name
        message = replace(message, devices=(Device(id=1, service=kind, token=address),))
    with closing(provider.connect()) as connection:
        return connection.send(message)


def _answer(phones: Phones) -> bool:
    try:
        phones.newest(1)
    except PhoneAwayError:
        return False
    return True
