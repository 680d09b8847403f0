"""The page of a gateway that is described in words: lines stay lines, the secret stays inside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from flask.testing import FlaskClient

from envoi_simulators.http_sms import HttpSms
from pages import SignIn, token
from web_sink import Asked, Reply, WebSink

NEW = "/settings/gateways/new"
SECRET = "s3cret-of-the-provider"
HEADERS = "Authorization: Bearer {secret}\r\nX-Test: 1"
BODY = '{"to": "{phone}",\r\n "from": "{sender}",\r\n "text": "{text}"}'


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


@pytest.fixture
def service() -> Iterator[HttpSms]:
    with HttpSms(key=SECRET) as made:
        yield made


def typed(service: HttpSms, **changes: str) -> dict[str, str]:
    """The form as a browser sends it."""
    settings = {
        "url": f"{service.url}/send",
        "method": "POST",
        "kind": "json",
        "body": BODY,
        "headers": HEADERS,
        "secret": SECRET,
        "id_at": "id",
        "timeout": "5",
        "test_url": f"{service.url}/balance",
        "report_id_at": "id",
        "report_status_at": "status",
        "report_words": "DELIVRD delivered\r\nnot there failed",
        "report_proof": "hmac",
        "report_header": "X-Signature",
    }
    form = {f"settings.{name}": value for name, value in {**settings, **changes}.items()}
    return {"provider": "http_sms", "version": "0", "name": "Any", "is_on": "1", **form}


def test_set_up_shown_again_and_tried(browser: FlaskClient, service: HttpSms) -> None:
    form = typed(service) | {"csrf_token": token(browser, f"{NEW}?provider=http_sms")}
    made = browser.post(NEW, data=form)
    assert made.status_code == 303, made.text
    page = browser.get(made.location).text
    areas = [unescape(a) for a in re.findall(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)]
    assert "DELIVRD delivered\nnot there failed" in areas
    assert [area for area in areas if "{" in area] == [BODY, HEADERS]
    assert SECRET not in page
    number = re.search(r"gateways/(\d+)", made.location)
    assert number
    tried = browser.post(
        f"/settings/gateways/{number[1]}/test", data={"csrf_token": form["csrf_token"]}
    )
    assert "120.5" in tried.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body": "to={phone}"}, "The template of the body is no JSON. Correct it."),
        ({"report_words": "DELIVRD splendid"}, "This is none of the offered values."),
        ({"url": "ftp://sms.test/"}, "An address begins with https://"),
    ],
)
def test_what_cannot_work_is_said(
    browser: FlaskClient, service: HttpSms, changes: dict[str, str], said: str
) -> None:
    form = typed(service, **changes) | {"csrf_token": token(browser, f"{NEW}?provider=http_sms")}
    refused = browser.post(NEW, data=form)
    assert refused.status_code == 422
    assert said in unescape(refused.text)
    assert SECRET not in refused.text


@pytest.mark.parametrize("status", [200, 400, 401])
def test_an_answer_that_repeats_the_secret_does_not_show_it(
    browser: FlaskClient, service: HttpSms, status: int
) -> None:
    def repeat(asked: Asked) -> Reply:
        return Reply(status, b"your key: " + asked.headers["authorization"].encode())

    with WebSink(repeat) as sink:
        form = typed(service, test_url=f"{sink.url}/balance", url=f"{sink.url}/send")
        form |= {"csrf_token": token(browser, f"{NEW}?provider=http_sms")}
        made = browser.post(NEW, data=form)
        sent = {"csrf_token": form["csrf_token"]}
        tried = browser.post(f"{made.location}/test", data=sent)
    assert "your key: Bearer (hidden)" in tried.text
    assert SECRET not in tried.text
