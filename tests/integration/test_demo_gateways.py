"""The demo's gateways and the simulated providers know each other: what is sent arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from envoi.db import Database
from envoi.delivery.gateway_list import list_gateways
from envoi.delivery.gateways import open_gateway
from envoi.demo.gateways import set_demo_gateways
from envoi.demo.phone import PhoneAwayError, Phones
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.types import Outgoing, SendStatus
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
VIBER = {"text": "Hello", "image": "", "button": "", "url": "", "category": "promotional"}
PUSH = {"title": "Coffee", "text": "Hello", "image": "", "link": "", "data": {}}
MESSAGES = {
    "smpp": (ANNA, b"Hello"),
    "devino_viber": (ANNA, json.dumps(VIBER).encode()),
    "apns": (TOKEN, json.dumps(PUSH).encode()),
    "fcm": (f"{TOKEN}b2", json.dumps(PUSH).encode()),
}


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


def test_what_is_sent_by_each_gateway_arrives_on_a_phone(
    gateways: Installation, phones: Phones, tenant_id: int
) -> None:
    with gateways.database.tenant_session(tenant_id) as session:
        found = {g.gateway.provider: g.gateway.id for g in list_gateways(session, tenant_id)}
        about = (session, gateways.plugins, gateways.settings, tenant_id)
        providers = {name: open_gateway(*about, found[name]) for name in MESSAGES}
    assert found.keys() == {"smtp", *MESSAGES}
    for name, provider in providers.items():
        address, payload = MESSAGES[name]
        assert provider.test(), name
        connection = provider.connect()
        message = Outgoing(key=f"k-{name}", address=address, sender="SHOP", payload=payload)
        assert connection.send(message).status is SendStatus.ACCEPTED, name
        connection.close()
        assert [each.text for each in phones.messages([address], 1)] == ["Hello"], name


def _answer(phones: Phones) -> bool:
    try:
        phones.newest(1)
    except PhoneAwayError:
        return False
    return True
