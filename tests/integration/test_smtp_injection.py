"""Nothing merged into an email adds a header, a recipient or a message: asked of a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.types import CompiledContent, Envelope, Recipient, SendStatus
from envoi_channel_email.content import EmailContent
from envoi_channel_email.mime import compile_email
from envoi_channel_email.settings import SmtpSettings
from envoi_channel_email.smtp import SmtpConnection, SmtpProvider
from smtp_sink import SmtpSink

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
    "Content-Type",
]
ENDS = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\u2029",
    "%0d%0a",
    "\\r\\n",
    "\r\n\r\n",
    "\n\n",
    "\r\r\n",
]
ATTACKS = [
    "Bcc: evil@evil.test",
    "To: evil@evil.test",
    "X-Evil: 1",
    " folded: x",
    "\tfolded",
    "Content-Type: text/plain",
    ".",
    ".\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<evil@evil.test>\r\nDATA\r\n\r\nevil\r\n.",
    ".\nRCPT TO:<evil@evil.test>\n",
    "--=_envoi_alternative--",
    "--=_envoi_alternative\r\nContent-Type: text/html\r\n\r\nevil",
    "RSET",
    "QUIT",
    "=?utf-8?q?=0D=0ABcc:_evil@evil.test?=",
    "<evil@evil.test>",
    '", <evil@evil.test>, "',
    "x" * 2_000,
]
STRINGS = [f"Anna{end}{attack}{end}" for end, attack in product(ENDS, ATTACKS)]

RECIPIENT = "anna@example.test"


@pytest.fixture(scope="module")
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def connection(sink: SmtpSink) -> Iterator[SmtpConnection]:
    given = {"host": "127.0.0.1", "port": sink.port, "security": "none"}
    connection = SmtpProvider(SmtpSettings.model_validate(given)).connect()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def content() -> CompiledContent:
    template = "{{ value }} {{ value | upper }} {{ value | default('x') }}"
    links = '<a href="https://a.test/?q={{ value }}">x</a><a href="{{ value }}">y</a>'
    html = f"<html><body>{template}{links}</body></html>"
    content = EmailContent.model_validate(
        {
            "subject": template,
            "preheader": template,
            "body_format": "html",
            "body": html,
            "sender_name": "Fieldmarket",
            "sender_address": "news@shop.test",
        }
    )
    envelope = Envelope(message_domain="envoi.test", return_path_domain="bounce.envoi.test")
    return compile_email(content, envelope, Kit())


def recipient(value: str, address: str = RECIPIENT) -> Recipient:
    return Recipient(
        address=address,
        name=value,
        variables={"value": value},
        message_key="k1",
        unsubscribe_url="https://t.test/u/1",
        one_click_url="https://t.test/u/1",
        open_url="https://t.test/o/1",
        click=lambda number, target: f"https://t.test/c/{number}",
    )


def check(sink: SmtpSink, connection: SmtpConnection, content: CompiledContent, value: str) -> None:
    before = len(sink.received)
    outgoing = content.render(recipient(value))
    assert connection.send(outgoing).status is SendStatus.ACCEPTED
    (taken,) = sink.received[before:]
    assert (taken.rcpt, taken.mail_from) == (RECIPIENT, "b+k1@bounce.envoi.test")
    assert taken.data == outgoing.payload
    message = message_from_bytes(taken.data, policy=default)
    assert message.keys() == HEADERS
    assert [address.addr_spec for address in message["To"].addresses] == [RECIPIENT]
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", taken.data)
    assert max(map(len, taken.data.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("value", STRINGS, ids=range(len(STRINGS)))
def test_known_attacks(
    sink: SmtpSink, connection: SmtpConnection, content: CompiledContent, value: str
) -> None:
    check(sink, connection, content, value)


def test_there_are_enough_attacks() -> None:
    assert len(set(STRINGS)) >= 200


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200) | st.lists(st.sampled_from(ENDS + ATTACKS), max_size=8).map("".join))
def test_unknown_attacks(
    sink: SmtpSink, connection: SmtpConnection, content: CompiledContent, value: str
) -> None:
    check(sink, connection, content, value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from([*ENDS, *ATTACKS, "a", "@", "b.test"]), max_size=8).map("".join)
)
def test_attacks_by_address(
    sink: SmtpSink, connection: SmtpConnection, content: CompiledContent, value: str
) -> None:
    before = len(sink.received)
    try:
        outgoing = content.render(recipient("Anna", address=value))
    except ValidationFailedError:
        return
    assert connection.send(outgoing).status is SendStatus.ACCEPTED
    assert [one.rcpt for one in sink.received[before:]] == [outgoing.address]
