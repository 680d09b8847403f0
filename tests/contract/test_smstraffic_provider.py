"""SmsTraffic keeps the contract, and its callbacks are read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from envoi.errors import ForgedWebhookError, PermanentProviderError, TemporaryProviderError
from envoi.testing import ProviderContract
from envoi.types import DeliveryEvent, Outgoing, Provider, SendResult, SendStatus, WebhookRequest
from envoi_provider_smstraffic import register_providers
from envoi_simulators.smstraffic import SmsTraffic
from processes import wait_until
from web_accounts import WebAccounts
from web_sink import Reply, WebSink

SMS, *_ = register_providers()
PHONES = [f"+7911555000{n}" for n in range(3)]


def account(url: str, **changes: Any) -> Provider:
    given = {"url": url, "api_key": "key", "timeout": 5, **changes}
    return SMS.factory(SMS.settings.model_validate(given))


def message(n: int = 0, sender: str = "Shop") -> Outgoing:
    return Outgoing(key=f"k{n}", address=PHONES[n], sender=sender, payload="Привет".encode())


def sent(provider: Provider, *messages: Outgoing) -> list[SendResult]:
    with closing(provider.connect()) as connection:
        return [connection.send(each) for each in messages]


class TestSmsTraffic(WebAccounts, ProviderContract):
    """SmsTraffic."""

    @pytest.fixture
    def service(self) -> Iterator[SmsTraffic]:
        with SmsTraffic() as made:
            yield made

    def account(self, url: str) -> Provider:
        return account(url, sender="Usual")

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_what_arrives(self, provider: Provider, service: SmsTraffic) -> None:
        results = sent(provider, message(0), message(1, sender=""))
        first, second = service.taken
        assert [result.provider_id for result in results] == [first.id, second.id]
        assert (first.sender, first.address, first.text) == ("Shop", PHONES[0], "Привет")
        assert second.sender == "Usual"

    def test_a_wrong_key_is_a_matter_of_the_account(
        self, provider: Provider, service: SmsTraffic
    ) -> None:
        assert "120.5" in provider.test()
        service.key = "other"
        for attempt in (provider.test, lambda: sent(provider, message())):
            with pytest.raises(PermanentProviderError, match="API key"):
                attempt()


def answered(reply: Reply) -> SendStatus:
    with WebSink(lambda _: reply) as sink:
        [result] = sent(account(sink.url), message())
    assert result.raw
    return result.status


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(body=b'{"success": true, "destinations": [{"id": 7}]}'), SendStatus.ACCEPTED),
        (Reply(body=b'{"success": false, "error": {"code": 105}}'), SendStatus.REFUSED),
        (Reply(body=b'{"success": true, "destinations": []}'), SendStatus.UNKNOWN),
        (Reply(body=b'{"success": true, "destinations": [{}]}'), SendStatus.UNKNOWN),
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
    assert answered(reply) is status


@pytest.mark.parametrize("status", [429, 503])
def test_smstraffic_may_ask_us_to_wait(status: int) -> None:
    with pytest.raises(TemporaryProviderError, match="wait") as caught:
        answered(Reply(status, headers={"Retry-After": "9"}))
    assert caught.value.retry_after == 9


def report(body: bytes, secret: str = "s", ours: str = "s") -> Sequence[DeliveryEvent]:
    settings = SMS.settings.model_validate({"api_key": "k", "report_secret": ours})
    request = WebhookRequest(method="POST", headers={}, query={"secret": secret}, body=body)
    assert SMS.webhook is not None
    return SMS.webhook(settings, request)


@pytest.mark.parametrize(
    ("state", "type_"),
    [
        ("Delivered", "delivered"),
        ("Non Delivered", "failed"),
        ("EXPIRED", "failed"),
        ("Buffered SMSC", "deferred"),
        ("Unknown status", "unknown"),
        ("Abducted", "unknown"),
    ],
)
def test_callbacks(state: str, type_: str) -> None:
    one = {"sms_id": 7, "status": state, "delivery_date": "2026-11-22 15:00:00", "err_code": 3}
    first, second = report(json.dumps([one, {"sms_id": "8", "status": state}]).encode())
    assert (first.type, first.reference, first.status, first.reason) == (type_, "7", state, "3")
    assert first.occurred_at.isoformat() == "2026-11-22T15:00:00+03:00"
    assert (second.type, second.reference, second.reason) == (type_, "8", "")


@pytest.mark.parametrize(("secret", "ours"), [("", "s"), ("S", "s"), ("é", "s"), ("", "")])
def test_forged_callbacks_are_refused(secret: str, ours: str) -> None:
    with pytest.raises(ForgedWebhookError):
        report(b"[]", secret, ours)


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'[{"sms_id": 7}]', b"\xff"])
def test_callbacks_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"names no|Expecting|decode"):
        report(body)


def test_states_come_to_the_webhook_of_the_account() -> None:
    with WebSink() as sink, SmsTraffic(webhook=f"{sink.url}/in?secret=s") as service:
        sent(account(service.url), message())
        service.report(service.taken[0], "Delivered")
        wait_until(lambda: bool(sink.asked), what="the callback")
    [event] = report(sink.asked[0].body)
    assert (event.type, event.reference) == ("delivered", service.taken[0].id)
