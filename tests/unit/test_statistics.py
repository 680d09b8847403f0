"""Comparisons against textbook values and against each other."""

from __future__ import annotations

from math import isclose, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.mailings.statistics import (
    Mean,
    compare_means,
    compare_shares,
    ratio_of_sums,
    student_p,
    student_quantile,
)


def test_the_worked_example() -> None:
    found = compare_shares(3_268, 13_257, 214, 998)
    assert f"{found.value * 100:+.2f}" == "+3.21"
    assert f"{found.low * 100:+.2f} {found.high * 100:+.2f}" == "+0.56 +5.86"
    assert f"{found.p:.3f}" == "0.023"
    assert found.is_significant


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.30265), (5, 2.57058), (29, 2.04523), (100, 1.98397), (1e6, 1.95997)],
)
def test_student(freedom: float, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=1e-4)
    assert student_p(quantile, freedom) == pytest.approx(0.05, abs=1e-5)
    assert student_p(-quantile, freedom) == student_p(quantile, freedom)


def test_welch_against_a_published_example() -> None:
    """Two samples of R's documentation, `t.test(extra ~ group, data = sleep)`."""
    first = Mean(count=10, mean=0.75, variance=3.200556)
    second = Mean(count=10, mean=2.33, variance=4.009)
    found = compare_means(first, second)
    assert found.p == pytest.approx(0.07939, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((-3.3654832, 0.2054832), abs=1e-5)
    assert not found.is_significant


shares = st.integers(30, 5_000).flatmap(
    lambda count: st.tuples(st.integers(0, count), st.just(count))
)


@given(shares, shares)
def test_the_order_of_shares_only_changes_the_sign(
    one: tuple[int, int], two: tuple[int, int]
) -> None:
    there, back = compare_shares(*one, *two), compare_shares(*two, *one)
    assert isclose(there.value, -back.value, abs_tol=1e-12)
    assert isclose(there.low, -back.high, abs_tol=1e-12)
    assert isclose(there.p, back.p, abs_tol=1e-12)
    assert 0 <= there.p <= 1
    assert there.low <= there.value <= there.high


@given(st.floats(-6, 6), st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_with_many_values_welch_is_the_normal_test(
    errors: float, variance_1: float, variance_2: float
) -> None:
    count = 2_000_000
    error = sqrt((variance_1 + variance_2) / count)
    first = Mean(count=count, mean=errors * error, variance=variance_1)
    second = Mean(count=count, mean=0.0, variance=variance_2)
    found = compare_means(first, second)
    assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-4)
    normal = 2 * (1 - NormalDist().cdf(abs(errors)))
    assert found.p == pytest.approx(normal, abs=1e-5)


def test_equal_values_without_spread() -> None:
    same = Mean(count=50, mean=3.0, variance=0.0)
    other = Mean(count=50, mean=4.0, variance=0.0)
    assert compare_means(same, same).p == 1
    assert compare_means(same, other).p == 0
    assert compare_shares(0, 50, 0, 60).p == 1


def test_one_receipt_each_makes_the_average_receipt_a_plain_mean() -> None:
    found = ratio_of_sums(100, (2_500.0, 100.0), (16.0, 0.0), 0.0)
    assert found == Mean(count=100, mean=25.0, variance=16.0)
