"""A stored password opens in its own company and row only, and after a change of the key."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from envoi.db import Database, table
from envoi.delivery.gateways import get_gateway, set_gateway, settings_of
from envoi.delivery.models import Gateway
from envoi.errors import ConfigurationError
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import create_tenant
from envoi_provider_smpp.settings import SmppSettings

OLD = Settings(secret_key=SecretStr("the key of before, for a test, thirty-two bytes"))
NEW = Settings(
    secret_key=SecretStr("the key of now, for a test, more than thirty-two bytes"),
    former_secret_keys=(OLD.secret_key,),
)
ONLY_NEW = Settings(secret_key=NEW.secret_key)
PASSWORD = "a password of the test"


def _gateway(database: Database, plugins: Plugins, tenant_id: int, name: str = "SMS") -> int:
    values = {"host": "127.0.0.1", "system_id": "shop", "password": PASSWORD}
    with database.tenant_session(tenant_id) as session:
        made = set_gateway(
            session,
            plugins,
            OLD,
            tenant_id,
            channel="sms",
            provider="smpp",
            name=name,
            values=values,
        )
        return made.id


def _password(
    database: Database, plugins: Plugins, settings: Settings, tenant_id: int, gateway_id: int
) -> str:
    with database.tenant_session(tenant_id) as session:
        gateway = get_gateway(session, tenant_id, gateway_id)
        found = settings_of(session, plugins, settings, gateway)
        assert isinstance(found, SmppSettings)
        return found.password.get_secret_value()


def _move(database: Database, source: tuple[int, int], target: tuple[int, int]) -> None:
    """Put the secrets of one row into another, as somebody with the database could."""
    c = table(Gateway).c
    with database.tenant_session(source[0]) as session:
        query = select(c.secrets).where(c.tenant_id == source[0], c.id == source[1])
        stolen = session.scalar(query)
    with database.tenant_session(target[0]) as session:
        mine = (c.tenant_id == target[0], c.id == target[1])
        session.execute(update(table(Gateway)).where(*mine).values(secrets=stolen))


def test_a_password_that_was_moved_to_another_company_does_not_open(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    other = create_tenant(database, slug=f"thief-{tenant_id}", name="Thief").id
    mine, theirs = (_gateway(database, plugins, t) for t in (tenant_id, other))
    _move(database, (tenant_id, mine), (other, theirs))
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        _password(database, plugins, OLD, other, theirs)
    assert _password(database, plugins, OLD, tenant_id, mine) == PASSWORD


def test_nor_in_another_row_of_the_same_company(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    one, two = (_gateway(database, plugins, tenant_id, name) for name in ("One", "Two"))
    _move(database, (tenant_id, one), (tenant_id, two))
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        _password(database, plugins, OLD, tenant_id, two)


def test_a_password_outlives_a_change_of_the_key_while_the_old_one_is_known(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    gateway_id = _gateway(database, plugins, tenant_id)
    assert _password(database, plugins, NEW, tenant_id, gateway_id) == PASSWORD
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        _password(database, plugins, ONLY_NEW, tenant_id, gateway_id)
