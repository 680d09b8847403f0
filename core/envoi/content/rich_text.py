"""The HTML that a text block may hold, cleaned of everything else, as pasted from Word."""

from __future__ import annotations

import re
from html import escape

import nh3

from envoi.content.code import hidden_code

_TAGS = {"p", "br", "b", "strong", "i", "em", "u", "a", "ul", "ol", "li"}
# What office programs paste beside the text: their contents are no text.
_DROPPED = {"style", "script", "title", "xml"}
_SCHEMES = {"http", "https", "mailto", "tel"}
_MAX_NESTED = 20
_EMPTY = re.compile(r"<(p|b|strong|i|em|u|li)>(?:\s|&nbsp;|<br>)*</\1>")

_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags=_DROPPED,
    attributes={"a": {"href"}},
    url_schemes=_SCHEMES,
    link_rel=None,
)


def clean_rich_text(html: str) -> str:
    """Keep paragraphs, breaks, emphasis, links and lists; template syntax passes through.

    Cleaning what is clean changes nothing. Text without any markup gets paragraphs.
    """
    hidden = hidden_code(html)
    text = hidden.text
    if "<" not in text:
        text = _paragraphs(text)
    cleaned = _without_empty(_CLEANER.clean(text)).strip()
    if cleaned and "<" not in cleaned:
        cleaned = _without_empty(f"<p>{cleaned}</p>")
    return hidden.restore(cleaned)


def _paragraphs(text: str) -> str:
    parts = re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip())
    shown = (escape(part, quote=False).replace("\n", "<br>") for part in parts if part.strip())
    return "".join(f"<p>{part}</p>" for part in shown)


def _without_empty(html: str) -> str:
    for _ in range(_MAX_NESTED):
        html, found = _EMPTY.subn("", html)
        if not found:
            break
    return html
