"""Devino keeps the contract: many messages in one call, and callbacks that bring a secret back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from envoi.errors import ForgedWebhookError, PermanentProviderError, TemporaryProviderError
from envoi.testing import ProviderContract
from envoi.types import BatchConnection, Outgoing, Provider, SendResult, SendStatus, WebhookRequest
from envoi_provider_devino import register_providers
from envoi_simulators.devino import Devino
from web_accounts import WebAccounts
from web_sink import Asked, Reply, WebSink

[SMS] = [spec for spec in register_providers() if spec.name == "devino_sms"]
PHONES = [f"+4915100000{n:02}" for n in range(5)]


def account(url: str, **changes: Any) -> Provider:
    given = {"url": url, "api_key": "key", "timeout": 5, **changes}
    return SMS.factory(SMS.settings.model_validate(given))


def message(n: int = 0, **changes: Any) -> Outgoing:
    given = {"key": f"k{n}", "address": PHONES[n], "sender": "Shop", "payload": "Привет".encode()}
    return Outgoing(**given | changes)


def sent(provider: Provider, *messages: Outgoing) -> Sequence[SendResult]:
    with closing(provider.connect()) as connection:
        assert isinstance(connection, BatchConnection)
        assert 1 < connection.batch_size <= 500
        return connection.send_batch(messages)


class TestDevinoSms(WebAccounts, ProviderContract):
    """Devino's SMS."""

    @pytest.fixture
    def service(self) -> Iterator[Devino]:
        with Devino() as made:
            yield made

    def account(self, url: str) -> Provider:
        return account(url)

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_results_are_in_the_order_of_the_messages(
        self, provider: Provider, service: Devino
    ) -> None:
        service.faults.refused, service.faults.busy = [PHONES[1]], [PHONES[3]]
        results = sent(provider, *map(message, range(5)))
        expected = ["accepted", "refused", "accepted", "refused_now", "accepted"]
        assert [result.status for result in results] == expected
        assert [r.provider_id for r in results if r.provider_id] == [t.id for t in service.taken]

    def test_what_arrives(self, service: Devino) -> None:
        provider = account(
            service.url,
            sender="Usual",
            priority="HIGH",
            callback_url="https://envoi.test/in/k",
            callback_secret="s&t",
        )
        sent(provider, message(0, lifetime_seconds=600), message(1, sender=""))
        first, second = (taken.fields for taken in service.taken)
        assert first["validity"] == 600
        assert (first["to"], first["text"], first["priority"]) == (PHONES[0][1:], "Привет", "HIGH")
        assert "validity" not in second
        assert (first["from"], second["from"]) == ("Shop", "Usual")
        assert first["options"] == {"key": "k0"}
        assert parse_qs(urlsplit(first["callbackUrl"]).query) == {"secret": ["s&t"]}

    def test_a_wrong_key_is_a_matter_of_the_account(
        self, provider: Provider, service: Devino
    ) -> None:
        assert "120.5" in provider.test()
        service.key = "other"
        with pytest.raises(PermanentProviderError, match="API key"):
            provider.test()
        with pytest.raises(PermanentProviderError, match="API key"):
            sent(provider, message())


def answered(reply: Reply, count: int = 2) -> list[SendStatus]:
    with WebSink(lambda _: reply) as sink:
        results = sent(account(sink.url), *map(message, range(count)))
    assert all(result.raw for result in results)
    return [result.status for result in results]


def results(*entries: Mapping[str, Any]) -> Reply:
    return Reply(body=json.dumps({"result": entries}).encode())


OK = {"code": "OK", "messageId": 1}


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (results(OK, OK), SendStatus.ACCEPTED),
        (results(OK), SendStatus.UNKNOWN),
        (results(OK, OK, OK), SendStatus.UNKNOWN),
        (results({"code": "OK"}, {}), SendStatus.UNKNOWN),
        (results({"code": "REJECTED"}, {"code": "SOLD"}), SendStatus.REFUSED),
        (Reply(body=b"<html>"), SendStatus.UNKNOWN),
        (Reply(body=b"[]"), SendStatus.UNKNOWN),
        (Reply(body=b"[" * 100_000), SendStatus.UNKNOWN),
        (Reply(400), SendStatus.REFUSED),
        (Reply(429), SendStatus.THROTTLED),
        (Reply(500), SendStatus.UNKNOWN),
        (Reply(hang_up=5), SendStatus.UNKNOWN),
    ],
)
def test_what_answers_mean(reply: Reply, status: SendStatus) -> None:
    assert answered(reply) == [status] * 2


def test_a_part_that_cannot_be_read_leaves_the_others_what_they_are() -> None:
    found = answered(results(OK, {"code": "OK"}, {"code": "REJECTED"}), count=3)
    assert found == [SendStatus.ACCEPTED, SendStatus.UNKNOWN, SendStatus.REFUSED]


def test_what_was_taken_alone_counts_though_others_have_to_wait() -> None:
    def answer(asked: Asked) -> Reply:
        several, busy = (
            len(json.loads(asked.body)["messages"]) > 1,
            PHONES[1][1:] in str(asked.body),
        )
        return Reply(400) if several else Reply(503) if busy else results(OK)

    with WebSink(answer) as sink:
        found = sent(account(sink.url), *map(message, range(3)))
    taken = SendStatus.ACCEPTED
    assert [each.status for each in found] == [taken, SendStatus.THROTTLED, taken]


@pytest.mark.parametrize("status", [429, 503])
def test_devino_may_ask_us_to_wait(status: int) -> None:
    with pytest.raises(TemporaryProviderError, match="wait") as caught:
        answered(Reply(status, headers={"Retry-After": "9"}))
    assert caught.value.retry_after == 9


@pytest.mark.parametrize("url", ["ftp://x.test", "https://x.test/path", "https://u@x.test", ""])
def test_addresses_that_cannot_work(url: str) -> None:
    with pytest.raises(ValidationError):
        account(url)


def report(body: bytes, secret: str = "s") -> list[tuple[str, str, str]]:
    settings = SMS.settings.model_validate({"api_key": "k", "callback_secret": "s"})
    request = WebhookRequest(method="POST", headers={}, query={"secret": secret}, body=body)
    assert SMS.webhook is not None
    return [(e.type, e.reference, e.message_key) for e in SMS.webhook(settings, request)]


@pytest.mark.parametrize(
    ("state", "type_"),
    [
        ("DELIVERED", "delivered"),
        ("seen", "read"),
        ("CLICKED", "clicked"),
        ("UNDELIVERED", "failed"),
        ("EXPIRED", "failed"),
        ("SENT", "deferred"),
        ("Abducted", "unknown"),
    ],
)
def test_callbacks(state: str, type_: str) -> None:
    one = {"messageId": 7, "status": state, "options": {"key": "k0"}}
    assert report(json.dumps(one).encode()) == [(type_, "7", "k0")]
    assert report(json.dumps([one, {**one, "options": None}]).encode()) == [
        (type_, "7", "k0"),
        (type_, "7", ""),
    ]


def test_forged_callbacks_are_refused() -> None:
    for secret in ("", "S", "é"):
        with pytest.raises(ForgedWebhookError):
            report(b"{}", secret)
    without = SMS.settings.model_validate({"api_key": "k"})
    request = WebhookRequest(method="POST", headers={}, query={"secret": ""}, body=b"{}")
    assert SMS.webhook is not None
    with pytest.raises(ForgedWebhookError):
        SMS.webhook(without, request)


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'{"messageId": 7}', b"\xff"])
def test_callbacks_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"names no|Expecting|decode"):
        report(body)
