"""How phones count a text: the alphabets of SMS, cutting into parts, and spelling for GSM.

3GPP TS 23.038 (alphabets) and 23.040 (parts). Nothing is packed here: an octet of `Part.data`
is a septet, which is what SMPP and modems take.
"""

from __future__ import annotations

from codecs import charmap_decode, charmap_encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import combining, normalize

MOST_PARTS = 255
"""More cannot be numbered."""

_ESCAPE = 0x1B
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {"\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C} | {
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_SEPTETS = {ord(c): bytes([n]) for n, c in enumerate(_BASIC) if n != _ESCAPE} | {
    ord(c): bytes([_ESCAPE, n]) for c, n in _EXTENSION.items()
}
_ESCAPED = {bytes([number]): character for character, number in _EXTENSION.items()}


class Alphabet(StrEnum):
    """How a text is coded; one character outside of GSM makes all of it Unicode."""

    GSM = "GSM-7"
    UNICODE = "Unicode"

    @property
    def coding(self) -> int:
        """The `data_coding` of SMPP."""
        return 0 if self is Alphabet.GSM else 8

    @property
    def unit(self) -> int:
        """Octets of `Part.data` that count as one character."""
        return 1 if self is Alphabet.GSM else 2

    @property
    def alone(self) -> int:
        """Characters that fit where there is one part only."""
        return 160 if self is Alphabet.GSM else 70

    @property
    def each(self) -> int:
        """Characters that fit into each of several parts."""
        return 153 if self is Alphabet.GSM else 67


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """How long a text is as its alphabet counts: `€` is two characters of GSM, `🎁` of Unicode.

    `left` is how many more fit into the last part.
    """

    alphabet: Alphabet
    parts: int
    characters: int
    left: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One short message: a header, empty where it is the only one, and what it says."""

    number: int
    total: int
    udh: bytes
    data: bytes
    coding: int


def measure(text: str) -> Measured:
    """Count a text as `parts` cuts it."""
    alphabet, data = _coded(text)
    pieces = list(_cut(data, alphabet))
    room = alphabet.alone if len(pieces) == 1 else alphabet.each
    return Measured(
        alphabet=alphabet,
        parts=len(pieces),
        characters=len(data) // alphabet.unit,
        left=room - len(pieces[-1]) // alphabet.unit,
    )


def parts(text: str, reference: int = 0) -> Sequence[Part]:
    """Cut a text; parts with the same reference, of which the last 8 bits count, are one text.

    Raises:
        ValueError: It is longer than parts can be numbered.
    """
    alphabet, data = _coded(text)
    pieces = list(_cut(data, alphabet))
    total = len(pieces)
    if total > MOST_PARTS:
        raise ValueError(f"The text makes {total:,} parts, and {MOST_PARTS} can be numbered.")
    head = bytes([5, 0, 3, reference & 0xFF, total])
    return [
        Part(
            number=number,
            total=total,
            udh=head + bytes([number]) if total > 1 else b"",
            data=piece,
            coding=alphabet.coding,
        )
        for number, piece in enumerate(pieces, 1)
    ]


def text_of(data: bytes, coding: int) -> str:
    """Read what a part says."""
    if coding == Alphabet.UNICODE.coding:
        return data.decode("utf-16-be", errors="replace")
    first, *escaped = data.split(b"\x1b")
    return _read(first) + "".join(map(_read_escaped, escaped))


def transliterate(text: str) -> str:
    """Spell a text in GSM, which fits more than twice as much; as it was where that cannot be."""
    if _coded(text)[0] is Alphabet.GSM:
        return text
    spelled = "".join(map(_spelled, normalize("NFKC", text)))
    return spelled if _coded(spelled)[0] is Alphabet.GSM else text


def _coded(text: str) -> tuple[Alphabet, bytes]:
    """A half of a surrogate pair becomes a question mark, of the same length."""
    try:
        return Alphabet.GSM, charmap_encode(text, "strict", _SEPTETS)[0]
    except UnicodeEncodeError:
        return Alphabet.UNICODE, text.encode("utf-16-be", errors="replace")


def _cut(data: bytes, alphabet: Alphabet) -> Iterator[bytes]:
    """Pieces that fit, whole characters only; an empty text is one empty piece."""
    if len(data) <= alphabet.alone * alphabet.unit:
        yield data
        return
    start, room = 0, alphabet.each * alphabet.unit
    while start < len(data):
        end = start + room
        if end < len(data) and _opens(data[end - alphabet.unit], alphabet):
            end -= alphabet.unit
        yield data[start:end]
        start = end


def _opens(octet: int, alphabet: Alphabet) -> bool:
    """Whether a unit that begins with this octet is the first half of a character."""
    return octet == _ESCAPE if alphabet is Alphabet.GSM else 0xD8 <= octet <= 0xDB


def _read(data: bytes) -> str:
    return charmap_decode(data, "replace", _BASIC)[0]


def _read_escaped(data: bytes) -> str:
    """A phone that does not know an escape shows the basic character (23.038, 6.2.1.1)."""
    return _ESCAPED.get(data[:1], _read(data[:1])) + _read(data[1:])


def _spelled(character: str) -> str:
    if ord(character) in _SEPTETS:
        return character
    known = _SPELLINGS.get(character.lower())
    if known is not None:
        return known.capitalize() if character.isupper() else known
    return "".join(c for c in normalize("NFD", character) if not combining(c))


_TYPOGRAPHY = {
    **dict.fromkeys("«»“”„‟″", '"'),
    **dict.fromkeys("‘’‚‛′`´ʼ", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "⁄": "/",
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f", ""),
    **dict.fromkeys("•·●", "*"),
    "\t": " ",
    "№": "No",
    "₽": "RUB",
    "©": "(c)",
    "×": "x",
    "ł": "l",
    "ø": "o",
    "đ": "d",
}
_LATIN = "a b v g d e yo zh z i y k l m n o p r s t u f kh ts ch sh shch  y  e yu ya ye i yi g u"
_CYRILLIC = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюяєіїґў",
        _LATIN.split(" "),
        strict=True,
    )
)
_SPELLINGS = _TYPOGRAPHY | _CYRILLIC
