"""Emails as bytes: exact headers, readable parts, and nothing a value could add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from envoi.content.kit import Kit
from envoi.errors import TemplateError, ValidationFailedError
from envoi.types import Envelope, Recipient
from envoi_channel_email import register_channels
from envoi_channel_email.content import EmailContent
from envoi_channel_email.headers import mailbox, sendable, unstructured
from envoi_channel_email.mime import CompiledEmail, compile_email

ENVELOPE = Envelope(
    message_domain="envoi.test",
    return_path_domain="bounce.envoi.test",
    list_unsubscribe_mailto="unsubscribe@envoi.test",
    feedback_id="12:7:mailing:envoi",
)
CONTENT: dict[str, Any] = {
    "subject": "Hello {{ name }}",
    "body_format": "html",
    "body": '<html><body class="x"><p>Dear {{ name }}</p><a href="https://a.test/?x=1&amp;y=2">A</a>'
    '<a href="{{ url }}">B</a> <a href="{{ unsubscribe_url }}">leave</a></body></html>',
    "sender_name": "Fieldmarket",
    "sender_address": "news@shop.test",
}
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "MIME-Version",
    "Content-Type",
]


def compiled(**changes: Any) -> CompiledEmail:
    return compile_email(EmailContent.model_validate(CONTENT | changes), ENVELOPE, Kit())


def recipient(
    name: str = "Anna", address: str = "anna@example.test", **variables: Any
) -> Recipient:
    return Recipient(
        address=address,
        name=name,
        variables={"name": name, **variables},
        message_key="k" * 56,
        unsubscribe_url="https://t.test/u/token",
        one_click_url="https://t.test/u/token",
        open_url="https://t.test/o/token",
        click=lambda number, target: (
            f"https://t.test/c/{number}" + (f"?to={len(target)}" if target else "")
        ),
    )


def parsed(payload: bytes) -> EmailMessage:
    return message_from_bytes(payload, policy=default)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return cast(str, part.get_content())


def test_headers_are_exact_and_in_order() -> None:
    made = compiled().render(recipient())
    message = parsed(made.payload)
    assert message.keys() == HEADERS
    assert message["From"] == "Fieldmarket <news@shop.test>"
    assert message["To"] == "Anna <anna@example.test>"
    assert message["Subject"] == "Hello Anna"
    assert message["Message-ID"] == f"<{'k' * 56}@envoi.test>"
    assert message["List-Unsubscribe"] == (
        f"<https://t.test/u/token>, <mailto:unsubscribe@envoi.test?subject={'k' * 56}>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in made.payload
    assert message["Feedback-ID"] == "12:7:mailing:envoi"
    assert message["Date"].datetime.utcoffset().total_seconds() == 0
    assert made.sender == f"b+{'k' * 56}@bounce.envoi.test"
    assert not message.defects


def test_parts_are_personal_and_tracked() -> None:
    message = parsed(
        compiled(preheader="Only {{ name }}").render(recipient(url="https://b.test/?q=1")).payload
    )
    html, text = body(message, "html"), body(message, "plain")
    assert '<a href="https://t.test/c/0">A</a><a href="https://t.test/c/1?to=19">B</a>' in html
    assert '<a href="https://t.test/u/token">leave</a>' in html
    assert re.search(r'<body class="x"><div style="display:none[^>]*>Only Anna</div>', html)
    assert re.search(r'<img src="https://t.test/o/token"[^>]*></body>', html)
    assert "Dear Anna" in text
    assert "A (https://t.test/c/0)B (https://t.test/c/1?to=19)" in text
    assert "<" not in text


def test_html_is_escaped_and_text_is_not() -> None:
    message = parsed(compiled().render(recipient(name="<b>Tom & Co</b>")).payload)
    assert "Dear &lt;b&gt;Tom &amp; Co&lt;/b&gt;" in body(message, "html")
    assert "Dear <b>Tom & Co</b>" in body(message, "plain")
    assert message["Subject"] == "Hello <b>Tom & Co</b>"


def test_own_text_part_is_used() -> None:
    message = parsed(compiled(text="Plain {{ name }}\n.\n").render(recipient()).payload)
    assert body(message, "plain").replace("\r\n", "\n") == "Plain Anna\n.\n"


def test_each_link_is_signed_once() -> None:
    signed = list[int]()
    one = recipient(url="https://b.test")

    def click(number: int, target: str) -> str:
        signed.append(number)
        return f"https://t.test/{number}"

    compiled().render(
        Recipient(
            address=one.address,
            name=one.name,
            variables=one.variables,
            message_key="k",
            click=click,
            unsubscribe_url="u",
            one_click_url="u",
            open_url="o",
        )
    )
    assert signed == [0, 1]


def test_links_tell_their_targets() -> None:
    assert compiled().links == ("https://a.test/?x=1&y=2", "{{ url }}")


def test_preview_shows_true_targets() -> None:
    spec = next(iter(register_channels()))
    variables: Mapping[str, Any] = {"name": "Anna", "url": "https://b.test", "unsubscribe_url": "#"}
    shown = spec.preview(EmailContent.model_validate(CONTENT), Kit(), variables)
    assert '<a href="https://a.test/?x=1&amp;y=2">A</a><a href="https://b.test">B</a>' in shown
    assert "<img" not in shown


texts = st.text(max_size=600) | st.text(alphabet='aя \r\n\t\0=?<>",@🎁', max_size=300)


@given(texts)
def test_free_text_survives_as_one_field(value: str) -> None:
    field = unstructured("Subject", value).encode(errors="replace")
    message = parsed(field + b"X-End: 1\r\n\r\n")
    assert message.keys() == ["Subject", "X-End"]
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    cleaned = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", value).strip()[:500]
    assert str(message["Subject"]).split() == cleaned.encode(errors="replace").decode().split()


@given(texts)
def test_names_survive_as_one_mailbox(value: str) -> None:
    field = f"To: {mailbox(value, 'anna@example.test')}\r\nX-End: 1\r\n\r\n"
    message = parsed(field.encode(errors="replace"))
    assert message.keys() == ["To", "X-End"]
    assert [address.addr_spec for address in message["To"].addresses] == ["anna@example.test"]


@given(texts, texts)
def test_messages_keep_their_shape(name: str, url: str) -> None:
    made = COMPILED.render(recipient(name=name, url=url))
    message = parsed(made.payload)
    assert message.keys() == HEADERS
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert made.payload.count(b"\n") == made.payload.count(b"\r\n") == made.payload.count(b"\r")
    assert b"\0" not in made.payload
    assert max(map(len, made.payload.split(b"\r\n"))) <= 998
    shown = (
        name.replace("\0", "")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .encode(errors="replace")
        .decode()
    )
    assert shown in body(message, "plain").replace("\r\n", "\n")
    assert message.as_bytes(policy=SMTP)


COMPILED = compiled()


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("anna@example.test", "anna@example.test"),
        ("a.b+c'd@sub-domain.example.test", "a.b+c'd@sub-domain.example.test"),
        ("anna@пример.test", "anna@xn--e1afmkfd.test"),
        ("анна@пример.test", "анна@xn--e1afmkfd.test"),
    ],
)
def test_addresses_on_the_wire(address: str, wire: str) -> None:
    assert sendable(address) == wire
    made = COMPILED.render(recipient(address=address))
    assert made.address == wire
    assert f"<{wire}>".encode() in made.payload


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@example.test",
        "a b@example.test",
        "a@b@example.test",
        "a@example.test\r\nRCPT TO:<b@c.test>",
        "a@example.test>",
        "<a@example.test>",
        "a@exa mple.test",
        "a\0@example.test",
        "a@example.test\n",
        "a,b@example.test",
        '"a b"@example.test',
        "я" * 300 + "@example.test",
    ],
)
def test_what_is_no_address_fails_its_message(address: str) -> None:
    with pytest.raises(ValidationFailedError, match="address"):
        COMPILED.render(recipient(address=address))


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": "a\r\nBcc: x@y.test"},
        {"subject": "a\0"},
        {"preheader": "a\nb"},
        {"sender_name": "a\r\nb"},
        {"sender_address": "nobody"},
        {"sender_address": "a@b.test\r\nX: y"},
        {"sender_address": ""},
        {"reply_to": "x"},
        {"sender_address": "почта@b.test"},
        {"reply_to": "почта@b.test"},
        {"body": ""},
        {"body": "x" * 600_000},
        {"body_format": "word"},
        {"surprise": 1},
    ],
)
def test_schema_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmailContent.model_validate(CONTENT | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "{{ x"},
        {"body": "{{ x() }}"},
        {"body": "<script>x</script>"},
        {"preheader": "{% include 'x' %}"},
        {"text": "{{ 2 ** 2 }}"},
        {"body_format": "mjml"},
    ],
)
def test_compile_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        compiled(**changes)
