"""Query parameters that tell a shop's statistics which mailing a visitor came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from html import unescape
from urllib.parse import parse_qsl, quote

from envoi.content.code import around_code, escape_text
from envoi.content.links import SlottedHtml, link_places, number_text_links

NAMES = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
"""The parameters that people fill in."""

_MACRO = re.compile(r"\{(\w+)\}")


def filled_utm(utm: Mapping[str, str], macros: Mapping[str, str]) -> dict[str, str]:
    """Fill macros such as `{mailing_id}` in, and leave empty parameters out."""
    filled = {
        name: _MACRO.sub(lambda match: macros.get(match[1], match[0]), value).strip()
        for name, value in utm.items()
    }
    return {name: value for name, value in filled.items() if value}


def with_utm(html: str, utm: Mapping[str, str]) -> str:
    """Add parameters to every web link of `<a>` and `<area>`; those already there stay."""
    if not utm:
        return html
    pieces: list[str] = []
    done = 0
    for start, end, _ in link_places(html):
        target = unescape(html[start:end])
        if not target.lstrip().startswith("{"):
            extended = around_code(target.strip(), partial(_extended, utm=utm))
            pieces += (html[done:start], escape_text(extended))
            done = end
    return "".join([*pieces, html[done:]])


def text_links_with_utm(text: str, utm: Mapping[str, str]) -> SlottedHtml:
    """Number the web addresses of a plain text, with parameters that are not there already."""
    return number_text_links(text, partial(_extended, utm=utm) if utm else str)


def _extended(target: str, utm: Mapping[str, str]) -> str:
    address, hash_mark, place = target.partition("#")
    path, _, query = address.partition("?")
    given = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    added = [f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in utm.items() if n not in given]
    return (
        f"{path}?{'&'.join(filter(None, (query, *added)))}{hash_mark}{place}" if added else target
    )
