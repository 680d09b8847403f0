"""Codes by a format such as `SPRING-{string('A-Z', 2)}{string('0-9', 4)}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from random import SystemRandom

from envoi.errors import Problem, ValidationFailedError

LONGEST_CODE = 64
LONGEST_FORMAT = 2_000
"""Each part may spell a range of thousands of characters out."""
FEW = 500_000
"""So many combinations are drawn from a shuffled list; of more, repeated ones are rare."""

_MACRO = re.compile(r"\{string\('([^'{}]*)',\s*(\d{1,3})\)\}")
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_CHANCE = SystemRandom()


@dataclass(frozen=True)
class CodeFormat:
    """A format, taken apart: the characters that each place of a code may have."""

    places: tuple[str, ...]

    @property
    def combinations(self) -> int:
        """How many codes there can be."""
        return prod(len(characters) for characters in self.places)

    def code(self, number: int) -> str:
        """Return the code of a number below `combinations`; each has one of its own."""
        made = []
        for characters in reversed(self.places):
            number, place = divmod(number, len(characters))
            made.append(characters[place])
        return "".join(reversed(made))

    def draw(self) -> Iterator[str]:
        """Return every code once, in an order that nobody can guess."""
        if self.combinations <= FEW:
            for number in _CHANCE.sample(range(self.combinations), self.combinations):
                yield self.code(number)
            return
        drawn: set[int] = set()
        while len(drawn) < self.combinations:
            number = _CHANCE.randrange(self.combinations)
            if number not in drawn:
                drawn.add(number)
                yield self.code(number)


def parse_format(source: str) -> CodeFormat:
    """Take a format apart; raise `ValidationFailedError` where it is none."""
    places: list[str] = []
    done = 0
    if len(source) > LONGEST_FORMAT:
        raise _wrong(f"A code has 1 to {LONGEST_CODE} characters. Change the format.")
    for match in _MACRO.finditer(source):
        places += _literal(source[done : match.start()])
        characters, length = _characters(match[1]), int(match[2])
        if not characters or not length:
            raise _wrong("A part such as {string('0-9', 4)} needs characters and a length.")
        places += [characters] * length
        done = match.end()
    places += _literal(source[done:])
    if not 1 <= len(places) <= LONGEST_CODE:
        raise _wrong(f"A code has 1 to {LONGEST_CODE} characters. Change the format.")
    return CodeFormat(tuple(places))


def _literal(text: str) -> list[str]:
    if "{" in text or "}" in text or any(c.isspace() or not c.isprintable() for c in text):
        raise _wrong("Write parts as {string('0-9', 4)}, and no spaces or other braces.")
    return list(text)


def _characters(written: str) -> str:
    """Spell ranges out: `A-C9` is `ABC9`; each character counts once."""
    found: dict[str, None] = {}
    for first, last, single in _RANGE.findall(written):
        if single:
            found[single] = None
        else:
            found.update(dict.fromkeys(map(chr, range(ord(first), ord(last) + 1))))
    if any(c.isspace() or not c.isprintable() for c in found):
        raise _wrong("A code holds no spaces. Take them out of the format.")
    return "".join(found)


def _wrong(message: str) -> ValidationFailedError:
    return ValidationFailedError([Problem("format", message)])
