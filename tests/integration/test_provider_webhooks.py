"""What providers report to the webhooks of gateways: read by their plugins, genuine, and once."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import Client

from envoi.feedback import webhook
from envoi.feedback.models import Bounce, Door, InboundState
from envoi.feedback.reports import match_waiting
from envoi.feedback.webhook import PATH, make_webhook
from envoi.installation import Installation
from envoi.plugins import PluginInfo, Plugins, load_plugins
from envoi.tenants.service import create_tenant
from envoi.tracking.app import TrackingApp
from envoi.tracking.counters import compare
from envoi.tracking.models import EventCounter
from envoi.tracking.tokens import TokenSigner
from envoi.types import WebhookRequest
from factories.reports import TAKEN_AT, TOKEN, Handed, Teller, handed_over, teller_gateway

Open = Callable[[Plugins], Client]


@pytest.fixture
def opened(installation: Installation, signer: TokenSigner) -> Iterator[Open]:
    """Opens the process that takes webhooks in, with these plugins."""
    with ExitStack() as stack:

        def open_with(plugins: Plugins) -> Client:
            app = TrackingApp(installation.database, signer, plugins, installation.settings)
            stack.callback(app.close)
            return Client(app)

        yield open_with


@pytest.fixture
def client(installation: Installation, opened: Open) -> Client:
    return opened(installation.plugins)


@pytest.fixture
def path(handed: Handed, signer: TokenSigner) -> str:
    """The address of the gateway's webhook."""
    return _path(handed, signer)


def _path(handed: Handed, signer: TokenSigner) -> str:
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        return PATH + make_webhook(session, signer, tenant_id, handed.gateway_id).key


def event(kind: str, number: str, minute: int = 1) -> dict[str, str]:
    """An event as the provider writes it."""
    at = TAKEN_AT + timedelta(minutes=minute)
    return {"type": kind, "id": number, "at": at.isoformat()}


def post(client: Client, path: str, *events: dict[str, str], token: str = TOKEN) -> int:
    body = json.dumps({"events": list(events)})
    return client.post(path, data=body, headers={"X-Token": token}).status_code


def test_a_webhook_is_read_by_the_providers_own_function(
    handed: Handed, client: Client, path: str
) -> None:
    handed.submitted("a", place=0)
    handed.submitted("b", place=1)
    assert post(client, path, event("delivered", "a"), event("failed", "b")) == 200
    assert handed.row(0).delivered_at is not None
    assert handed.row(1).bounced_at is not None
    assert [one.door for one in handed.kept()] == [Door.WEBHOOK] * 2


def test_a_webhook_may_be_a_get_and_its_secret_is_not_kept(
    handed: Handed, client: Client, path: str
) -> None:
    handed.submitted("a")
    answer = client.get(path, query_string=event("delivered", "a") | {"token": TOKEN})
    assert answer.status_code == 200
    assert handed.row().delivered_at is not None
    [one] = handed.kept()
    assert b"id=a" in one.raw
    assert TOKEN.encode().split()[0] not in one.raw


def test_a_forged_webhook_writes_nothing(handed: Handed, client: Client, path: str) -> None:
    handed.submitted("a")
    assert post(client, path, event("delivered", "a"), token="guessed") == 401
    assert post(client, PATH + "unknown", event("delivered", "a")) == 401
    assert (handed.kept(), handed.row().delivered_at) == ([], None)


@pytest.mark.parametrize("key", ["%00", "%FF", "..%2F", "x" * 5_000, "", "\u2019"])
def test_an_address_that_nobody_has_is_refused(client: Client, key: str) -> None:
    assert client.post(PATH + key, data=b"{}").status_code == 401
    assert client.get(PATH + key).status_code == 401


class Endless(BytesIO):
    """A body that never comes."""

    def readinto(self, room: Any, /) -> int:
        raise AssertionError(f"{len(room)} bytes of a stranger's body are waited for")


def test_a_strangers_body_is_not_waited_for(client: Client) -> None:
    answer = client.post(PATH + "x" * 32, input_stream=Endless(b"x" * 1_000))
    assert answer.status_code == 401


def test_a_replayed_webhook_changes_nothing(handed: Handed, client: Client, path: str) -> None:
    handed.submitted("a")
    for _ in range(3):
        assert post(client, path, event("failed", "a")) == 200
    assert post(client, path, event("delivered", "a")) == 200
    before = (handed.kept(), handed.facts())
    assert post(client, path, event("failed", "a")) == 200
    assert (handed.kept(), handed.facts()) == before
    assert len(handed.kept()) == 2


def test_what_cannot_be_read_is_kept_for_a_person(
    handed: Handed, client: Client, path: str
) -> None:
    bodies = (b"<html>busy</html>", b"\xff\x00", b"[]", b'{"events": 7}')
    for body in bodies:
        assert client.post(path, data=body, headers={"X-Token": TOKEN}).status_code == 202
    found = handed.kept()
    assert {one.raw for one in found} == set(bodies)
    assert {one.state for one in found} == {InboundState.QUARANTINED}


def test_a_plugin_that_hangs_or_talks_nonsense_loses_nothing_and_stops_nobody(
    handed: Handed, path: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    awake = threading.Event()

    def read(settings: Any, request: WebhookRequest) -> Sequence[Any]:
        if request.body == b"hang":
            awake.wait(60)
        return ["nonsense"]

    monkeypatch.setattr(webhook, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(webhook, "MOST_THREADS", 2)
    client = opened(load_plugins([("teller", Teller(read=read))]))
    assert client.post(path, data=b"nonsense").status_code == 202
    for n in range(4):
        assert client.post(path, data=b"hang", query_string={"n": n}).status_code == 202
    awake.set()
    assert [one.reason for one in handed.kept()] == ["failed"] * 5


def test_a_company_without_the_plugin_gets_no_reports_of_it(
    handed: Handed, path: str, client: Client, installation: Installation, opened: Open
) -> None:
    plugins = installation.plugins
    assert post(client, path, event("delivered", "a")) == 200
    bought = PluginInfo("teller", "acme", "1.0")
    off = replace(plugins, infos={**plugins.infos, "teller": bought})
    assert post(opened(off), path, event("delivered", "b")) == 404
    assert len(handed.kept()) == 1


def test_a_company_cannot_report_of_anothers_messages(
    handed: Handed, client: Client, installation: Installation, signer: TokenSigner
) -> None:
    handed.submitted("a")
    other = create_tenant(handed.database, slug=f"o{handed.run.tenant_id}", name="Other").id
    gateway_id = teller_gateway(installation, other)
    with handed.database.tenant_session(other) as session:
        theirs = PATH + make_webhook(session, signer, other, gateway_id).key
    assert post(client, theirs, event("delivered", "a")) == 200
    assert match_waiting(handed.database, other, gateway_id) == 0
    assert handed.row().delivered_at is None


COURSES = (
    (("deferred", 0), ("delivered", 1), ("read", 2), ("clicked", 3)),
    (("deferred", 0), ("failed", 1)),
    (("failed", 1), ("delivered", 2)),
    (("delivered", 1), ("read", 4), ("read", 5)),
    (("delivered", 1),),
    (("unknown", 1),),
)


def test_webhooks_three_times_over_shuffled_and_early_end_like_the_ordered_run(
    installation: Installation, signer: TokenSigner, tenant_id: int, client: Client
) -> None:
    """A tenth of the messages are recorded only after all their reports have come."""
    people, chance = 60, random.Random(5)
    gateway_id = teller_gateway(installation, tenant_id)
    ordered, shuffled = (
        handed_over(installation.database, tenant_id, gateway_id, people) for _ in range(2)
    )
    path = _path(ordered, signer)

    def course(run: str) -> list[dict[str, str]]:
        return [
            event(kind, f"{run}-{place}", minute)
            for place in range(people)
            for kind, minute in COURSES[place % len(COURSES)]
        ]

    for place in range(people):
        ordered.submitted(f"in-order-{place}", place=place)
        if place % 10:
            shuffled.submitted(f"shuffled-{place}", place=place)
    for one in course("in-order"):
        assert post(client, path, one) == 200
    storm = 3 * course("shuffled")
    chance.shuffle(storm)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda one: post(client, path, one), storm)) == {200}
    for place in range(0, people, 10):
        shuffled.submitted(f"shuffled-{place}", place=place)
    match_waiting(installation.database, tenant_id, gateway_id)
    assert shuffled.facts() == ordered.facts()
    for run in (ordered, shuffled):
        assert compare(installation.database, tenant_id, run.run.id) == []
    counted = [
        sorted((c.kind, c.hour, c.hits) for c in run.kept(EventCounter) if c.run_id == run.run.id)
        for run in (ordered, shuffled)
    ]
    assert counted[0] == counted[1]
    ids = [run.run.id for run in (ordered, shuffled)]
    bounces = [[b.status for b in ordered.kept(Bounce) if b.run_id == run_id] for run_id in ids]
    assert bounces[0] == bounces[1]
    assert len(ordered.kept()) == 2 * len(course(""))
