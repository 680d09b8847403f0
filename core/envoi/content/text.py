"""Makes the plain text part of a message from its HTML."""

from __future__ import annotations

import re
from html import unescape

from envoi.content.markup import Kind, Token, attributes, tokens

_SKIPPED = frozenset({"head", "style", "script", "title"})
_BREAKS = {
    Kind.OPEN: frozenset({"br", "hr", "li"}),
    Kind.CLOSE: frozenset({"div", "table", "tr"}),
}
_PARAGRAPHS = frozenset({"p", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"})
_SPACE = re.compile(r"\s+")
_BLANKS = re.compile(r"[ \t\u200c\u00ad\u034f]*\n[ \t\u200c\u00ad\u034f]*")
_EMPTY_LINES = re.compile(r"\n{3,}")


def plain_text(html: str) -> str:
    """Turn HTML into readable text: paragraphs, link addresses, pictures' words.

    Template syntax and the slots of tracked links pass through unchanged.
    """
    pieces: list[str] = []
    skipping = ""
    address = ""
    for token in tokens(html):
        if skipping:
            skipping = "" if token.kind is Kind.CLOSE and token.name == skipping else skipping
        elif token.kind is Kind.TEXT:
            pieces.append(unescape(_SPACE.sub(" ", html[token.start : token.end])))
        elif token.kind is Kind.CODE:
            pieces.append(html[token.start : token.end])
        elif token.kind is Kind.OPEN and token.name in _SKIPPED:
            skipping = token.name
        elif token.kind is Kind.OPEN and token.name == "a":
            address = _attribute(html, token, "href")
        elif token.kind is Kind.CLOSE and token.name == "a":
            pieces.append(f" ({address})" if address and not address.startswith("#") else "")
            address = ""
        else:
            pieces.append(_break(html, token))
    return _tidy("".join(pieces))


def _break(html: str, token: Token) -> str:
    if token.kind is Kind.OPEN and token.name == "img":
        return _attribute(html, token, "alt")
    if token.name in _PARAGRAPHS:
        return "\n\n"
    return "\n" if token.name in _BREAKS.get(token.kind, ()) else ""


def _attribute(html: str, token: Token, name: str) -> str:
    values = (html[a.start : a.end] for a in attributes(html, token) if a.name == name)
    return unescape(next(values, ""))


def _tidy(text: str) -> str:
    return _EMPTY_LINES.sub("\n\n", _BLANKS.sub("\n", text)).strip() + "\n"
