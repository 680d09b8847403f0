"""What charts of several areas share."""

from __future__ import annotations

from math import ceil, floor, log10


def ticks(top: float) -> list[int]:
    """Four values at most, at steps of 1, 2 or 5 times a power of ten."""
    if top <= 0:
        return [0, 1]
    rough = top / 3
    power = 10 ** floor(log10(rough))
    step = max(1, next(int(power * m) for m in (1, 2, 5, 10) if power * m >= rough))
    return list(range(0, step * ceil(top / step) + 1, step))
