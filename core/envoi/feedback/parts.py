"""Reads the parts of a message from anywhere: whatever is broken in it becomes plain text."""

from __future__ import annotations

import binascii
import email
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from envoi.db import storable

_REPORTS = {
    "message/delivery-status",
    "message/global-delivery-status",
    "message/feedback-report",
}

MOST_PARTS = 50
LONGEST_PART = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of a message; `text` is its body, or its headers if it is a message itself."""

    kind: str
    text: str
    depth: int


def parse(raw: bytes) -> Message:
    """Read a message leniently; 8-bit bytes stay."""
    return email.message_from_bytes(raw)


def header(message: Message, name: str) -> str:
    """A header on one line, its encoded words decoded where they can be."""
    value = str(message.get(name) or "")
    with suppress(HeaderParseError, LookupError, ValueError):
        value = str(make_header(decode_header(value)))
    return " ".join(value.split())


def parts(message: Message, depth: int = 0) -> Iterator[Part]:
    """The leaves of a message in order; a returned message gives its headers and its leaves."""
    kind = message.get_content_type()
    payload = message.get_payload()
    if kind in _REPORTS and isinstance(payload, list):
        groups = [group for group in payload if isinstance(group, Message)]
        yield Part(kind, _report(message, groups), depth)
    elif isinstance(payload, list):
        for inner in payload[:MOST_PARTS]:
            if not isinstance(inner, Message):
                continue
            if kind == "message/rfc822":
                yield Part("text/rfc822-headers", _headers(inner), depth + 1)
            yield from parts(inner, depth + 1)
    else:
        yield Part(kind, _text(message), depth)


def _report(message: Message, groups: Sequence[Message]) -> str:
    """The fields of a report, which the parser has taken for headers; RFC 3464 forbids base64."""
    if str(message.get("Content-Transfer-Encoding", "")).strip().lower() != "base64":
        return "\n\n".join(map(_headers, groups))
    encoded = "".join(group.as_string() for group in groups)
    # Whatever is no base64 in it is left out.
    return binascii.a2b_base64(encoded).decode("utf-8", "replace")


def blocks(text: str) -> Sequence[Message]:
    """The groups of fields of a delivery status or feedback report, divided by empty lines."""
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return [email.message_from_string(b.strip("\n")) for b in normal.split("\n\n") if b.strip()]


def _headers(message: Message) -> str:
    """All headers, each on one line."""
    lines = [f"{name}: {' '.join(str(value).split())}" for name, value in message.items()]
    return "\n".join(lines)[:LONGEST_PART]


def _text(message: Message) -> str:
    payload = message.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = message.get_content_charset("utf-8")
    try:
        text = data.decode(charset, "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    return storable(text)[:LONGEST_PART]
