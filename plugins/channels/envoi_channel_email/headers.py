"""Header fields of a message: whatever is merged in, one field stays one field."""

from __future__ import annotations

import re
from base64 import b64encode
from email.utils import formatdate
from functools import lru_cache
from urllib.parse import quote

from email_validator import EmailNotValidError, validate_email

from envoi.errors import Problem, ValidationFailedError

MAX_TEXT = 500
"""Characters of a subject or name; longer ones are cut, since no mailbox shows them."""

MAX_FILE_NAME = 70
"""A line has 998 bytes (RFC 5322), and a character up to 12 of them when it is quoted."""

_LINE = 72
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")


def one_line(text: str) -> str:
    """The text without anything that could end a line, cut to a sane length."""
    return _CONTROLS.sub(" ", text).strip()[:MAX_TEXT]


def unstructured(name: str, text: str) -> str:
    """A field of free text such as Subject, encoded and folded where it must be."""
    text = one_line(text)
    room = _LINE - len(name) - 2
    if text.isascii() and "=?" not in text:
        if len(text) <= room:
            return f"{name}: {text}\r\n"
        if max(map(len, text.split(" "))) < room:
            return f"{name}: {_folded(text, room)}\r\n"
    return f"{name}: {_encoded_words(text)}\r\n"


def mailbox(name: str, address: str) -> str:
    """A mailbox with the name people see, for From, To and Reply-To."""
    name = one_line(name)
    if not name:
        return address
    if not name.isascii() or "=?" in name or len(name) > _LINE:
        return f"{_encoded_words(name)}\r\n <{address}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def file_name(name: str) -> str:
    """The parameter of an attachment's name, by RFC 2231 where it is not ASCII."""
    plain = _short(_CONTROLS.sub(" ", name))
    if plain.isascii():
        return 'filename="{}"'.format(plain.replace("\\", "_").replace('"', "_"))
    return f"filename*=utf-8''{quote(plain.encode(errors='replace'), safe='')}"


def _short(name: str) -> str:
    """Cut the middle out of a long name, so that its line is one and its end is kept."""
    return name if len(name) <= MAX_FILE_NAME else f"{name[:40]}{name[40 - MAX_FILE_NAME :]}"


def sendable(address: str) -> str:
    """The address as it goes on the wire: a non-ASCII domain as its A-label.

    Raises:
        ValidationFailedError: It is no address.
    """
    if _PLAIN_ADDRESS.fullmatch(address):
        return address
    try:
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValidationFailedError([Problem("address", str(error))]) from None
    return f"{found.local_part}@{found.ascii_domain}"


@lru_cache(maxsize=2)
def date_field(second: int) -> str:
    """The Date field; a second's messages share it."""
    return f"Date: {formatdate(second).replace('-0000', '+0000')}\r\n"


def _folded(text: str, room: int) -> str:
    """Break lines at single spaces, which unfolding gives back unchanged."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = "", _LINE
        line = f"{line} {word}" if line or not word else word
    return "\r\n ".join([*lines, line])


def _encoded_words(text: str) -> str:
    """RFC 2047 words of at most 75 characters, none of which splits a character."""
    widest = ord(max(text, default=" "))
    size = 22 if widest < 0x800 else 15 if widest < 0x10000 else 11
    chunks = (text[i : i + size].encode(errors="replace") for i in range(0, len(text), size))
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk).decode('ascii')}?=" for chunk in chunks)
