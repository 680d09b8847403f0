"""The provider described in words keeps the contract, whatever its service answers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from pydantic import ValidationError

from envoi.errors import (
    ForgedWebhookError,
    PermanentProviderError,
    ProviderError,
    TemporaryProviderError,
)
from envoi.testing import ProviderContract
from envoi.types import Outgoing, Provider, SendResult, SendStatus, WebhookRequest
from envoi_provider_http.provider import HttpAccount
from envoi_provider_http.reports import read_report
from envoi_provider_http.settings import HttpSettings
from envoi_simulators.http_sms import HttpSms
from web_accounts import WebAccounts
from web_sink import Asked, Reply, WebSink

PHONES = [f"+4915100000{n:02}" for n in range(3)]


def settings(root: str, /, **changes: Any) -> HttpSettings:
    given = {
        "url": f"{root}/send",
        "secret": "key",
        "status_at": "status",
        "code_at": "error",
        "taken": "queued, sent",
        "again": "busy",
        "test_url": f"{root}/balance",
        "timeout": 5,
    }
    return HttpSettings.model_validate(given | changes)


def message(n: int = 0, text: str = "Hello", **changes: Any) -> Outgoing:
    given = {"key": f"k{n}", "address": PHONES[n], "sender": "Shop", "payload": text.encode()}
    return Outgoing(**given | changes)


class TestHttpProvider(WebAccounts, ProviderContract):
    """Any HTTP interface."""

    @pytest.fixture
    def service(self) -> Iterator[HttpSms]:
        with HttpSms() as made:
            yield made

    def account(self, url: str) -> Provider:
        return HttpAccount(settings(url))

    def message(self, n: int) -> Outgoing:
        return message(n)

    def test_what_arrives(self, provider: Provider, service: HttpSms) -> None:
        text = 'Привет, "Анна"\n{key} \\ € 🎁'
        result = sent(provider, message(text=text))
        [taken] = service.taken
        assert (taken.address, taken.sender, taken.text) == (PHONES[0], "Shop", text)
        assert (result.provider_id, result.code) == (taken.id, 200)

    def test_the_balance_is_the_test(self, provider: Provider, service: HttpSms) -> None:
        assert "120.5" in provider.test()
        service.key = "other"
        with pytest.raises(PermanentProviderError, match="401") as refused:
            provider.test()
        assert "wrong key" in refused.value.raw
        with pytest.raises(PermanentProviderError, match="401"):
            sent(provider, message())

    def test_the_same_key_arrives_once(self, service: HttpSms) -> None:
        provider = HttpAccount(settings(service.url, key_header="Idempotency-Key"))
        assert len({sent(provider, message()).provider_id for _ in range(3)}) == 1
        assert len(service.taken) == 1


def sent(provider: Provider, outgoing: Outgoing) -> SendResult:
    with closing(provider.connect()) as connection:
        return connection.send(outgoing)


def answered(reply: Reply, **changes: Any) -> SendResult:
    with WebSink(lambda _: reply) as sink:
        return sent(HttpAccount(settings(sink.url, **changes)), message())


def said(**values: Any) -> Reply:
    return Reply(body=json.dumps(values).encode())


@pytest.mark.parametrize(
    ("reply", "changes", "status"),
    [
        (said(id=7, status="QUEUED"), {}, SendStatus.ACCEPTED),
        (said(id=7, status="sold out"), {}, SendStatus.REFUSED),
        (said(id=7), {}, SendStatus.UNKNOWN),
        (said(id=7), {"status_at": ""}, SendStatus.ACCEPTED),
        (said(status="sent"), {"taken": ""}, SendStatus.UNKNOWN),
        (Reply(body=b"<html>Welcome</html>"), {}, SendStatus.UNKNOWN),
        (Reply(body=b"\xff\xfe"), {}, SendStatus.UNKNOWN),
        (Reply(body=b"[" * 100_000), {}, SendStatus.UNKNOWN),
        (Reply(204), {}, SendStatus.UNKNOWN),
        (Reply(204), {"status_at": "", "id_at": ""}, SendStatus.ACCEPTED),
        (Reply(400, b'{"status": "busy"}'), {}, SendStatus.REFUSED_NOW),
        (Reply(422, b"no such number"), {}, SendStatus.REFUSED),
        (Reply(429), {}, SendStatus.THROTTLED),
        (Reply(500), {}, SendStatus.UNKNOWN),
        (Reply(504, b"<html>"), {}, SendStatus.UNKNOWN),
        (Reply(hang_up=0), {}, SendStatus.UNKNOWN),
        (Reply(hang_up=9), {}, SendStatus.UNKNOWN),
    ],
)
def test_what_answers_mean(reply: Reply, changes: dict[str, Any], status: SendStatus) -> None:
    result = answered(reply, **changes)
    assert result.status is status
    assert result.raw


@pytest.mark.parametrize(
    ("reply", "error", "changes"),
    [
        (Reply(401), PermanentProviderError, {}),
        (Reply(302, headers={"Location": "http://10.0.0.1/"}), PermanentProviderError, {}),
        (Reply(404), PermanentProviderError, {}),
        (Reply(503, headers={"Retry-After": "7"}), TemporaryProviderError, {}),
        (Reply(429, headers={"Retry-After": "7"}), TemporaryProviderError, {}),
        (Reply(500), TemporaryProviderError, {"key_header": "X-Key"}),
    ],
)
def test_answers_that_concern_the_account(
    reply: Reply, error: type[ProviderError], changes: dict[str, Any]
) -> None:
    with pytest.raises(error) as caught:
        answered(reply, **changes)
    assert str(reply.status) in caught.value.raw
    assert caught.value.retry_after == (7 if "Retry-After" in reply.headers else None)


def test_a_number_is_found_in_json_a_form_and_a_text() -> None:
    deep = said(result=[{"id": "a-1", "code": 0}])
    assert answered(deep, id_at="result.0.id", status_at="").provider_id == "a-1"
    form = Reply(body=b"status=queued&id=b%202")
    assert answered(form).provider_id == "b 2"
    text = Reply(body=b"OK: c-3\nBALANCE: 5")
    assert answered(text, id_at="OK: {}", status_at="").provider_id == "c-3"
    assert answered(text, id_at="ERR {}", status_at="").status is SendStatus.UNKNOWN


def test_values_are_escaped_for_where_they_stand() -> None:
    hostile = 'a&b="<c>"\r\n{secret}'
    asked = [
        requested(kind="form", body="to={digits}&text={text}", text=hostile),
        requested(kind="xml", body='<m to="{phone}">{text}</m>', text=hostile),
        requested(method="GET", url="/send?t={text}&p={parts}", body="", text=hostile),
    ]
    assert asked[0].body == b"to=491510000000&text=a%26b%3D%22%3Cc%3E%22%0D%0A%7Bsecret%7D"
    assert b"a&amp;b=&quot;&lt;c&gt;&quot;\r\n{secret}</m>" in asked[1].body
    assert asked[2].path == "/send?t=a%26b%3D%22%3Cc%3E%22%0D%0A%7Bsecret%7D&p=1"
    assert asked[2].body == b""
    assert [each.headers["authorization"] for each in asked] == ["Bearer key"] * 3
    assert asked[1].headers["content-type"].startswith("application/xml")


def requested(text: str, url: str = "/send", **changes: Any) -> Asked:
    with WebSink(lambda _: said(id=1, status="sent")) as sink:
        account = HttpAccount(settings(sink.url, **changes, url=f"{sink.url}{url}"))
        sent(account, message(text=text))
        return sink.asked[-1]


def test_the_usual_sender_stands_in() -> None:
    with HttpSms() as service:
        account = HttpAccount(settings(service.url, sender="Usual"))
        sent(account, message(sender=""))
    assert service.taken[0].sender == "Usual"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "ftp://sms.test/"}, "https://"),
        ({"url": "https://{phone}.test/"}, "server's name"),
        ({"body": '{"to": {oops}}'}, "oops"),
        ({"body": "to={phone}"}, "no JSON"),
        ({"body": '{"text": {text}}'}, "no JSON"),
        ({"headers": "no colon {text}"}, "Headers hold"),
        ({"headers": ": x"}, "a colon"),
        ({"test_url": "https://evil.test/"}, "another server"),
        ({"test_url": "http://sms.test/"}, "another server"),
        ({"test_url": "https://sms.test/{phone}"}, "to test holds"),
        ({"report_words": {"ok": "splendid"}}, "report_words"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        settings("https://sms.test", **changes)


def test_numbers_may_stand_in_json_without_quotes() -> None:
    body = '{"to": {digits}, "parts": {parts}, "ttl": {lifetime}}'
    assert json.loads(requested(text="x", body=body).body)["to"] == 491510000000


def test_an_address_is_the_same_in_capitals() -> None:
    with HttpSms() as service:
        account = HttpAccount(settings(service.url))
        loud = HttpAccount(settings(service.url.replace("http", "HTTP")))
        assert loud.written(message()).path == account.written(message()).path
        assert "120.5" in loud.test()


def report(
    body: bytes = b'{"id": "7", "status": "DELIVRD"}',
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    **changes: Any,
) -> list[tuple[str, str, str]]:
    words = {"delivrd": "delivered", "undeliv": "failed", "READ": "read"}
    account = settings("https://a.test", report_secret="s", report_words=words, **changes)
    request = WebhookRequest(
        method="POST", headers=headers or {"x-secret": "s"}, query=query or {}, body=body
    )
    return [(e.type, e.reference, e.status) for e in read_report(account, request)]


def test_reports_are_read() -> None:
    assert report() == [("delivered", "7", "DELIVRD")]
    assert report(b"id=8&status=Undeliv") == [("failed", "8", "Undeliv")]
    assert report(b"", query={"id": "9", "status": "lost"}) == [("unknown", "9", "lost")]
    several = b'[{"id": 1, "status": "read"}, {"id": 2, "status": "delivrd"}]'
    assert [each[0] for each in report(several)] == ["read", "delivered"]
    nested = b'{"data": {"ref": "k1", "state": "READ"}}'
    places: dict[str, Any] = {"report_id_at": "data.ref", "report_status_at": "data.state"}
    assert report(nested, **places) == [("read", "k1", "READ")]


def test_replies_are_read_where_the_settings_look() -> None:
    account = settings(
        "https://a.test", report_secret="s", reply_phone_at="from", reply_text_at="message.text"
    )
    body = '{"from": "4915112345678", "message": {"text": "СТОП"}}'.encode()
    request = WebhookRequest(method="POST", headers={"x-secret": "s"}, query={}, body=body)
    [event] = read_report(account, request)
    assert (event.type, event.recipient, event.text) == ("replied", "4915112345678", "СТОП")
    report = b'{"id": "7", "status": "delivered", "from": "49", "message": {"text": "Hello"}}'
    [event] = read_report(account, replace(request, body=report))
    assert (event.type, event.reference, event.text) == ("delivered", "7", "")
    with pytest.raises(ForgedWebhookError):
        read_report(account, replace(request, headers={}))


def test_a_report_may_show_its_secret_in_several_ways() -> None:
    body = b'{"id": "7", "status": "DELIVRD"}'
    signature = hmac.new(b"s", body, sha256).hexdigest()
    for shown in (signature, f"sha256={signature}"):
        assert report(body, {"x-secret": shown}, report_proof="hmac")
    assert report(body, {"a": "b"}, {"secret": "s"}, report_proof="query")


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ({"x-secret": "wrong"}, {}),
        ({"a": "b"}, {}),
        ({"x-secret": "s"}, {"report_proof": "hmac"}),
        ({"x-secret": "s"}, {"report_proof": "query"}),
        ({"x-secret": "é"}, {}),
    ],
)
def test_forged_reports_are_refused(headers: dict[str, str], changes: dict[str, Any]) -> None:
    with pytest.raises(ForgedWebhookError):
        report(headers=headers, **changes)


def test_without_a_secret_every_report_is_forged() -> None:
    request = WebhookRequest(method="POST", headers={"x-secret": ""}, query={}, body=b"{}")
    with pytest.raises(ForgedWebhookError):
        read_report(settings("https://a.test"), request)


@pytest.mark.parametrize("body", [b"", b"null", b"[[]]", b'{"id": {}, "status": []}', b"\xff"])
def test_what_names_no_message_is_for_a_person(body: bytes) -> None:
    with pytest.raises(ValueError, match="names no message"):
        report(body)
