"""The draw and the largest remainder: vectors shared with SQL, and what must always hold."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from draws import DRAWS
from envoi.audience.control import (
    allot,
    control_needed,
    control_places,
    draw,
    permille,
    smallest_difference,
    variant_sizes,
)
from envoi.audience.strata import age_band, years_before

SIZES = st.dictionaries(st.integers(0, 999), st.integers(0, 10**7), max_size=20)
SHARES = st.integers(0, 500).map(lambda tenths: tenths / 10)


@pytest.mark.parametrize(("seed", "number", "expected"), DRAWS)
def test_draw_vectors(seed: int, number: int, expected: int) -> None:
    assert draw(seed, number) == expected


@given(SIZES, SHARES)
def test_a_control_group_is_rounded_half_up_and_proportional(
    sizes: dict[int, int], share: float
) -> None:
    places = control_places(sizes, share)
    exact = permille(share) * sum(sizes.values())
    assert sum(places.values()) == (exact + 500) // 1000
    for key, size in sizes.items():
        owed = size * permille(share)
        assert owed // 1000 <= places[key] <= -(-owed // 1000)
        assert places[key] <= size


@given(SIZES, SHARES)
def test_places_left_over_go_to_the_largest_remainders(sizes: dict[int, int], share: float) -> None:
    owed = {key: size * permille(share) for key, size in sizes.items()}
    places = allot(owed, 1000)
    more = {key for key in owed if places[key] > owed[key] // 1000}
    for lucky in more:
        for other in owed.keys() - more:
            assert (owed[lucky] % 1000, -lucky) > (owed[other] % 1000, -other)


@given(st.integers(0, 10**7), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_variants_use_up_all_recipients(recipients: int, weights: list[int]) -> None:
    shares = [100 * weight / sum(weights) for weight in weights]
    sizes = variant_sizes(recipients, shares)
    assert sum(sizes) == recipients
    for size, weight in zip(sizes, weights, strict=True):
        assert abs(size - recipients * weight / sum(weights)) <= 1 + recipients * 1e-4


def test_shares_may_have_thirds() -> None:
    assert variant_sizes(100, [33.333, 33.333, 33.334]) == [33, 33, 34]
    assert variant_sizes(13_257, [50, 50]) == [6_629, 6_628]


@given(st.dates(date(1900, 1, 1), date(2030, 12, 31)), st.dates(date(2024, 1, 1)))
def test_age_bands_begin_on_birthdays(born: date, today: date) -> None:
    if today.year > 2100:
        today = today.replace(year=2100, day=min(today.day, 28))
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    expected = 1 + sum(age >= band for band in (18, 30, 45, 60))
    assert age_band(born, today) == expected


def test_leap_day() -> None:
    assert years_before(date(2024, 2, 29), 18) == date(2006, 2, 28)
    assert age_band(date(2006, 2, 28), date(2024, 2, 29)) == 2
    assert age_band(date(2006, 2, 28) + timedelta(days=1), date(2024, 2, 29)) == 1


def test_smallest_difference_is_the_textbook_one() -> None:
    # Two groups of 1,000 at 10 %: 3.76 percentage points, at a power of 80 %.
    found = smallest_difference(1000, 1000, 0.1)
    assert found == pytest.approx(0.0376, abs=0.0001)
    assert smallest_difference(0, 10) is None
    needed = control_needed(14_255, 0.02, 0.1)
    assert needed is not None
    reached = smallest_difference(14_255 - needed, needed, 0.1)
    assert reached is not None
    assert reached <= 0.02
    assert control_needed(100, 0.01) is None
