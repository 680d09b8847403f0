"""The API: keys, devices of customers, facts of messages, and everybody who is not let in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from envoi.api.keys import keys_of, make_key, revoke
from envoi.api.limits import STRANGERS_PER_MINUTE, Allowances
from envoi.customers.devices import devices_of
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run
from envoi.errors import NotFoundError, ValidationFailedError
from envoi.plugins import Plugins
from envoi.tenants.service import create_tenant
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import MessageRef, TokenSigner
from factories.customers import customer_ids, make_customers
from factories.delivery import a_run

DEVICES = "/api/v1/customers/C-1/devices"
EVENTS = "/api/v1/push/events"
SIGNER = TokenSigner(["a secret of the tests, 32 letters"])


class Caller:
    """A system of a company with its key."""

    def __init__(self, client: Client, key: str) -> None:
        self.client, self.key = client, key

    def __call__(self, path: str, body: Any = None, method: str = "POST") -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.open(path, method=method, data=data, headers=headers)


@pytest.fixture
def client(database: Database, plugins: Plugins) -> Iterator[Client]:
    app = TrackingApp(database, SIGNER, plugins)
    yield Client(app)
    app.close()


@pytest.fixture
def call(client: Client, database: Database, tenant_id: int) -> Caller:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2)
        return Caller(client, make_key(session, tenant_id, "The app", None))


def tokens(database: Database, tenant_id: int, place: int = 0) -> list[str]:
    with database.tenant_session(tenant_id) as session:
        customer_id = customer_ids(session, tenant_id)[place]
        return [device.token for device in devices_of(session, tenant_id, customer_id)]


def problems(answer: TestResponse) -> dict[str, str]:
    return {each["field"]: each["message"] for each in json.loads(answer.data)["errors"]}


def test_an_app_registers_and_signs_off(call: Caller, database: Database, tenant_id: int) -> None:
    device = {"service": "fcm", "token": "t-1", "name": "Pixel 9", "app": "shop"}
    assert call(DEVICES, device).status_code == 201
    assert call(DEVICES, device).status_code == 201
    assert tokens(database, tenant_id) == ["t-1"]
    named = {"service": "fcm", "token": "t-1"}
    assert call("/api/v1/customers/C-2/devices", named, "DELETE").status_code == 404
    assert call(DEVICES, named, "DELETE").status_code == 204
    assert tokens(database, tenant_id) == []
    assert call(DEVICES, named, "DELETE").status_code == 404


def test_a_token_moves_to_whoever_logs_in(call: Caller, database: Database, tenant_id: int) -> None:
    device = {"service": "apns", "token": "t-1"}
    assert call(DEVICES, device).status_code == 201
    assert call("/api/v1/customers/C-2/devices", device).status_code == 201
    assert (tokens(database, tenant_id, 0), tokens(database, tenant_id, 1)) == ([], ["t-1"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"token": "t"}, "service"),
        ({"service": "fcm"}, "token"),
        ({"service": "fcm", "token": ""}, "token"),
        ({"service": "fcm", "token": "two words"}, "token"),
        ({"service": "fcm", "token": "x" * 4_097}, "token"),
        ({"service": "pigeon", "token": "t"}, "service"),
        ({"service": "fcm", "token": "t", "name": "a\0b"}, "name"),
        ({"service": "fcm", "token": "t", "customer_id": 1}, "customer_id"),
        ([], ""),
        (b"not json", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_what_is_wrong_is_told_by_field(call: Caller, body: Any, field: str) -> None:
    answer = call(DEVICES, body)
    assert answer.status_code == 422
    assert field in problems(answer)


@pytest.mark.parametrize("name", ["C-99", "", "a/b", "%00", "%FF", "..%2f.."])
def test_an_unknown_customer_is_not_found(call: Caller, name: str) -> None:
    answer = call(f"/api/v1/customers/{name}/devices", {"service": "fcm", "token": "t"})
    assert answer.status_code == 404


def test_methods_addresses_and_sizes_that_are_none(call: Caller) -> None:
    assert call("/api/v1/nothing", {}).status_code == 404
    wrong = call(DEVICES, {}, "PUT")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST, DELETE")
    assert call(DEVICES, b"x" * 300_000).status_code == 413


def test_only_a_living_key_of_the_company_opens(
    client: Client, call: Caller, database: Database, tenant_id: int
) -> None:
    stranger = create_tenant(database, slug=f"s{tenant_id}", name="Stranger").id
    with database.tenant_session(stranger) as session:
        theirs = make_key(session, stranger, "Theirs", None)
    forged = theirs.replace(f"envoi_{stranger}_", f"envoi_{tenant_id}_")
    device = {"service": "fcm", "token": "t-1"}
    for key in (forged, call.key[:-1], f"{call.key}x", "", "envoi_0_", "envoi_1_'; --", "é"):
        answer = Caller(client, key)(DEVICES, device)
        assert answer.status_code == 401, key
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    # A stranger's own key leads to the stranger's own customers, and it has none.
    assert Caller(client, theirs)(DEVICES, device).status_code == 404
    assert tokens(database, tenant_id) == []
    with database.tenant_session(tenant_id) as session:
        [known] = keys_of(session, tenant_id)
        assert known.used_at is None
        assert call.key not in known.digest
        revoke(session, tenant_id, known.id)
    assert call(DEVICES, device).status_code == 401


def test_keys_are_named_and_belong_to_one_company(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        for name in ("", " ", "x" * 101, "a\nb"):
            with pytest.raises(ValidationFailedError):
                make_key(session, tenant_id, name, None)
        make_key(session, tenant_id, "One", None)
        [key] = keys_of(session, tenant_id)
    stranger = create_tenant(database, slug=f"k{tenant_id}", name="Stranger").id
    with database.tenant_session(stranger) as session, pytest.raises(NotFoundError):
        revoke(session, stranger, key.id)


def test_who_asks_too_often_waits(client: Client) -> None:
    codes = [
        client.post(DEVICES, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code
        for _ in range(STRANGERS_PER_MINUTE + 1)
    ]
    assert codes.count(401) >= STRANGERS_PER_MINUTE - 1
    assert codes[-1] == 429
    other = client.post(DEVICES, environ_base={"REMOTE_ADDR": "192.0.2.2"})
    assert other.status_code == 401


def test_a_minute_is_counted_for_each_alone() -> None:
    now = [30.0]
    allowances = Allowances(lambda: now[0])
    assert [allowances.take("a", 2) for _ in range(3)] == [0, 0, 30]
    assert allowances.take("b", 2) == 0
    now[0] = 61.0
    assert allowances.take("a", 2) == 0


@pytest.fixture
def sent(database: Database, tenant_id: int, call: Caller) -> tuple[Run, str]:
    """A message that was taken, and its key."""
    with database.tenant_session(tenant_id) as session:
        [customer_id] = customer_ids(session, tenant_id, "C-1")
        run = a_run(session, tenant_id, None, [customer_id], channel="push")
        taken = {"state": MessageState.ACCEPTED, "accepted_at": datetime.now(UTC)}
        session.execute(table(Message).update().where(*_of(run)).values(**taken))
    ref = MessageRef(
        tenant_id=tenant_id,
        run_id=run.id,
        customer_id=customer_id,
        launched_on=run.launched_on,
        step=1,
        variant=1,
    )
    return run, SIGNER.message_key(ref)


def _of(run: Run) -> list[Any]:
    c = table(Message).c
    mine = [c.tenant_id == run.tenant_id, c.run_id == run.id]
    return [*mine, c.launched_on == run.launched_on]


def moments(database: Database, run: Run) -> tuple[Any, Any, Any]:
    c = table(Message).c
    query = select(c.delivered_at, c.opened_at, c.clicked_at).where(*_of(run))
    with database.tenant_session(run.tenant_id) as session:
        row = session.execute(query).one()
    return row.delivered_at, row.opened_at, row.clicked_at


def test_facts_become_moments_of_the_message(
    call: Caller, database: Database, sent: tuple[Run, str]
) -> None:
    run, key = sent
    at = datetime.now(UTC) - timedelta(minutes=5)
    fact = {"type": "delivered", "message_id": key, "occurred_at": at.isoformat()}
    assert call(EVENTS, {"events": [fact]}).status_code == 202
    delivered, opened, clicked = moments(database, run)
    assert (delivered, opened, clicked) == (at, None, None)
    more = [{"type": kind, "message_id": key} for kind in ("open", "click", "open")]
    assert json.loads(call(EVENTS, {"events": more}).data) == {"accepted": 3}
    assert all(moments(database, run))
    assert moments(database, run)[0] == at


def test_facts_of_another_companys_message_change_nothing(
    client: Client, database: Database, tenant_id: int, sent: tuple[Run, str]
) -> None:
    run, key = sent
    stranger = create_tenant(database, slug=f"f{tenant_id}", name="Stranger").id
    with database.tenant_session(stranger) as session:
        theirs = make_key(session, stranger, "Theirs", None)
    call = Caller(client, theirs)
    for name in (key, key[:-1] + "a", "nothing"):
        assert call(EVENTS, {"events": [{"type": "open", "message_id": name}]}).status_code == 202
    assert moments(database, run) == (None, None, None)


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ([], "events"),
        ([{"type": "spam", "message_id": "k"}], "events.0.type"),
        ([{"type": "open"}], "events.0.message_id"),
        ([{"type": "open", "message_id": "k", "occurred_at": "x"}], "events.0.occurred_at"),
        ([{"type": "open", "message_id": "k"}] * 501, "events"),
    ],
)
def test_wrong_facts_are_told_by_field(call: Caller, events: list[Any], field: str) -> None:
    answer = call(EVENTS, {"events": events})
    assert answer.status_code == 422
    assert field in problems(answer)
