"""Takes template syntax out of a text while something works on it that does not know it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

_OPENER = re.compile(r"\{[{%#]")
_CLOSERS = {"{{": "}}", "{%": "%}", "{#": "#}"}


@dataclass(frozen=True, slots=True)
class HiddenCode:
    """A text with a mark in place of each piece of template syntax."""

    text: str
    code: tuple[str, ...]
    mark: str

    def restore(self, text: str) -> str:
        """Put the pieces back where their marks still are."""
        return re.sub(rf"{self.mark}x(\d+)x", lambda match: self.code[int(match[1])], text)


def hidden_code(source: str) -> HiddenCode:
    """Hide every expression, statement and comment behind a random mark of letters."""
    mark = f"envoi{secrets.token_hex(8)}"
    pieces: list[str] = []
    code: list[str] = []
    done = 0
    for start, end in _places(source):
        pieces += (source[done:start], f"{mark}x{len(code)}x")
        code.append(source[start:end])
        done = end
    return HiddenCode("".join([*pieces, source[done:]]), tuple(code), mark)


def around_code(source: str, change: Callable[[str], str]) -> str:
    """Apply a change to a text but not to the template syntax in it."""
    hidden = hidden_code(source)
    return hidden.restore(change(hidden.text))


def escape_text(source: str) -> str:
    """Escape a text for HTML and its attributes; template syntax stays as it is."""
    return around_code(source, escape)


def _places(source: str) -> Iterator[tuple[int, int]]:
    """Where the pieces are; what never ends is no code, and is looked for only once."""
    endless: set[str] = set()
    position = 0
    while match := _OPENER.search(source, position):
        position = match.end()
        closer = _CLOSERS[match[0]]
        end = -1 if closer in endless else source.find(closer, position)
        if end < 0:
            endless.add(closer)
            continue
        position = end + len(closer)
        yield match.start(), position
