"""Nothing merged into an email adds a header, a recipient or a message: asked of a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from itertools import product
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from envoi.content.kit import Kit
from envoi.errors import ValidationFailedError
from envoi.types import Attachment, CompiledContent, Envelope, Recipient, SendStatus
from envoi_channel_email.content import EmailContent
from envoi_channel_email.dkim import DkimSigner
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
ATTACHED = ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
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
    "x" * 10_000,
    "\u202emoc.live@live\u202c",
    "\u2066\u200f\u061c\ufeff",
    "\ud800 half a surrogate \udfff",
    "\U0001f469\u200d\U0001f4bb" * 40,
]
SHORT = [attack for attack in ATTACKS if len(attack) < 5_000]
STRINGS = [f"Anna{end}{attack}{end}" for end, attack in product(ENDS, ATTACKS)]

RECIPIENT = "anna@example.test"
SIGNING_KEY = Ed25519PrivateKey.generate()


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
@given(st.text(max_size=200) | st.lists(st.sampled_from(ENDS + SHORT), max_size=8).map("".join))
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


class Files(Kit):
    """A library in which every file has a name of the attacker's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def attachment(self, file_id: int) -> Attachment:
        return Attachment(name=self._name, media_type="text/plain", data=b"attached")


def letter(**fields: Any) -> EmailContent:
    """A short email."""
    plain: dict[str, Any] = {
        "subject": "News",
        "body_format": "html",
        "body": "<html><body>Hello</body></html>",
        "sender_name": "Fieldmarket",
        "sender_address": "news@shop.test",
    }
    return EmailContent.model_validate(plain | fields)


ENVELOPE = Envelope(message_domain="envoi.test", return_path_domain="bounce.envoi.test")


@pytest.mark.parametrize("field", ["subject", "preheader", "sender_name", "sender_address"])
def test_what_a_marketer_types_is_refused_or_harmless(
    sink: SmtpSink, connection: SmtpConnection, field: str
) -> None:
    refused = 0
    for value in STRINGS:
        try:
            content = compile_email(letter(**{field: value}), ENVELOPE, Kit())
        except (ValidationError, ValidationFailedError):
            refused += 1
        else:
            check(sink, connection, content, "Anna")
    assert refused, "line ends are never accepted in a field of one line"


def test_a_reply_address_is_refused_or_one_address(
    sink: SmtpSink, connection: SmtpConnection
) -> None:
    for value in STRINGS:
        for address in (f"{value}@shop.test", f"anna@shop.test{value}"):
            try:
                content = compile_email(letter(reply_to=address), ENVELOPE, Kit())
            except ValidationError:
                continue
            before = len(sink.received)
            assert connection.send(content.render(recipient("Anna"))).status is SendStatus.ACCEPTED
            (taken,) = sink.received[before:]
            message = message_from_bytes(taken.data, policy=default)
            assert message.keys() == [HEADERS[0], "Reply-To", *HEADERS[1:]]
            assert len(message["Reply-To"].addresses) == 1


def test_names_of_files_stay_names(sink: SmtpSink, connection: SmtpConnection) -> None:
    for value in STRINGS:
        content = compile_email(letter(attachments=[1]), ENVELOPE, Files(f"{value}.txt"))
        before = len(sink.received)
        assert connection.send(content.render(recipient("Anna"))).status is SendStatus.ACCEPTED
        (taken,) = sink.received[before:]
        message = message_from_bytes(taken.data, policy=default)
        assert message.keys() == HEADERS
        [attached] = message.iter_attachments()
        assert attached.keys() == ATTACHED
        assert attached.get_content() == "attached"
        assert str(attached.get_filename()).endswith(".txt"), "the kind of file can still be told"
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", taken.data)
        assert max(map(len, taken.data.split(b"\r\n"))) <= 998


def test_an_address_is_one_recipient_or_none(
    sink: SmtpSink, connection: SmtpConnection, content: CompiledContent
) -> None:
    before = len(sink.received)
    accepted = []
    for value in STRINGS:
        for address in (f"{value}@example.test", f"anna@example.test{value}"):
            try:
                outgoing = content.render(recipient("Anna", address))
            except ValidationFailedError:
                continue
            if connection.send(outgoing).status is SendStatus.ACCEPTED:
                accepted.append(outgoing.address)
    assert [one.rcpt for one in sink.received[before:]] == accepted
    assert not any("evil" in one.rcpt for one in sink.received)


def test_a_return_path_ends_no_command(
    sink: SmtpSink, connection: SmtpConnection, content: CompiledContent
) -> None:
    outgoing = content.render(recipient("Anna"))
    before = len(sink.received)
    senders = [f"b+{value}@bounce.test" for value in STRINGS]
    senders += [f"b+k1@bounce.test{value}" for value in STRINGS]
    results = {sender: connection.send(replace(outgoing, sender=sender)) for sender in senders}
    accepted = [s for s, result in results.items() if result.status is SendStatus.ACCEPTED]
    taken = sink.received[before:]
    assert [(one.mail_from, one.rcpt) for one in taken] == [(s, RECIPIENT) for s in accepted]
    assert len(accepted) < len(STRINGS) / 10


def test_signed_messages_are_attacked_in_vain(sink: SmtpSink, content: CompiledContent) -> None:
    signer = DkimSigner("shop.test", "e1", SIGNING_KEY)
    pem = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    given = {"host": "127.0.0.1", "port": sink.port, "security": "none", "dkim_key": pem}
    given |= {"dkim_domain": "shop.test", "dkim_selector": "e1"}
    connection = SmtpProvider(SmtpSettings.model_validate(given)).connect()
    for value in STRINGS[::7]:
        before = len(sink.received)
        assert connection.send(content.render(recipient(value))).status is SendStatus.ACCEPTED
        (taken,) = sink.received[before:]
        assert message_from_bytes(taken.data, policy=default).keys() == ["DKIM-Signature", *HEADERS]
        assert dkim.verify(taken.data, dnsfunc=lambda name, timeout=5: signer.record.encode())
    connection.close()
