"""Stream Telecom keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import ValidationError

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.testing import ProviderContract
from envoi.types import Outgoing, Provider, SendResult, SendStatus
from envoi_provider_streamtelecom import register_providers
from envoi_simulators.streamtelecom import StreamTelecom
from web_accounts import WebAccounts
from web_sink import Reply, WebSink

[SMS] = register_providers()
PHONES = [f"+7911555000{n}" for n in range(3)]


def account(url: str, **changes: Any) -> Provider:
    given = {"url": url, "login": "shop", "password": "key", "timeout": 5, **changes}
    return SMS.factory(SMS.settings.model_validate(given))


def message(n: int = 0, **changes: Any) -> Outgoing:
    given = {"key": f"k{n}", "address": PHONES[n], "sender": "Shop", "payload": "Привет".encode()}
    return Outgoing(**given | changes)


def sent(provider: Provider, *messages: Outgoing) -> list[SendResult]:
    with closing(provider.connect()) as connection:
        return [connection.send(each) for each in messages]


class TestStreamTelecom(WebAccounts, ProviderContract):
    """Stream Telecom."""

    @pytest.fixture
    def service(self) -> Iterator[StreamTelecom]:
        with StreamTelecom() as made:
            yield made

    def account(self, url: str) -> Provider:
        return account(url, sender="Usual")

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_what_arrives(self, provider: Provider, service: StreamTelecom) -> None:
        text = "Скидка 10% & +100 баллов"
        sent(
            provider, message(0, payload=text.encode(), lifetime_seconds=61), message(1, sender="")
        )
        first, second = service.taken
        assert (first.sender, first.address, first.text) == ("Shop", PHONES[0], text)
        assert first.fields["validity"] == "2"
        assert (second.sender, "validity" in second.fields) == ("Usual", False)

    def test_every_part_has_a_number(self, provider: Provider, service: StreamTelecom) -> None:
        one, several = sent(provider, message(0), message(1, payload=("ж" * 71).encode()))
        assert (one.provider_id, one.submissions) == (service.taken[0].id, ())
        number = service.taken[1].id
        found = [(part.number, part.provider_id) for part in several.submissions]
        assert found == [(1, number), (2, f"{number}02")]

    def test_a_wrong_password_is_a_matter_of_the_account(
        self, provider: Provider, service: StreamTelecom
    ) -> None:
        assert "120.5" in provider.test()
        service.key = "other"
        for attempt in (provider.test, lambda: sent(provider, message())):
            with pytest.raises(PermanentProviderError, match="Check user name"):
                attempt()


def answered(reply: Reply) -> SendStatus:
    with WebSink(lambda _: reply) as sink:
        [result] = sent(account(sink.url), message())
    assert result.raw
    return result.status


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(body=b'["371324579"]'), SendStatus.ACCEPTED),
        (Reply(body=b"[371324579]"), SendStatus.ACCEPTED),
        (Reply(body=b'{"Code": 1, "Desc": ""}'), SendStatus.REFUSED),
        (Reply(400, body=b'{"Code": "10"}'), SendStatus.REFUSED_NOW),
        (Reply(500, body=b'{"Code": 9}'), SendStatus.UNKNOWN),
        (Reply(body=b'{"Code": 8}'), SendStatus.UNKNOWN),
        (Reply(body=b'{"Code": 77}'), SendStatus.REFUSED),
        (Reply(body=b"[]"), SendStatus.UNKNOWN),
        (Reply(body=b"[null]"), SendStatus.UNKNOWN),
        (Reply(body=b"{}"), SendStatus.UNKNOWN),
        (Reply(body=b"<html>"), SendStatus.UNKNOWN),
        (Reply(body=b"[" * 100_000), SendStatus.UNKNOWN),
        (Reply(400), SendStatus.REFUSED),
        (Reply(429), SendStatus.THROTTLED),
        (Reply(500, body=b'["371324579"]'), SendStatus.UNKNOWN),
        (Reply(hang_up=5), SendStatus.UNKNOWN),
    ],
)
def test_what_answers_mean(reply: Reply, status: SendStatus) -> None:
    assert answered(reply) is status


@pytest.mark.parametrize(
    "reply", [Reply(body=b'{"Code": 5}'), Reply(302), Reply(404), Reply(403, body=b'{"Code": 7}')]
)
def test_no_money_and_a_wrong_address_stop_the_gateway(reply: Reply) -> None:
    with pytest.raises(PermanentProviderError, match="balance"):
        answered(reply)


@pytest.mark.parametrize("status", [429, 503])
def test_stream_telecom_may_ask_us_to_wait(status: int) -> None:
    with pytest.raises(TemporaryProviderError, match="wait") as caught:
        answered(Reply(status, headers={"Retry-After": "9"}))
    assert caught.value.retry_after == 9


@pytest.mark.parametrize("url", ["ftp://x.test", "https://x.test/rest/", "https://u@x.test", ""])
def test_addresses_that_cannot_work(url: str) -> None:
    with pytest.raises(ValidationError):
        account(url)
