"""Numbers the trackable links of a message and fills in their tracked addresses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape, unescape

from envoi.content.code import hidden_code
from envoi.content.markup import (
    Attribute,
    Kind,
    Token,
    attributes,
    refuse_active_content,
    tokens,
)
from envoi.errors import TemplateError

MAX_LINKS = 1_000
MAX_TARGET = 2_000

SERVICE_VARIABLES = ("unsubscribe_url", "preferences_url", "view_url", "open_url")
"""Variables that hold addresses of Envoi itself: links to them are never tracked."""

_WEB = re.compile(r"^\s*https?://", re.IGNORECASE)
_STARTS_WITH_CODE = re.compile(r"^\s*\{[{%]")
_IS_SERVICE = re.compile(rf"\b(?:{'|'.join(SERVICE_VARIABLES)})\b")


_IN_TEXT = re.compile(r"https?://[^\s<>\"«»“”]*[^\s<>\"«»“”.,:;!?)\]'’…]", re.IGNORECASE)
"""An address as people write it: what closes a sentence or a bracket is no part of it."""


@dataclass(frozen=True, slots=True)
class SlottedHtml:
    """HTML, or a text, with a slot for every trackable link; `targets` are as written.

    Targets may hold template syntax. The mark around a slot is random and used nowhere else, so
    that no merged value can make a slot of its own.
    """

    html: str
    targets: tuple[str, ...]
    mark: str

    def fill(self, rendered: str, click: Callable[[int, str], str], *, html: bool) -> str:
        """Put an address into every slot of a rendered text.

        `click` gets a link's number, and its target where that was rendered for this
        recipient ("" where it is the same for everybody). A rendered target that is no web
        address becomes "#" in HTML and disappears from text.
        """
        parts = rendered.split(self.mark)
        for index in range(1, len(parts), 2):
            number, is_rendered, target = parts[index].partition(" ")
            if is_rendered:
                address = _rendered_address(int(number), target, click, html=html)
            else:
                address = click(int(number), "")
            parts[index] = escape(address) if html else address
        return "".join(parts)


def _rendered_address(
    number: int, target: str, click: Callable[[int, str], str], *, html: bool
) -> str:
    plain = (unescape(target) if html else target).strip()
    if not _WEB.match(plain):
        return "#" if html else ""
    return click(number, plain) if len(plain) <= MAX_TARGET else plain


def is_personal(target: str) -> bool:
    """Whether a link's target holds template syntax and so differs between recipients."""
    return "{{" in target or "{%" in target


def number_links(html: str) -> SlottedHtml:
    """Cut a slot for every web link of `<a>` and `<area>`, numbered in order of appearance.

    Raises:
        TemplateError: The HTML holds active content or more links than anybody reads.
    """
    refuse_active_content(html)
    mark = f"envoi{secrets.token_hex(8)}"
    pieces: list[str] = []
    targets: list[str] = []
    done = 0
    for start, end, quoted in link_places(html):
        target = unescape(html[start:end]).strip()
        rendered = f" {html[start:end]}" if is_personal(target) else ""
        slot = f"{mark}{len(targets)}{rendered}{mark}"
        pieces += (html[done:start], slot if quoted else f'"{slot}"')
        targets.append(target)
        done = end
    if len(targets) > MAX_LINKS:
        raise TemplateError(f"The message holds more than {MAX_LINKS:,} links. Remove some.")
    return SlottedHtml("".join([*pieces, html[done:]]), tuple(targets), mark)


def number_text_links(text: str, change: Callable[[str], str] = str) -> SlottedHtml:
    """Cut a slot for every web address in a plain text; `change` makes its target of it."""
    hidden = hidden_code(text)
    mark = f"envoi{secrets.token_hex(8)}"
    targets: list[str] = []

    def slot(match: re.Match[str]) -> str:
        target = hidden.restore(change(match[0]))
        rendered = f" {target}" if is_personal(target) else ""
        targets.append(target)
        return f"{mark}{len(targets) - 1}{rendered}{mark}"

    slotted = _IN_TEXT.sub(slot, hidden.text)
    return SlottedHtml(hidden.restore(slotted), tuple(targets), mark)


def link_places(html: str) -> list[tuple[int, int, bool]]:
    """Where the web links of `<a>` and `<area>` stand, and whether in quotes."""
    return [(found.start, found.end, found.quoted) for _, found in _links(html)]


def marked_links(html: str, mark: Callable[[int, int, str], str]) -> str:
    """Put a piece of HTML into every trackable link, before what it shows.

    `mark` gets the link's number, how many there are, and its target.
    """
    links = list(_links(html))
    pieces: list[str] = []
    done = 0
    for number, (token, href) in enumerate(links):
        if token.name == "a":
            target = unescape(html[href.start : href.end]).strip()
            pieces += (html[done : token.end], mark(number, len(links), target))
            done = token.end
    return "".join([*pieces, html[done:]])


def _links(html: str) -> Iterator[tuple[Token, Attribute]]:
    for token in tokens(html):
        if token.kind is Kind.OPEN and token.name in ("a", "area"):
            for attribute in attributes(html, token):
                target = unescape(html[attribute.start : attribute.end])
                if attribute.name == "href" and _is_trackable(target):
                    yield token, attribute


def _is_trackable(target: str) -> bool:
    if _WEB.match(target):
        return True
    return bool(_STARTS_WITH_CODE.match(target)) and not _IS_SERVICE.search(target)
