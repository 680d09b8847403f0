"""Who a push message reaches: customers with a device, each once, by indexes alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text

from envoi.audience.estimate import estimate, why
from envoi.audience.recheck import recheck
from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_rows
from envoi.customers.devices import drop, register
from envoi.db import Database
from envoi.delivery.models import Stage
from envoi.delivery.recipients import PeopleQuery, Wanted
from envoi.plugins import Plugins
from envoi.tenants.service import create_tenant
from envoi.types import AddressKind, SendStatus, Submission
from factories.customers import customer_ids, make_customers, opt_out
from plans import Explain, nodes, scans

MANY = 20_000


def request_for(tenant_id: int) -> AudienceRequest:
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="push",
        address_kind=AddressKind.PUSH,
        now=datetime.now(UTC),
    )


def make_devices(connection: Connection, tenant_id: int, people: Sequence[int]) -> None:
    """Give customers two devices each."""
    connection.execute(
        text(
            "INSERT INTO device (tenant_id, customer_id, service, token) SELECT :tenant, id,"
            " service, service || id FROM unnest(CAST(:people AS bigint[])) AS id,"
            " unnest(ARRAY['fcm', 'apns']) AS service"
        ),
        {"tenant": tenant_id, "people": list(people)},
    )


def test_without_a_living_device_nobody_is_reached(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 6, emails=False)
        people = customer_ids(session, tenant_id)
        make_devices(session.connection(), tenant_id, people[:3])
        lost = register(session, tenant_id, people[3], service="fcm", token="lost")
        told = Submission(number=lost, status=SendStatus.REFUSED, address_gone=True)
        drop(session.connection(), tenant_id, [told])
        opt_out(session.connection(), tenant_id, "C-1", channel="push")
    request = request_for(tenant_id)
    with database.tenant_connection(tenant_id) as connection:
        volume = estimate(connection, plugins, request)
        answer = why(connection, plugins, request, people[3])
    assert volume.segment == 6
    assert volume.excluded(Stage.ADDRESS_ISSUE) == 3
    assert volume.excluded(Stage.CHANNEL_OPT_OUT) == 1
    assert volume.recipients == 2
    assert answer is not None
    assert (answer.stage, answer.detail) == (Stage.ADDRESS_ISSUE, "without")


def test_a_block_fetches_the_devices_of_its_customers(database: Database, tenant_id: int) -> None:
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, 3)
        people = customer_ids(connection, tenant_id)
        make_devices(connection, tenant_id, people[:1])
        query = PeopleQuery(tenant_id, AddressKind.PUSH, Wanted())
        found = query.fetch(connection, people)
        emails = PeopleQuery(tenant_id, AddressKind.EMAIL, Wanted()).fetch(connection, people)
    assert [[d.service for d in found[n].devices] for n in people] == [["fcm", "apns"], [], []]
    assert not any(person.devices for person in emails.values())


@pytest.fixture(scope="module")
def large(database: Database) -> int:
    tenant_id = create_tenant(database, slug="push-large", name="Large").id
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, MANY)
        people = customer_ids(connection, tenant_id)
        make_devices(connection, tenant_id, people[: MANY // 2])
    with database.engine.begin() as owner:
        owner.execute(text("ANALYZE device, customer"))
    return tenant_id


def test_a_block_looks_its_devices_up(database: Database, plugins: Plugins, large: int) -> None:
    statement = recheck(plugins, request_for(large))
    with database.tenant_connection(large) as connection:
        ids = customer_ids(connection, large)[:50]
        found = scans(connection, statement, customer_ids=ids, now=datetime.now(UTC))
    assert "Seq Scan" not in found["device"] | found["customer"]


def test_a_whole_base_is_joined_as_a_set(database: Database, plugins: Plugins, large: int) -> None:
    statement = judge_rows(plugins, request_for(large)).query
    with database.tenant_connection(large) as connection:
        plan = connection.execute(Explain(statement)).scalar_one()[0]["Plan"]
        volume = estimate(connection, plugins, request_for(large))
    loops = [node for node in nodes(plan) if node["Node Type"] == "Nested Loop"]
    repeated = {n.get("Relation Name") for loop in loops for n in nodes(loop["Plans"][1])}
    assert not {"device", "customer"} & repeated
    assert volume.recipients == MANY // 2
