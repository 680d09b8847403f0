"""The draw: who is in the control group, and which variant the others get.

Places are allotted over parts (strata, variants) by largest remainder; inside a part the
smallest draws win. SQL does it for audiences, the functions in Python are its twins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import md5
from math import ceil, sqrt

from sqlalchemy import CTE, BigInteger, Integer, cast, func, select

PERMILLE = 1000
"""A control share has one decimal of a per cent, so thousandths are exact."""

_HALF_UP = 2
_SHARE_UNITS = 1000
_Z_POWER = 0.8416212335729143
_Z_SIGNIFICANCE = 1.959963984540054


def draw(seed: int, number: int) -> int:
    """Return a customer's draw: the first 8 bytes of md5 as a signed number, as `envoi_draw`."""
    digest = md5(f"{seed}:{number}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], signed=True)


def permille(share: float) -> int:
    """Return a share in per cent as whole thousandths."""
    return round(share * 10)


def share_units(shares: Sequence[float]) -> list[int]:
    """Return the variants' shares as whole units of which only the proportion counts."""
    return [round(share * _SHARE_UNITS) for share in shares]


def allot(weights: Mapping[int, int], denominator: int) -> dict[int, int]:
    """Allot whole places to parts that are owed `weight / denominator` each.

    The sum is rounded half up; places left over go to the largest remainders, then to the
    smaller key.
    """
    places = {key: weight // denominator for key, weight in weights.items()}
    total = (_HALF_UP * sum(weights.values()) + denominator) // (_HALF_UP * denominator)
    by_remainder = sorted(weights, key=lambda key: (-(weights[key] % denominator), key))
    for key in by_remainder[: total - sum(places.values())]:
        places[key] += 1
    return places


def control_places(strata: Mapping[int, int], share: float) -> dict[int, int]:
    """Return the size of the control group in every stratum of so many eligible customers."""
    thousandths = permille(share)
    return allot({key: size * thousandths for key, size in strata.items()}, PERMILLE)


def variant_sizes(recipients: int, shares: Sequence[float]) -> list[int]:
    """Cut the recipients by the variants' shares."""
    units = share_units(shares)
    owed = {number: recipients * unit for number, unit in enumerate(units)}
    return list(allot(owed, sum(units)).values())


def places(name: str, parts: CTE, denominator: int) -> CTE:
    """Allot in SQL: from `key, weight` to `key, places`; the twin of `allot`."""
    weight, key = cast(parts.c.weight, BigInteger), parts.c.key
    whole, rest = weight // denominator, weight % denominator
    owed = _HALF_UP * cast(func.sum(weight).over(), BigInteger)
    total = (owed + denominator) // (_HALF_UP * denominator)
    left = total - cast(func.sum(whole).over(), BigInteger)
    more = func.row_number().over(order_by=(rest.desc(), key)) <= left
    return select(key.label("key"), (whole + cast(more, Integer)).label("places")).cte(name)


def smallest_difference(main: int, control: int, base_rate: float = 0.1) -> float | None:
    """Return the smallest difference of two conversions that 80 % of comparisons would show.

    A two-sided test of two proportions at 5 %; None where a group is empty.
    """
    if main < 1 or control < 1:
        return None
    spread = base_rate * (1 - base_rate)
    return (_Z_SIGNIFICANCE + _Z_POWER) * sqrt(spread / main + spread / control)


def control_needed(total: int, difference: float, base_rate: float = 0.1) -> int | None:
    """Return the smallest control group of so many eligible that would show the difference."""
    spread = base_rate * (1 - base_rate)
    # Both groups are cut from one total: 1/c + 1/(total - c) may be at most this.
    most = (difference / (_Z_SIGNIFICANCE + _Z_POWER)) ** 2 / spread
    inside = total * total - 4 * total / most
    if inside < 0:
        return None
    return ceil((total - sqrt(inside)) / 2)


__all__ = [
    "allot",
    "control_needed",
    "control_places",
    "draw",
    "permille",
    "places",
    "share_units",
    "smallest_difference",
    "variant_sizes",
]
