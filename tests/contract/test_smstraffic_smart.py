"""Smart Delivery of SmsTraffic keeps the contract, and goes on to SMS by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote_plus

import pytest

from envoi.errors import TemporaryProviderError
from envoi.testing import CascadeContract, ProviderContract
from envoi.types import (
    NextMessage,
    NextStep,
    Outgoing,
    Provider,
    ProviderSpec,
    SendResult,
    SendStatus,
    WebhookRequest,
)
from envoi_provider_smstraffic import register_providers
from envoi_simulators.smstraffic import SmartDelivery
from processes import wait_until
from web_accounts import WebAccounts
from web_sink import Reply, WebSink

_, VIBER, SOCIAL = register_providers()
PHONES = [f"+7911555000{n}" for n in range(3)]
WORDS = {"text": "Привет", "image": "", "button": "", "url": "", "category": "promotional"}
SMS = NextMessage(
    channel="sms",
    wait_seconds=90,
    success="delivered",
    sender="Shop",
    payload="Текст & <SMS>".encode(),
)


def settings_at(url: str, spec: ProviderSpec = VIBER, **changes: Any) -> Any:
    given = {"url": url, "login": "login", "password": "key", "timeout": 5, "report_secret": "s"}
    return spec.settings.model_validate({**given, **changes})


def message(n: int = 0, then: tuple[NextMessage, ...] = (), **fields: str) -> Outgoing:
    payload = json.dumps(WORDS | fields).encode()
    return Outgoing(key=f"k{n}", address=PHONES[n], sender="Shop", payload=payload, then=then)


def sent(provider: Provider, *messages: Outgoing) -> list[SendResult]:
    with closing(provider.connect()) as connection:
        return [connection.send(each) for each in messages]


@pytest.fixture
def service() -> Iterator[SmartDelivery]:
    with SmartDelivery() as made:
        yield made


class TestSmartViber(WebAccounts, ProviderContract):
    """Viber by Smart Delivery."""

    def account(self, url: str) -> Provider:
        return VIBER.factory(settings_at(url))

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_what_arrives(self, provider: Provider, service: SmartDelivery) -> None:
        whole: Any = {
            "image": "https://shop.test/a.png",
            "button": "Look",
            "url": "https://go.test/1",
        }
        results = sent(provider, message(0), message(1, **whole), message(2, (SMS,)))
        assert [result.provider_id for result in results] == [each.id for each in service.taken]
        assert [_own(each.fields) for each in service.taken] == [
            {"message": "Привет", "route": "viber"},
            {
                "message": "Привет",
                "image_url": "https://shop.test/a.png",
                "btn_name": "Look",
                "btn_url": "https://go.test/1",
                "route": "viber",
            },
            {"message": "Привет", "route": "viber(90)-sms", "param_sms": "Текст & <SMS>"},
        ]

    def test_a_wrong_password_is_not_taken_for_an_answer(
        self, provider: Provider, service: SmartDelivery
    ) -> None:
        service.key = "other"
        with pytest.raises(TemporaryProviderError, match="as it should"):
            provider.test()
        assert [result.status for result in sent(provider, message())] == [SendStatus.REFUSED]


class TestSmartCascade(CascadeContract):
    """What Smart Delivery goes through by itself."""

    @pytest.fixture
    def sink(self) -> Iterator[WebSink]:
        answer = "<reply><result>OK</result><code>0</code><id>7</id></reply>"
        with WebSink(lambda _: Reply(body=answer.encode())) as sink:
            yield sink

    @pytest.fixture(params=[VIBER, SOCIAL], ids=lambda spec: spec.name)
    def spec(self, request: pytest.FixtureRequest) -> ProviderSpec:
        found: ProviderSpec = request.param
        return found

    @pytest.fixture
    def settings(self, spec: ProviderSpec, sink: WebSink) -> Any:
        return settings_at(sink.url, spec)

    @pytest.fixture
    def message(self) -> Outgoing:
        return message(0, (SMS,), template="7")

    @pytest.fixture
    def asked(self, sink: WebSink) -> Callable[[], Sequence[str]]:
        return lambda: [unquote_plus(each.body.decode()) for each in sink.asked]

    @pytest.fixture
    def delivered(self) -> Callable[[str], WebhookRequest]:
        return lambda channel: callback({"sms_id": 7, "status": "DELIVERED", "channel": channel})

    def test_a_person_may_switch_it_off(self, spec: ProviderSpec) -> None:
        step = NextStep(channel="sms", wait_seconds=90, success="delivered")
        assert spec.takes_over is not None
        assert not spec.takes_over(settings_at("http://smart.test", spec, moves_on=False), [step])
        assert not spec.takes_over(settings_at("http://smart.test", spec), [step, step])


def callback(report: dict[str, Any]) -> WebhookRequest:
    body = json.dumps([report]).encode()
    return WebhookRequest(method="POST", headers={}, query={"secret": "s"}, body=body)


def _own(fields: Any) -> dict[str, Any]:
    """What differs between messages."""
    same = ("login", "password", "phones", "originator", "want_sms_ids", "rus")
    return {name: value for name, value in fields.items() if name not in same}


def test_a_social_network_has_its_route_and_template(service: SmartDelivery) -> None:
    provider = SOCIAL.factory(settings_at(service.url, SOCIAL, network="ok"))
    payload = json.dumps({"text": "Привет", "template": "42"}).encode()
    sent(provider, Outgoing(key="k", address=PHONES[0], sender="", payload=payload))
    [taken] = service.taken
    assert taken.channel == "social"
    assert _own(taken.fields) == {"message": "Привет", "route": "ok", "template_id": "42"}


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(body=b"<reply><result>OK</result><id> 7 </id></reply>"), SendStatus.ACCEPTED),
        (Reply(body=b"<result>OK</result>"), SendStatus.UNKNOWN),
        (Reply(body=b"<result>ERROR</result><code>many</code>"), SendStatus.UNKNOWN),
        (Reply(body=b"<html>"), SendStatus.UNKNOWN),
        (Reply(400), SendStatus.REFUSED),
        (Reply(429), SendStatus.THROTTLED),
        (Reply(500), SendStatus.UNKNOWN),
    ],
)
def test_what_answers_mean(reply: Reply, status: SendStatus) -> None:
    with WebSink(lambda _: reply) as sink:
        [result] = sent(VIBER.factory(settings_at(sink.url)), message())
    assert result.status is status


@pytest.mark.parametrize("what", ["failed", "silent", "delivered"])
def test_the_simulated_service_goes_on_by_itself(what: str) -> None:
    """An SMS follows a failure at once and silence in time, and its states have one number."""
    with WebSink() as sink, SmartDelivery(webhook=f"{sink.url}/in?secret=s") as service:
        wait = 1 if what == "silent" else 60
        quick = NextMessage(**{**_fields_of(SMS), "wait_seconds": wait})
        sent(VIBER.factory(settings_at(service.url)), message(0, (quick,)))
        first = service.taken[0]
        if what != "silent":
            service.happened(first, what)
        moved = what != "delivered"
        wait_until(lambda: len(service.taken) == 1 + moved, what="the SMS")
        if moved:
            assert service.taken[1].text == "Текст & <SMS>"
            service.happened(service.taken[1], "delivered")
        wait_until(lambda: len(sink.asked) == {"failed": 2}.get(what, 1), what="the callbacks")
    told = [json.loads(each.body)[0] for each in sink.asked]
    assert {each["sms_id"] for each in told} == {first.id}
    assert {each["channel"] for each in told} == {
        "failed": {"viber", "sms"},
        "silent": {"sms"},
        "delivered": {"viber"},
    }[what]


def _fields_of(step: NextMessage) -> dict[str, Any]:
    return {name: getattr(step, name) for name in ("channel", "success", "sender", "payload")}
