"""What providers report by number: matched in every form, once, in any order, early and late."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as listening
from sqlalchemy import select, update
from werkzeug.test import Client

from envoi.customers.models import Customer, Quality
from envoi.db import Database, table
from envoi.delivery.models import MessageState
from envoi.delivery.submissions import LONGEST_ID
from envoi.feedback import webhook
from envoi.feedback.models import Bounce, Door, Inbound, InboundState, WaitingReport
from envoi.feedback.reporting import reporter
from envoi.feedback.reports import match_waiting
from envoi.feedback.webhook import PATH, make_webhook
from envoi.installation import Installation
from envoi.jobs import Work, is_announced, withdraw
from envoi.plugins import PluginInfo, Plugins, load_plugins
from envoi.tenants.service import create_tenant
from envoi.tracking.app import TrackingApp
from envoi.tracking.counters import compare
from envoi.tracking.judging import reclassify
from envoi.tracking.models import EventCounter
from envoi.tracking.tokens import TokenSigner, signer_of
from envoi.types import DeliveryEvent, WebhookRequest
from envoi_workers.lost import lost_work
from factories.delivery import an_installation
from factories.reports import TAKEN_AT, TOKEN, Handed, Teller, handed_over, teller_gateway


@pytest.fixture
def installation(database: Database, tmp_path: Path) -> Installation:
    return an_installation(database, load_plugins([("teller", Teller())]), tmp_path)


@pytest.fixture
def signer(installation: Installation) -> TokenSigner:
    return signer_of(installation.settings)


@pytest.fixture
def handed(installation: Installation, tenant_id: int) -> Handed:
    """Three messages that the provider has taken."""
    gateway_id = teller_gateway(installation, tenant_id)
    return handed_over(installation.database, tenant_id, gateway_id, 3)


def told(
    handed: Handed, signer: TokenSigner, kind: str, number: str = "", minute: int = 1, **more: Any
) -> None:
    """Report something by a connection."""
    event = DeliveryEvent(
        type=kind, reference=number, occurred_at=TAKEN_AT + timedelta(minutes=minute), **more
    )
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    report(event, f"{kind} {number} {minute}".encode())


def kept(handed: Handed, model: Any = Inbound) -> list[Any]:
    """The rows of a table of this company."""
    c = table(model).c
    query = select(table(model)).where(c.tenant_id == handed.run.tenant_id)
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        return list(session.execute(query.order_by(*table(model).primary_key.columns)))


def phone_of(handed: Handed, place: int = 0) -> Customer:
    """The recipient of a message."""
    ref = handed.refs[place]
    with handed.database.tenant_session(ref.tenant_id) as session:
        return session.get_one(Customer, (ref.tenant_id, ref.customer_id))


@pytest.mark.parametrize(
    ("given", "reported"),
    [("9F3A00C1", "2671378625"), ("2671378625", "9f3a00c1"), ("00AB", "ab"), ("x-7", "x-7")],
)
def test_a_number_is_matched_in_every_form(
    handed: Handed, signer: TokenSigner, given: str, reported: str
) -> None:
    handed.submitted(given)
    told(handed, signer, "delivered", reported)
    assert handed.row().delivered_at == TAKEN_AT + timedelta(minutes=1)
    assert [row.delivered_at for row in handed.rows()[1:]] == [None, None]


def test_of_two_messages_that_a_number_fits_the_address_tells_which(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("16", place=0)
    handed.submitted("10", place=1)
    told(handed, signer, "delivered", "16", recipient=phone_of(handed, 1).phone)
    assert [row.delivered_at is not None for row in handed.rows()] == [False, True, False]
    told(handed, signer, "delivered", "16", minute=2)
    assert [row.delivered_at is not None for row in handed.rows()] == [True, True, False]


def test_an_early_report_waits_for_the_number(handed: Handed, signer: TokenSigner) -> None:
    told(handed, signer, "delivered", "77")
    assert [one.state for one in kept(handed)] == [InboundState.WAITING]
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        assert is_announced(session, tenant_id, Work.MATCH, handed.gateway_id)
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 0
    handed.submitted("77")
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 1
    assert handed.row().delivered_at is not None
    assert [one.state for one in kept(handed)] == [InboundState.APPLIED]
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 0
    with handed.database.tenant_session(tenant_id) as session:
        assert not is_announced(session, tenant_id, Work.MATCH, handed.gateway_id)


def test_a_report_of_nothing_of_ours_waits_an_hour_and_then_for_a_person(
    handed: Handed, signer: TokenSigner
) -> None:
    told(handed, signer, "delivered", "77")
    _made_older(handed, timedelta(minutes=61))
    match_waiting(handed.database, handed.run.tenant_id, handed.gateway_id)
    assert [(one.state, one.reason) for one in kept(handed)] == [
        (InboundState.QUARANTINED, "no_message")
    ]
    assert kept(handed, WaitingReport) == []


def test_waiting_reports_that_nobody_announced_are_found(
    handed: Handed, signer: TokenSigner
) -> None:
    told(handed, signer, "delivered", "77")
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        announced = lost_work(session, tenant_id)
        withdraw(session, tenant_id, Work.MATCH, handed.gateway_id)
        lost = lost_work(session, tenant_id)
    assert [work for work in lost if work not in announced] == [
        (Work.MATCH, handed.gateway_id, None)
    ]


def _made_older(handed: Handed, by: timedelta) -> None:
    w = table(WaitingReport).c
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        mine = update(table(WaitingReport)).where(w.tenant_id == handed.run.tenant_id)
        session.execute(mine.values(received_at=w.received_at - by))


def test_two_accounts_may_count_their_messages_alike(
    handed: Handed, installation: Installation, signer: TokenSigner
) -> None:
    """What each of them reports is the same to the byte."""
    tenant_id = handed.run.tenant_id
    other_id = teller_gateway(installation, tenant_id, "the other")
    other = handed_over(installation.database, tenant_id, other_id, 1)
    for each in (handed, other):
        each.submitted("7")
        told(each, signer, "delivered", "7")
    assert handed.row().delivered_at is not None
    assert other.row().delivered_at is not None


def test_a_name_of_any_length_is_found(handed: Handed, signer: TokenSigner) -> None:
    name = "m" * LONGEST_ID
    handed.submitted(name)
    told(handed, signer, "delivered", name)
    assert handed.row().delivered_at is not None


def test_a_report_without_a_moment_is_kept_for_a_person(
    handed: Handed, signer: TokenSigner
) -> None:
    timeless = DeliveryEvent(type="delivered", reference="1", occurred_at=None)  # type: ignore[arg-type]
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    report(timeless, b"timeless")
    (found,) = kept(handed)
    assert (found.state, found.reason) == (InboundState.QUARANTINED, "failed")


def test_reports_that_nobody_can_be_meant_by_are_looked_up_together(
    handed: Handed, signer: TokenSigner
) -> None:
    for number in range(1, 31):
        told(handed, signer, "delivered", f"x{number}", recipient=f"+49152000000{number:02}")
    _made_older(handed, timedelta(seconds=11))
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    listening.listen(handed.database.engine, "begin", note)
    try:
        found = match_waiting(handed.database, handed.run.tenant_id, handed.gateway_id)
    finally:
        listening.remove(handed.database.engine, "begin", note)
    assert found == 0
    assert len(begun) == 1


def test_a_message_is_delivered_when_all_its_parts_are(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a", "b", "c")
    told(handed, signer, "delivered", "c", 3)
    told(handed, signer, "delivered", "a", 5)
    assert handed.row().delivered_at is None
    told(handed, signer, "delivered", "b", 4)
    assert handed.row().delivered_at == TAKEN_AT + timedelta(minutes=5)


def test_parts_delivered_at_once_make_a_delivered_message(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a", "b", "c", "d")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: told(handed, signer, "delivered", number), "abcd"))
    assert handed.row().delivered_at is not None


def test_a_message_of_which_a_part_failed_has_failed(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a", "b")
    told(handed, signer, "delivered", "a")
    told(handed, signer, "failed", "b", status="EXPIRED", code=1)
    assert handed.row().delivered_at is None
    assert handed.row().bounced_at is not None
    [bounce] = kept(handed, Bounce)
    assert (bounce.reason, bounce.status) == ("undelivered", "EXPIRED 1")


def test_delivered_may_follow_failed_and_nothing_undelivers(
    handed: Handed, signer: TokenSigner
) -> None:
    for place, kinds in enumerate((["failed", "delivered"], ["delivered", "failed"])):
        handed.submitted(f"n{place}", place=place)
        for minute, kind in enumerate(kinds):
            told(handed, signer, kind, f"n{place}", minute)
        assert handed.row(place).delivered_at is not None
        assert handed.row(place).bounced_at is None
    assert kept(handed, Bounce) == []


def test_a_number_that_does_not_exist_is_held_against_the_phone_until_something_arrives(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a")
    told(handed, signer, "failed", "a")
    assert phone_of(handed).phone_quality == Quality.GOOD
    told(handed, signer, "failed", "a", 2, permanent=True)
    assert phone_of(handed).phone_quality == Quality.NOT_EXISTING
    assert phone_of(handed).email_quality == Quality.GOOD
    told(handed, signer, "delivered", "a", 3)
    assert phone_of(handed).phone_quality == Quality.GOOD


def test_a_provider_cannot_blame_a_phone_by_naming_another(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a")
    other = phone_of(handed, 1).phone
    told(handed, signer, "failed", "a", permanent=True, recipient=other)
    assert [phone_of(handed, n).phone_quality for n in (0, 1)] == [Quality.GOOD] * 2


def test_reads_and_clicks_count_once_among_peoples(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a")
    for kind, minute in (("clicked", 4), ("read", 2), ("read", 2), ("clicked", 4)):
        told(handed, signer, kind, "a", minute)
    row = handed.row()
    assert (row.delivered_at, row.opened_at) == (TAKEN_AT + timedelta(minutes=2),) * 2
    assert row.clicked_at == TAKEN_AT + timedelta(minutes=4)
    tenant_id, run_id = handed.run.tenant_id, handed.run.id
    assert sorted((one.kind, one.hits, one.machine) for one in kept(handed, EventCounter)) == [
        (1, 1, False),
        (2, 1, False),
    ]
    assert compare(handed.database, tenant_id, run_id) == []
    assert reclassify(handed.database, tenant_id, run_id) == 0


@pytest.fixture
def unknown(installation: Installation, tenant_id: int) -> Handed:
    """Two messages of which nobody knows whether they were taken."""
    gateway_id = teller_gateway(installation, tenant_id)
    state = MessageState.UNCONFIRMED
    return handed_over(installation.database, tenant_id, gateway_id, 2, state)


def test_a_late_report_tells_that_a_message_was_taken(unknown: Handed, signer: TokenSigner) -> None:
    key = signer.message_key(unknown.refs[0])
    told(unknown, signer, "deferred", message_key=key)
    assert unknown.row().state == MessageState.ACCEPTED
    told(unknown, signer, "failed", message_key=signer.message_key(unknown.refs[1]))
    assert unknown.row(1).state == MessageState.ACCEPTED
    assert unknown.row(1).bounced_at is not None


def test_a_message_of_unknown_outcome_is_found_by_its_address_and_then_by_its_number(
    unknown: Handed, signer: TokenSigner
) -> None:
    tenant_id, phone = unknown.run.tenant_id, phone_of(unknown).phone or ""
    told(unknown, signer, "delivered", "501", recipient=phone.removeprefix("+"))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert unknown.row().state == MessageState.UNCONFIRMED, "its number may still come"
    _made_older(unknown, timedelta(seconds=11))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert unknown.row().state == MessageState.ACCEPTED
    assert unknown.row().delivered_at is not None
    assert unknown.row(1).state == MessageState.UNCONFIRMED
    told(unknown, signer, "read", "501", 5)
    assert unknown.row().opened_at is not None


def test_of_two_messages_of_unknown_outcome_to_an_address_none_is_guessed(
    unknown: Handed, installation: Installation, signer: TokenSigner
) -> None:
    tenant_id = unknown.run.tenant_id
    state = MessageState.UNCONFIRMED
    again = handed_over(installation.database, tenant_id, unknown.gateway_id, 2, state)
    told(unknown, signer, "delivered", "501", recipient=phone_of(unknown).phone or "")
    _made_older(unknown, timedelta(seconds=11))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert [one.row().state for one in (unknown, again)] == [state] * 2


# Webhooks of providers


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
    assert [one.door for one in kept(handed)] == [Door.WEBHOOK] * 2


def test_a_webhook_may_be_a_get_and_its_secret_is_not_kept(
    handed: Handed, client: Client, path: str
) -> None:
    handed.submitted("a")
    answer = client.get(path, query_string=event("delivered", "a") | {"token": TOKEN})
    assert answer.status_code == 200
    assert handed.row().delivered_at is not None
    [one] = kept(handed)
    assert b"id=a" in one.raw
    assert TOKEN.encode().split()[0] not in one.raw


def test_a_forged_webhook_writes_nothing(handed: Handed, client: Client, path: str) -> None:
    handed.submitted("a")
    assert post(client, path, event("delivered", "a"), token="guessed") == 401
    assert post(client, PATH + "unknown", event("delivered", "a")) == 401
    assert (kept(handed), handed.row().delivered_at) == ([], None)


def test_a_replayed_webhook_changes_nothing(handed: Handed, client: Client, path: str) -> None:
    handed.submitted("a")
    for _ in range(3):
        assert post(client, path, event("failed", "a")) == 200
    assert post(client, path, event("delivered", "a")) == 200
    before = (kept(handed), handed.facts())
    assert post(client, path, event("failed", "a")) == 200
    assert (kept(handed), handed.facts()) == before
    assert len(kept(handed)) == 2


def test_what_cannot_be_read_is_kept_for_a_person(
    handed: Handed, client: Client, path: str
) -> None:
    bodies = (b"<html>busy</html>", b"\xff\x00", b"[]", b'{"events": 7}')
    for body in bodies:
        assert client.post(path, data=body, headers={"X-Token": TOKEN}).status_code == 202
    found = kept(handed)
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
    assert [one.reason for one in kept(handed)] == ["failed"] * 5


def test_a_company_without_the_plugin_gets_no_reports_of_it(
    handed: Handed, path: str, client: Client, installation: Installation, opened: Open
) -> None:
    plugins = installation.plugins
    assert post(client, path, event("delivered", "a")) == 200
    bought = PluginInfo("teller", "acme", "1.0")
    off = replace(plugins, infos={**plugins.infos, "teller": bought})
    assert post(opened(off), path, event("delivered", "b")) == 404
    assert len(kept(handed)) == 1


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
        sorted((c.kind, c.hour, c.hits) for c in kept(run, EventCounter) if c.run_id == run.run.id)
        for run in (ordered, shuffled)
    ]
    assert counted[0] == counted[1]
    ids = [run.run.id for run in (ordered, shuffled)]
    bounces = [[b.status for b in kept(ordered, Bounce) if b.run_id == run_id] for run_id in ids]
    assert bounces[0] == bounces[1]
    assert len(kept(ordered)) == 2 * len(course(""))


def test_moments_that_cannot_be_are_now(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a")
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    began = datetime.now(UTC)
    for at in (datetime(1, 1, 1), datetime(9999, 12, 31, tzinfo=UTC)):
        report(DeliveryEvent(type="delivered", reference="a\0", occurred_at=at), repr(at).encode())
    told(handed, signer, "delivered", "a")
    assert handed.row().delivered_at is not None
    assert handed.row().delivered_at < began
