"""What push services answer, code by code: what drops a device, what never, what waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.types import BatchConnection, SendResult, SendStatus
from envoi_simulators.http2 import Reply
from envoi_simulators.push_services import PushServices, apns_error, fcm_error, rustore_error
from factories.push import provider_of, push_message

REFUSED, NOW = SendStatus.REFUSED, SendStatus.REFUSED_NOW
GONE = 1_760_000_000_123
HTML = Reply(status=502, body=b"<html>Bad gateway</html>")

DROPS = {
    ("fcm", "unregistered"): fcm_error(404, "UNREGISTERED"),
    ("fcm", "token"): fcm_error(400, "INVALID_ARGUMENT", field="message.token"),
    ("apns", "unregistered"): apns_error(410, "Unregistered", timestamp=GONE),
    ("apns", "bad token"): apns_error(400, "BadDeviceToken"),
    ("rustore", "unregistered"): fcm_error(404, "NOT_FOUND"),
    ("rustore", "flat error"): rustore_error(404, "NOT_FOUND"),
}
KEEPS = {
    ("fcm", "payload"): (fcm_error(400, "INVALID_ARGUMENT", field="message.data"), REFUSED),
    ("fcm", "argument"): (fcm_error(400, "INVALID_ARGUMENT"), REFUSED),
    ("fcm", "ttl"): (fcm_error(400, "INVALID_ARGUMENT", field="message.android.ttl"), REFUSED),
    ("fcm", "sender"): (fcm_error(403, "SENDER_ID_MISMATCH"), REFUSED),
    ("fcm", "apple's key"): (fcm_error(401, "THIRD_PARTY_AUTH_ERROR"), NOW),
    ("fcm", "internal"): (fcm_error(500, "INTERNAL"), NOW),
    ("fcm", "not JSON"): (HTML, NOW),
    ("fcm", "200 that says nothing"): (Reply(body=b"[]"), NOW),
    ("apns", "collapse id"): (apns_error(400, "BadCollapseId"), REFUSED),
    ("apns", "topic"): (apns_error(400, "DeviceTokenNotForTopic"), REFUSED),
    ("apns", "too large"): (apns_error(413, "PayloadTooLarge"), REFUSED),
    ("apns", "expired"): (apns_error(410, "ExpiredToken"), REFUSED),
    ("apns", "same device"): (apns_error(429, "TooManyRequests"), NOW),
    ("apns", "internal"): (apns_error(500, "InternalServerError"), NOW),
    ("apns", "not JSON"): (HTML, NOW),
    ("rustore", "argument"): (fcm_error(400, "INVALID_ARGUMENT"), REFUSED),
    ("rustore", "flat argument"): (rustore_error(400, "INVALID_ARGUMENT"), REFUSED),
    ("rustore", "internal"): (fcm_error(500, "INTERNAL"), NOW),
    ("rustore", "internal that dropped"): (fcm_error(500, "NOT_FOUND"), NOW),
    ("rustore", "not JSON"): (HTML, NOW),
    ("rustore", "200 that says nothing"): (Reply(body=b"[]"), NOW),
}
WAITS = {
    ("fcm", "quota"): fcm_error(429, "QUOTA_EXCEEDED", retry_after="7"),
    ("fcm", "unavailable"): fcm_error(503, "UNAVAILABLE", retry_after="7"),
    ("apns", "unavailable"): apns_error(503, "ServiceUnavailable", retry_after="7"),
    ("apns", "shutdown"): apns_error(503, "Shutdown", retry_after="7"),
    ("apns", "tokens"): apns_error(429, "TooManyProviderTokenUpdates", retry_after="7"),
    ("rustore", "requests"): fcm_error(429, "TOO_MANY_REQUESTS", retry_after="7"),
    ("rustore", "unavailable"): fcm_error(503, "UNAVAILABLE", retry_after="7"),
}
NEEDS_A_PERSON = {
    ("fcm", "rights"): fcm_error(403, "PERMISSION_DENIED"),
    ("fcm", "login"): fcm_error(401, "UNAUTHENTICATED"),
    ("fcm", "no project"): fcm_error(404, "NOT_FOUND"),
    ("apns", "key"): apns_error(403, "InvalidProviderToken"),
    ("apns", "old"): apns_error(403, "ExpiredProviderToken"),
    ("apns", "topic"): apns_error(400, "TopicDisallowed"),
    ("rustore", "rights"): fcm_error(403, "PERMISSION_DENIED"),
    ("rustore", "login"): fcm_error(401, "UNAUTHENTICATED"),
    ("rustore", "no address"): Reply(status=404, body=b"<html>Not found</html>"),
}


@pytest.fixture
def services() -> Iterator[PushServices]:
    found = PushServices()
    found.start()
    yield found
    found.stop()


def send(services: PushServices, service: str, reply: Reply) -> SendResult:
    """Send a message that is taken, and return what becomes of the one after it."""
    services.faults.by_token["bad"] = reply
    connection = provider_of(service, services).connect()
    try:
        assert connection.send(push_message(1)).status is SendStatus.ACCEPTED
        return connection.send(push_message(2, "bad"))
    finally:
        connection.close()


@pytest.mark.parametrize("case", DROPS, ids=" ".join)
def test_what_drops_a_device(services: PushServices, case: tuple[str, str]) -> None:
    result = send(services, case[0], DROPS[case])
    assert (result.status, result.address_gone) == (REFUSED, True)
    since = datetime.fromtimestamp(GONE / 1_000, UTC) if case == ("apns", "unregistered") else None
    assert result.gone_since == since


@pytest.mark.parametrize("case", KEEPS, ids=" ".join)
def test_what_never_drops_a_device(services: PushServices, case: tuple[str, str]) -> None:
    reply, status = KEEPS[case]
    result = send(services, case[0], reply)
    assert (result.status, result.address_gone) == (status, False)
    assert result.raw


@pytest.mark.parametrize("case", WAITS, ids=" ".join)
def test_what_the_service_asks_to_wait_for(services: PushServices, case: tuple[str, str]) -> None:
    service, _ = case
    services.faults.by_token["bad"] = WAITS[case]
    provider = provider_of(service, services)
    with closing(provider.connect()) as connection, pytest.raises(TemporaryProviderError) as found:
        connection.send(push_message(1, "bad"))
    assert found.value.retry_after == 7
    # Nothing is asked before its time, by no connection of the account.
    with closing(provider.connect()) as connection, pytest.raises(TemporaryProviderError) as found:
        connection.send(push_message(2))
    assert found.value.retry_after == pytest.approx(7, abs=1)
    assert services.taken == []


@pytest.mark.parametrize("case", NEEDS_A_PERSON, ids=" ".join)
def test_what_a_person_has_to_mend(services: PushServices, case: tuple[str, str]) -> None:
    with pytest.raises(PermanentProviderError) as found:
        send(services, case[0], NEEDS_A_PERSON[case])
    assert found.value.raw


@pytest.mark.parametrize("service", ["fcm", "rustore"])
def test_a_quota_that_is_used_up_costs_a_minute(services: PushServices, service: str) -> None:
    with pytest.raises(TemporaryProviderError) as found:
        send(services, service, fcm_error(429, "QUOTA_EXCEEDED"))
    assert found.value.retry_after == 60


def test_a_bad_token_drops_nothing_before_the_environment_is_known(services: PushServices) -> None:
    services.faults.by_token["bad"] = apns_error(400, "BadDeviceToken")
    connection = provider_of("apns", services).connect()
    assert not connection.send(push_message(1, "bad")).address_gone
    connection.send(push_message(2))
    assert connection.send(push_message(3, "bad")).address_gone
    connection.close()


def test_rustore_drops_nothing_before_the_project_is_known(services: PushServices) -> None:
    services.faults.by_token["bad"] = fcm_error(404, "NOT_FOUND")
    connection = provider_of("rustore", services).connect()
    assert not connection.send(push_message(1, "bad")).address_gone
    connection.send(push_message(2))
    assert connection.send(push_message(3, "bad")).address_gone
    connection.close()


@pytest.mark.parametrize("service", ["fcm", "apns", "rustore"])
def test_a_batch_goes_over_one_connection(services: PushServices, service: str) -> None:
    services.faults.by_token["bad"] = DROPS[service, "unregistered"]
    services.faults.by_token["wait"] = WAITS[service, "unavailable"]
    connection = provider_of(service, services).connect()
    assert isinstance(connection, BatchConnection)
    before = services.connections
    messages = [push_message(n + 1) for n in range(250)]
    messages[7] = push_message(8, "bad")
    results = connection.send_batch(messages)
    accepted = [n for n, result in enumerate(results) if result.status is SendStatus.ACCEPTED]
    assert accepted == [n for n in range(250) if n != 7]
    assert services.connections - before <= 1
    # What is about the service comes to nothing for those alone whom it met.
    mixed = connection.send_batch([push_message(300), push_message(301, "wait")])
    assert [r.status for r in mixed] == [SendStatus.ACCEPTED, SendStatus.THROTTLED]
    connection.close()


def test_all_processes_have_one_token_for_apns(services: PushServices) -> None:
    for number in range(1, 4):
        with closing(provider_of("apns", services).connect()) as connection:
            connection.send(push_message(number))
    [used] = services.logins.items()
    assert used[1] == 3


def test_threads_share_a_token_for_fcm(services: PushServices) -> None:
    provider = provider_of("fcm", services)
    for number in range(1, 4):
        with closing(provider.connect()) as connection:
            connection.send(push_message(number))
    assert services.logins["fcm"] == 1


@pytest.mark.parametrize("service", ["fcm", "apns", "rustore"])
def test_keys_that_are_not_taken(services: PushServices, service: str) -> None:
    services.faults.rejects_keys = True
    provider = provider_of(service, services)
    with pytest.raises(PermanentProviderError), closing(provider.connect()) as connection:
        connection.send(push_message(1))
    with pytest.raises(ProviderError):
        provider.test()


@pytest.mark.parametrize("service", ["fcm", "apns", "rustore"])
def test_everything_arrives(services: PushServices, service: str) -> None:
    fields: dict[str, Any] = {
        "title": "News — für Sie",
        "text": "Привет",
        "image": "https://shop.test/a.png",
        "link": "shop://offers/7",
        "data": {"offer": "7"},
    }
    connection = provider_of(service, services).connect()
    message = push_message(1, **fields)
    connection.send(replace(message, lifetime_seconds=600))
    connection.close()
    [taken] = services.taken
    shown = {name: taken.fields[name] for name in ("title", "text", "image", "link")}
    assert shown == {name: fields[name] for name in shown}
    assert taken.fields["data"]["offer"] == "7"
    assert taken.key == "key1"
    assert taken.seconds_to_live == pytest.approx(600, abs=2)


def test_retry_after_is_counted_down(services: PushServices) -> None:
    services.faults.by_token["bad"] = fcm_error(503, "UNAVAILABLE", retry_after="1")
    provider = provider_of("fcm", services)
    connection = provider.connect()
    began = monotonic()
    with pytest.raises(TemporaryProviderError):
        connection.send(push_message(1, "bad"))
    while True:
        try:
            connection.send(push_message(2))
        except TemporaryProviderError:
            continue
        break
    assert monotonic() - began == pytest.approx(1, abs=0.9)
    connection.close()
