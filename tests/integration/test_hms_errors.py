"""What Huawei answers, code by code: what drops a device, what never, what waits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from envoi.errors import PermanentProviderError, ProviderError, TemporaryProviderError
from envoi.types import BatchConnection, SendResult, SendStatus
from envoi_simulators.hms import HmsService, hms_error
from envoi_simulators.http2 import Reply
from factories.push import hms_provider, push_message

REFUSED, NOW = SendStatus.REFUSED, SendStatus.REFUSED_NOW
NONE_TAKEN = json.dumps({"success": 0, "failure": 1, "illegal_tokens": ["bad"]})
ALL_TAKEN = json.dumps({"success": 1, "failure": 0, "illegal_tokens": []})
HTML = Reply(status=502, body=b"<html>Bad gateway</html>")

DROPS = {
    "80300007": hms_error("80300007", "all tokens are invalid"),
    "80300007 as 200": hms_error("80300007", "all tokens are invalid", status=200),
    "80100000": hms_error("80100000", NONE_TAKEN, status=200),
}
KEEPS = {
    "80100001": (hms_error("80100001", "UnSupported svc"), REFUSED),
    "80100003": (hms_error("80100003", "structure"), REFUSED),
    "80100004": (hms_error("80100004", "ttl"), REFUSED),
    "80100016": (hms_error("80100016", "sensitive"), REFUSED),
    "80300008": (hms_error("80300008", "too large"), REFUSED),
    "80300010": (hms_error("80300010", "too many tokens"), REFUSED),
    "80300011": (hms_error("80300011", "high priority"), REFUSED),
    "of tomorrow": (hms_error("80999999", "new"), REFUSED),
    "80600003": (hms_error("80600003", "OAuth service"), NOW),
    "81000001": (hms_error("81000001", "internal", status=500), NOW),
    "500 with a dropping code": (hms_error("80300007", status=500), NOW),
    "502": (HTML, NOW),
    "200 that says nothing": (Reply(body=b"[]"), NOW),
}
NEEDS_A_PERSON = {
    "80200001": hms_error("80200001", "OAuth authentication error", status=401),
    "80200003": hms_error("80200003", "OAuth token expired", status=401),
    "80300002": hms_error("80300002", "no permission"),
    "401": Reply(status=401, body=b""),
    "404": Reply(status=404, body=b"<html>Not found</html>"),
}


@pytest.fixture
def service() -> Iterator[HmsService]:
    with HmsService() as found:
        yield found


def send(service: HmsService, reply: Reply) -> SendResult:
    """Send a message that is taken, and return what becomes of the one after it."""
    service.scripted.by_token["bad"] = reply
    with closing(hms_provider(service).connect()) as connection:
        assert connection.send(push_message(1)).status is SendStatus.ACCEPTED
        return connection.send(push_message(2, "bad"))


@pytest.mark.parametrize("code", DROPS)
def test_what_drops_a_huawei_device(service: HmsService, code: str) -> None:
    result = send(service, DROPS[code])
    assert (result.status, result.address_gone) == (REFUSED, True)


@pytest.mark.parametrize("code", KEEPS)
def test_what_never_drops_a_huawei_device(service: HmsService, code: str) -> None:
    reply, status = KEEPS[code]
    result = send(service, reply)
    assert (result.status, result.address_gone) == (status, False)
    assert result.raw


def test_a_success_in_part_that_lists_nobody_is_a_success(service: HmsService) -> None:
    result = send(service, hms_error("80100000", ALL_TAKEN, status=200))
    assert result.status is SendStatus.ACCEPTED


@pytest.mark.parametrize("code", NEEDS_A_PERSON)
def test_what_a_person_mends_at_huawei(service: HmsService, code: str) -> None:
    with pytest.raises(PermanentProviderError) as found:
        send(service, NEEDS_A_PERSON[code])
    assert "Huawei refuses the account" in str(found.value)


def test_illegal_tokens_drop_nothing_before_the_app_is_known_to_be_right(
    service: HmsService,
) -> None:
    service.scripted.by_token["bad"] = DROPS["80300007"]
    with closing(hms_provider(service).connect()) as connection:
        assert not connection.send(push_message(1, "bad")).address_gone
        connection.send(push_message(2))
        assert connection.send(push_message(3, "bad")).address_gone


@pytest.mark.parametrize("code", ["80200001", "80200003"])
def test_an_old_token_of_access_is_renewed_at_once(service: HmsService, code: str) -> None:
    with closing(hms_provider(service).connect()) as connection:
        service.scripted.once["renew"] = hms_error(code, status=401)
        assert connection.send(push_message(1, "renew")).status is SendStatus.ACCEPTED
        service.expire()
        assert connection.send(push_message(2)).status is SendStatus.ACCEPTED
    assert len(service.granted) == 3


def test_threads_share_a_token_of_access(service: HmsService) -> None:
    provider = hms_provider(service)
    for number in range(1, 4):
        with closing(provider.connect()) as connection:
            connection.send(push_message(number))
    assert len(service.granted) == 1


def test_flow_control_lets_the_account_rest(service: HmsService) -> None:
    service.scripted.by_token["bad"] = hms_error("", status=503, retry_after="7")
    provider = hms_provider(service)
    with closing(provider.connect()) as connection, pytest.raises(TemporaryProviderError) as found:
        connection.send(push_message(1, "bad"))
    assert found.value.retry_after == 7
    with closing(provider.connect()) as connection, pytest.raises(TemporaryProviderError) as found:
        connection.send(push_message(2))
    assert found.value.retry_after == pytest.approx(7, abs=1)
    assert service.taken == []


def test_a_secret_that_is_not_taken(service: HmsService) -> None:
    service.scripted.rejects_keys = True
    provider = hms_provider(service)
    with pytest.raises(PermanentProviderError):
        provider.connect()
    with pytest.raises(ProviderError):
        provider.test()


def test_a_batch_has_an_answer_for_each(service: HmsService) -> None:
    service.scripted.by_token["bad"] = DROPS["80300007"]
    service.scripted.by_token["wait"] = hms_error("", status=503)
    service.scripted.by_token["lost"] = Reply(cut=True)
    with closing(hms_provider(service).connect()) as connection:
        assert isinstance(connection, BatchConnection)
        tokens = ["a", "bad", "b", "wait", "lost", *map(str, range(45))]
        messages = [push_message(n, token) for n, token in enumerate(tokens, 1)]
        results = connection.send_batch(messages)
    found = {token: result.status for token, result in zip(tokens, results, strict=True)}
    special = {"bad": REFUSED, "wait": SendStatus.THROTTLED, "lost": SendStatus.UNKNOWN}
    assert found == {**dict.fromkeys(tokens, SendStatus.ACCEPTED), **special}
    assert sorted(taken.address for taken in service.taken) == sorted({*tokens} - {*special})


def test_everything_arrives_at_huawei(service: HmsService) -> None:
    shown = {"title": "News — für Sie", "image": "https://shop.test/a.png"}
    message = push_message(1, **shown, text="Привет", link="shop://7", data={"offer": "7"})
    with closing(hms_provider(service).connect()) as connection:
        connection.send(replace(message, lifetime_seconds=600))
        connection.send(replace(push_message(2), lifetime_seconds=9_999_999))
    first, second = (taken.fields for taken in service.taken)
    assert first["notification"] == {**shown, "body": "Привет"}
    assert json.loads(first["data"]) == {"offer": "7", "link": "shop://7", "envoi_message": "key1"}
    assert first["android"]["ttl"] == "600s"
    assert first["android"]["notification"] == {"tag": "key1", "click_action": {"type": 3}}
    # Huawei keeps messages for 15 days at most, and shows none without a title.
    assert second["android"]["ttl"] == "1296000s"
    assert second["notification"]["title"] == "Fieldmarket"
