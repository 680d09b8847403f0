"""A forgiving scanner of HTML and MJML that may hold template syntax; linear, not recursive."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from envoi.errors import TemplateError

VOID_ELEMENTS = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)
_ACTIVE_ELEMENTS = frozenset(
    ("script", "iframe", "frame", "frameset", "object", "embed", "applet", "base")
)
_ACTIVE_SCHEME = re.compile(r"^[\x00-\x20]*(?:javascript|vbscript|data)\s*:", re.IGNORECASE)
_URL_ATTRIBUTES = frozenset({"href", "action", "formaction", "xlink:href"})

# Possessive quantifiers keep every pattern linear on text that somebody made to be slow.
_CODE = r"\{\{[^{}]{0,500}+\}\}|\{%(?:[^%{}]|%(?!\})){0,500}+%\}"
_DOUBLE = rf'"(?:[^"{{]|{_CODE}|\{{)*+"'
_SINGLE = rf"'(?:[^'{{]|{_CODE}|\{{)*+'"
_TAG = re.compile(
    rf"</?([a-zA-Z][a-zA-Z0-9:-]*+)((?:[^<>\"'{{]|{_DOUBLE}|{_SINGLE}|{_CODE}|\{{)*+)>"
)
_ATTRIBUTE = re.compile(
    rf"([^\s\"'>/={{}}%]++)(?:\s*+=\s*+({_DOUBLE}|{_SINGLE}|(?:[^\s\"'>{{]|{_CODE}|\{{)++))?"
)
_SPECIAL = re.compile(r"<[a-zA-Z/!?]|\{[{%#]")
_CLOSERS = {"{{": "}}", "{%": "%}", "{#": "#}", "<!--": "-->", "<!": ">", "<?": ">"}


class Kind(Enum):
    """What a piece of markup is."""

    TEXT = auto()
    CODE = auto()
    COMMENT = auto()
    OPEN = auto()
    CLOSE = auto()


class Token(NamedTuple):
    """A piece of markup; `name` is a tag's in lower case, `body` where its attributes are."""

    kind: Kind
    start: int
    end: int
    name: str = ""
    body: tuple[int, int] = (0, 0)


class Attribute(NamedTuple):
    """An attribute; the value's place in the markup leaves the quotes out."""

    name: str
    start: int
    end: int
    quoted: bool


def tokens(markup: str) -> Iterator[Token]:
    """Cut markup into pieces; what never ends counts as text up to the end."""
    position = text_start = 0
    while match := _SPECIAL.search(markup, position):
        token = _token_at(markup, match.start())
        if token is None:
            position = match.start() + 1
            continue
        if token.start > text_start:
            yield Token(Kind.TEXT, text_start, token.start)
        yield token
        position = text_start = token.end
    if text_start < len(markup):
        yield Token(Kind.TEXT, text_start, len(markup))


def _token_at(markup: str, start: int) -> Token | None:
    if match := _TAG.match(markup, start):
        kind = Kind.CLOSE if markup.startswith("</", start) else Kind.OPEN
        return Token(kind, start, match.end(), match[1].lower(), match.span(2))
    for opener, closer in _CLOSERS.items():
        if markup.startswith(opener, start):
            kind = Kind.CODE if opener in ("{{", "{%") else Kind.COMMENT
            end = markup.find(closer, start + len(opener))
            return Token(kind, start, len(markup) if end < 0 else end + len(closer))
    return None


def attributes(markup: str, token: Token) -> Iterator[Attribute]:
    """The attributes of an opening tag that have a value."""
    for match in _ATTRIBUTE.finditer(markup, *token.body):
        start, end = match.span(2)
        if start >= 0:
            quoted = markup[start] in "\"'"
            yield Attribute(match[1].lower(), start + quoted, end - quoted, quoted)


def line_of(markup: str, position: int) -> int:
    """The line of a place in the text, counted from 1."""
    return markup.count("\n", 0, position) + 1


def refuse_active_content(markup: str) -> None:
    """Raise `TemplateError` for scripts, frames, event handlers and script addresses."""
    for token in tokens(markup):
        if token.kind is Kind.OPEN and (problem := _active_part(markup, token)):
            message = f"{problem} cannot be used in a message. Remove it."
            raise TemplateError(message, line=line_of(markup, token.start))


def _active_part(markup: str, token: Token) -> str:
    if token.name in _ACTIVE_ELEMENTS:
        return f"<{token.name}>"
    for attribute in attributes(markup, token):
        if attribute.name.startswith("on"):
            return f"The attribute {attribute.name}"
        if attribute.name in _URL_ATTRIBUTES:
            value = html.unescape(markup[attribute.start : attribute.end])
            if _ACTIVE_SCHEME.match(value):
                return "A link that runs a script"
    return ""
