"""What a hub of Azure's answers, status by status, and what it hands on to each platform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from envoi.delivery.services import Account, Services
from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.types import BatchConnection, Device, SendResult, SendStatus
from envoi_provider_azure.provider import AzureSettings
from envoi_simulators.azure import AzureService
from envoi_simulators.http2 import Reply
from factories.push import azure_provider, message_to, push_message

REFUSED, NOW = SendStatus.REFUSED, SendStatus.REFUSED_NOW
RESULTS = {400: REFUSED, 413: REFUSED, 302: NOW, 500: NOW, 502: NOW, 504: NOW}


@pytest.fixture
def service() -> Iterator[AzureService]:
    with AzureService() as found:
        yield found


def send(service: AzureService, reply: Reply) -> SendResult:
    """Send a message that is taken, and return what becomes of the one after it."""
    service.scripted.by_token["bad"] = reply
    with closing(azure_provider(service).connect()) as connection:
        assert connection.send(message_to("fcm", 1)).status is SendStatus.ACCEPTED
        return connection.send(message_to("fcm", 2, "bad"))


@pytest.mark.parametrize("status", RESULTS)
def test_no_answer_of_azure_drops_a_device(service: AzureService, status: int) -> None:
    result = send(service, Reply(status=status, body=b"<Error/>"))
    assert (result.status, result.code, result.address_gone) == (RESULTS[status], status, False)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_person_mends_at_azure(service: AzureService, status: int) -> None:
    with pytest.raises(PermanentProviderError) as found:
        send(service, Reply(status=status, body=b"<Error/>"))
    assert "<Error/>" in found.value.raw


@pytest.mark.parametrize("status", [429, 503])
def test_azure_asks_to_wait(service: AzureService, status: int) -> None:
    headers = (("retry-after", "7"),)
    service.scripted.by_token["bad"] = Reply(status=status, headers=headers)
    provider = azure_provider(service)
    for token in ("bad", "good"):
        with (
            closing(provider.connect()) as connection,
            pytest.raises(TemporaryProviderError) as found,
        ):
            connection.send(message_to("fcm", 1, token))
        assert found.value.retry_after == pytest.approx(7, abs=1)
    assert service.taken == []


def test_a_key_that_is_not_right(service: AzureService) -> None:
    provider = azure_provider(service)
    service.key = "another"
    with pytest.raises(PermanentProviderError):
        provider.test()


def test_one_hub_serves_the_devices_of_both_platforms(service: AzureService) -> None:
    provider = azure_provider(service)
    services = Services({"": Account(provider, lambda connect: connect())})
    names = {"apns": "apple", "fcm": "FcmV1"}
    devices = [Device(id=n, service=name, token=name) for n, name in enumerate(names, 1)]
    hms = Device(id=3, service="hms", token="hms")
    with closing(services.connect()) as connection:
        result = connection.send(replace(push_message(1), devices=(*devices, hms)))
    found = {each.number: each.status for each in result.submissions}
    assert found == {1: SendStatus.ACCEPTED, 2: SendStatus.ACCEPTED, 3: REFUSED}
    assert {taken.address: taken.fields["format"] for taken in service.taken} == names


def test_a_batch_of_azure_has_an_answer_for_each(service: AzureService) -> None:
    service.scripted.by_token |= {"bad": Reply(status=400), "lost": Reply(cut=True)}
    tokens = ["a", "bad", "lost", *map(str, range(30))]
    with closing(azure_provider(service).connect()) as connection:
        assert isinstance(connection, BatchConnection)
        messages = [message_to("fcm", n, token) for n, token in enumerate(tokens, 1)]
        results = connection.send_batch(messages)
    found = {token: result.status for token, result in zip(tokens, results, strict=True)}
    special = {"bad": REFUSED, "lost": SendStatus.UNKNOWN}
    assert found == {**dict.fromkeys(tokens, SendStatus.ACCEPTED), **special}
    names = {r.provider_id for r in results if r.status is SendStatus.ACCEPTED}
    assert names == {taken.id for taken in service.taken}


def test_everything_arrives_at_azure(service: AzureService) -> None:
    shown = {"title": "News — für Sie", "image": "https://shop.test/a.png"}
    fields = {**shown, "text": "Привет", "link": "shop://7", "data": {"offer": "7"}}
    with closing(azure_provider(service).connect()) as connection:
        for name in ("fcm", "apns"):
            message = message_to(name, 1, name, **fields)
            connection.send(replace(message, lifetime_seconds=600))
    google, apple = (taken.fields for taken in service.taken)
    data = {"offer": "7", "link": "shop://7", "envoi_message": "key1"}
    message = google["body"]["message"]
    assert message["notification"] == {**shown, "body": "Привет"}
    assert message["data"] == data
    assert message["android"]["ttl"] == "600s"
    assert message["android"]["notification"]["tag"] == "key1"
    aps = {"alert": {"title": shown["title"], "body": "Привет"}, "sound": "default"}
    assert apple["body"] == {
        **data,
        "image": shown["image"],
        "aps": {**aps, "mutable-content": 1},
    }
    assert apple["headers"]["apns-collapse-id"] == "key1"
    until = datetime.fromisoformat(apple["headers"]["servicebusnotification-apns-expiry"])
    assert until - datetime.now(UTC) == pytest.approx(
        timedelta(seconds=600), abs=timedelta(seconds=5)
    )


@pytest.mark.parametrize("given", ["", "Endpoint=sb://shop.test/", "https://shop.test/;key=1"])
def test_what_is_no_connection_string_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="no connection string"):
        AzureSettings.model_validate({"hub": "shop", "connection_string": given})
