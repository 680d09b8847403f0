"""Devices: registering, moving with their token, and going."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from envoi.customers.devices import (
    MOST_DEVICES,
    DeviceQuery,
    devices_of,
    drop,
    register,
    sign_off,
)
from envoi.db import Database
from envoi.tenants.service import create_tenant
from envoi.types import SendStatus, Submission
from factories.customers import customer_ids, make_customers


@pytest.fixture
def people(database: Database, tenant_id: int) -> list[int]:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        return list(customer_ids(session, tenant_id))


def tokens(database: Database, tenant_id: int, customer_ids: list[int]) -> dict[int, list[str]]:
    with database.tenant_connection(tenant_id) as connection:
        found = DeviceQuery(tenant_id).fetch(connection, customer_ids)
    return {customer_id: [d.token for d in devices] for customer_id, devices in found.items()}


def gone(number: int, since: datetime | None = None) -> Submission:
    return Submission(number=number, status=SendStatus.REFUSED, address_gone=True, gone_since=since)


def test_a_customer_has_several_devices(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    with database.tenant_session(tenant_id) as session:
        register(session, tenant_id, people[0], service="fcm", token="a")
        register(session, tenant_id, people[0], service="apns", token="b")
        register(session, tenant_id, people[1], service="fcm", token="c")
    assert tokens(database, tenant_id, people) == {people[0]: ["a", "b"], people[1]: ["c"]}


def test_a_customer_keeps_the_newest_devices(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    for number in range(MOST_DEVICES + 2):
        with database.tenant_session(tenant_id) as session:
            register(session, tenant_id, people[0], service="fcm", token=f"t{number}")
    newest = [f"t{number}" for number in range(2, MOST_DEVICES + 2)]
    assert tokens(database, tenant_id, people) == {people[0]: newest}


def test_a_token_moves_with_whoever_logs_in(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    with database.tenant_session(tenant_id) as session:
        first = register(session, tenant_id, people[0], service="fcm", token="a", name="Pixel")
        second = register(session, tenant_id, people[1], service="fcm", token="a", name="Pixel 9")
        [device] = devices_of(session, tenant_id, people[1])
        assert devices_of(session, tenant_id, people[0]) == []
    assert first == second == device.id
    assert device.name == "Pixel 9"


def test_only_its_own_customer_signs_a_device_off(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    with database.tenant_session(tenant_id) as session:
        register(session, tenant_id, people[0], service="fcm", token="a")
        assert not sign_off(session, tenant_id, people[1], service="fcm", token="a")
        assert sign_off(session, tenant_id, people[0], service="fcm", token="a")
        assert not sign_off(session, tenant_id, people[0], service="fcm", token="a")


def test_what_is_gone_takes_no_messages_until_it_is_registered_again(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    with database.tenant_session(tenant_id) as session:
        number = register(session, tenant_id, people[0], service="fcm", token="a")
        kept = register(session, tenant_id, people[0], service="fcm", token="b")
        answered = Submission(number=kept, status=SendStatus.REFUSED)
        drop(session.connection(), tenant_id, [gone(number), answered])
        shown = devices_of(session, tenant_id, people[0])
        assert [(d.token, d.gone_at is None) for d in shown] == [("b", True), ("a", False)]
    assert tokens(database, tenant_id, people) == {people[0]: ["b"]}
    with database.tenant_session(tenant_id) as session:
        assert register(session, tenant_id, people[0], service="fcm", token="a") == number
    assert tokens(database, tenant_id, people) == {people[0]: ["a", "b"]}


@pytest.mark.parametrize(("minutes", "left"), [(-1, ["a"]), (1, [])])
def test_a_device_that_was_registered_after_it_was_gone_stays(
    database: Database, tenant_id: int, people: list[int], minutes: int, left: list[str]
) -> None:
    with database.tenant_session(tenant_id) as session:
        number = register(session, tenant_id, people[0], service="apns", token="a")
    since = datetime.now(UTC) + timedelta(minutes=minutes)
    with database.tenant_session(tenant_id) as session:
        drop(session.connection(), tenant_id, [gone(number, since)])
    assert tokens(database, tenant_id, people).get(people[0], []) == left


def test_another_company_reaches_none_of_them(
    database: Database, tenant_id: int, people: list[int]
) -> None:
    stranger = create_tenant(database, slug=f"s{tenant_id}", name="Stranger").id
    with database.tenant_session(tenant_id) as session:
        number = register(session, tenant_id, people[0], service="fcm", token="a")
    with database.tenant_session(stranger) as session:
        drop(session.connection(), stranger, [gone(number)])
        assert not sign_off(session, stranger, people[0], service="fcm", token="a")
        assert devices_of(session, stranger, people[0]) == []
    with pytest.raises(IntegrityError), database.tenant_session(stranger) as session:
        register(session, stranger, people[0], service="fcm", token="a")
    assert tokens(database, tenant_id, people) == {people[0]: ["a"]}
