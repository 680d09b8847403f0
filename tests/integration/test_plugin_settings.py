"""What a company sets of a plugin: kept for this company alone, its secrets sealed."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import select, update

from envoi import plugin_settings as kept
from envoi.data import plugin_settings
from envoi.db import Database, table
from envoi.errors import ConfigurationError, ValidationFailedError
from envoi.settings import Settings
from envoi.tenants.models import PluginSettings
from envoi.tenants.service import create_tenant
from envoi.types import SettingsSpec

OLD = Settings(secret_key=SecretStr("the key of before, for a test, thirty-two bytes"))
NEW = Settings(
    secret_key=SecretStr("the key of now, for a test, more than thirty-two bytes"),
    former_secret_keys=(OLD.secret_key,),
)
ONLY_NEW = Settings(secret_key=NEW.secret_key)
KEY = "a key of the test"


class Counter(BaseModel):
    """Settings with a secret."""

    model_config = ConfigDict(extra="forbid")

    most: int = Field(10, ge=1)
    server: str = "https://one.test"
    key: SecretStr = Field(SecretStr(""), json_schema_extra={"sent_to": "server"})


class LaterCounter(BaseModel):
    """Settings of a later version: one is gone, and one more has to be set."""

    model_config = ConfigDict(extra="forbid")

    most: int = 10
    region: str


SPEC = SettingsSpec(name="counter", label="Counter", settings=Counter)
LATER = SettingsSpec(name="counter", label="Counter", settings=LaterCounter)


@pytest.fixture(autouse=True)
def opened() -> Iterator[None]:
    """A process of an installation whose key is the old one."""
    kept.open_with(OLD)
    yield
    kept._boxes.clear()


def save(database: Database, tenant_id: int, settings: Settings = OLD, **values: object) -> None:
    with database.tenant_session(tenant_id) as session:
        kept.save_settings(session, settings, tenant_id, SPEC, values)


def read(database: Database, tenant_id: int) -> Counter:
    with database.tenant_session(tenant_id) as session:
        return plugin_settings(session, tenant_id, SPEC)


def another(database: Database) -> int:
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id


def test_usual_values_until_something_is_set(database: Database, tenant_id: int) -> None:
    other = another(database)
    assert read(database, tenant_id) == Counter()
    save(database, tenant_id, most=3, key=KEY)
    save(database, tenant_id, most=4)
    assert read(database, tenant_id) == Counter(most=4, key=SecretStr(KEY)), "the key stays"
    assert read(database, other) == Counter()


def test_what_does_not_suit_is_refused_and_nothing_changes(
    database: Database, tenant_id: int
) -> None:
    save(database, tenant_id, most=3)
    with pytest.raises(ValidationFailedError) as refused:
        save(database, tenant_id, most=0)
    assert [problem.field for problem in refused.value.problems] == ["most"]
    assert read(database, tenant_id).most == 3


def test_a_secret_is_stored_sealed_and_not_sent_elsewhere(
    database: Database, tenant_id: int
) -> None:
    save(database, tenant_id, key=KEY)
    with database.tenant_session(tenant_id) as session:
        row = session.get_one(PluginSettings, (tenant_id, "counter"))
        assert "key" not in row.settings
        assert KEY.encode() not in row.secrets
    with pytest.raises(ValidationFailedError, match="sent elsewhere"):
        save(database, tenant_id, server="https://two.test")


def test_a_secret_opens_after_a_new_key_and_not_with_a_strange_one(
    database: Database, tenant_id: int
) -> None:
    save(database, tenant_id, key=KEY)
    kept.open_with(NEW)
    assert read(database, tenant_id).key.get_secret_value() == KEY
    kept.open_with(ONLY_NEW)
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        read(database, tenant_id)
    save(database, tenant_id, ONLY_NEW, key="another")
    assert read(database, tenant_id).key.get_secret_value() == "another"


def test_a_secret_that_was_moved_to_another_company_does_not_open(
    database: Database, tenant_id: int
) -> None:
    other = another(database)
    save(database, tenant_id, key=KEY)
    save(database, other, key="theirs")
    c = table(PluginSettings).c
    with database.tenant_session(tenant_id) as session:
        stolen = session.scalar(select(c.secrets).where(c.tenant_id == tenant_id))
    with database.tenant_session(other) as session:
        mine = update(table(PluginSettings)).where(c.tenant_id == other)
        session.execute(mine.values(secrets=stolen))
    with pytest.raises(ConfigurationError, match="cannot be decrypted"):
        read(database, other)


def test_a_later_version_forgets_what_it_dropped_and_says_what_is_missing(
    database: Database, tenant_id: int
) -> None:
    save(database, tenant_id, most=3)
    with database.tenant_session(tenant_id) as session:
        with pytest.raises(ConfigurationError, match="settings of Counter are missing"):
            plugin_settings(session, tenant_id, LATER)
        kept.save_settings(session, OLD, tenant_id, LATER, {"most": 5, "region": "north"})
        assert plugin_settings(session, tenant_id, LATER).most == 5
