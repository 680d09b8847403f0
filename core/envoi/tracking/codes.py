"""The short form of a click's token, for messages in which every character is paid for.

Twenty letters and digits: the message and the link in 79 bits, and a signature of 40. Nothing is
looked up to make one. What does not fit gets the long token.
"""

from __future__ import annotations

import re
from itertools import product
from typing import NamedTuple

LENGTH = 20
MAC_BYTES = 5

_PACKED_BYTES = 10
_WIDTHS = (14, 24, 29, 3, 4, 5)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = ["".join(pair) for pair in product(_DIGITS, repeat=2)]
_VALUES = {pair: value for value, pair in enumerate(_PAIRS)}
_CODE = re.compile(f"[{_DIGITS}]{{{LENGTH}}}")


class ShortClick(NamedTuple):
    """What a code says; the day of the launch is the run's."""

    tenant_id: int
    run_id: int
    customer_id: int
    step: int
    variant: int
    link: int


def packed(click: ShortClick) -> bytes | None:
    """The numbers in a row; None where one is too large for its place."""
    whole = 0
    for number, width in zip(click, _WIDTHS, strict=True):
        if number >> width:
            return None
        whole = whole << width | number
    return whole.to_bytes(_PACKED_BYTES)


def unpacked(raw: bytes) -> ShortClick:
    """The numbers of a row."""
    whole, numbers = int.from_bytes(raw), []
    for width in reversed(_WIDTHS):
        numbers.append(whole & (1 << width) - 1)
        whole >>= width
    return ShortClick(*reversed(numbers))


def spelled(raw: bytes) -> str:
    """Packed numbers and their signature as a code."""
    whole, pairs = int.from_bytes(raw), []
    for _ in range(LENGTH // 2):
        whole, value = divmod(whole, len(_PAIRS))
        pairs.append(_PAIRS[value])
    return "".join(reversed(pairs))


def read(code: str) -> tuple[bytes, bytes] | None:
    """Packed numbers and their signature; None for what no code can be."""
    if not _CODE.fullmatch(code):
        return None
    whole = 0
    for place in range(0, LENGTH, 2):
        whole = whole * len(_PAIRS) + _VALUES[code[place : place + 2]]
    if whole.bit_length() > sum(_WIDTHS) + 8 * MAC_BYTES:
        return None
    raw = whole.to_bytes(_PACKED_BYTES + MAC_BYTES)
    return raw[:_PACKED_BYTES], raw[_PACKED_BYTES:]
