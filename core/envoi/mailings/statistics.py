"""Comparing two groups: pure functions, so that each can be checked against a textbook.

Intervals are at 95 %. Shares: two-proportion z-test with the pooled share, the interval with
each group's own. Means: Welch. Ratios (the average receipt): the delta method over customers,
because receipts of one customer are not independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
SMALLEST_GROUP = 30
"""Below this a group gets no rates: they would only look like knowledge."""

_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference with its interval and the probability that chance alone gives as much."""

    value: float
    low: float
    high: float
    p: float

    @property
    def is_significant(self) -> bool:
        """Whether chance alone is unlikely at 95 %."""
        return self.p < 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of a group's values with their sample variance."""

    count: int
    mean: float
    variance: float


def compare_shares(
    hits_1: int, count_1: int, hits_2: int, count_2: int, *, comparisons: int = 1
) -> Difference:
    """Compare two shares; the difference is the first minus the second.

    With `comparisons` the pair is one of so many: interval and probability are those of
    Bonferroni, so that all of them together are wrong in 5 % of cases at most.
    """
    z = _NORMAL.inv_cdf(1 - (1 - CONFIDENCE) / 2 / comparisons)
    share_1, share_2 = hits_1 / count_1, hits_2 / count_2
    value = share_1 - share_2
    own = sqrt(share_1 * (1 - share_1) / count_1 + share_2 * (1 - share_2) / count_2)
    pooled = (hits_1 + hits_2) / (count_1 + count_2)
    error = sqrt(pooled * (1 - pooled) * (1 / count_1 + 1 / count_2))
    p = 2 * (1 - _NORMAL.cdf(abs(value) / error)) if error else 1.0
    p = min(1.0, p * comparisons)
    return Difference(value=value, low=value - z * own, high=value + z * own, p=p)


def compare_means(first: Mean, second: Mean) -> Difference:
    """Compare two means by Welch's test."""
    value = first.mean - second.mean
    parts = (first.variance / first.count, second.variance / second.count)
    error = sqrt(sum(parts))
    if not error:
        return Difference(value=value, low=value, high=value, p=1.0 if value == 0 else 0.0)
    freedom = sum(parts) ** 2 / (
        parts[0] ** 2 / (first.count - 1) + parts[1] ** 2 / (second.count - 1)
    )
    margin = student_quantile(freedom) * error
    p = student_p(value / error, freedom)
    return Difference(value=value, low=value - margin, high=value + margin, p=p)


def ratio_of_sums(
    count: int, sums: tuple[float, float], variances: tuple[float, float], covariance: float
) -> Mean:
    """The ratio of two sums over `count` customers, e.g. revenue to receipts.

    Args:
        count: The customers.
        sums: Of the numerator and of the denominator.
        variances: Per customer, of both.
        covariance: Per customer, of one with the other.
    """
    ratio = sums[0] / sums[1]
    spread = max(0.0, variances[0] + ratio**2 * variances[1] - 2 * ratio * covariance)
    mean_denominator = sums[1] / count
    return Mean(count=count, mean=ratio, variance=spread / mean_denominator**2)


def student_p(t: float, freedom: float) -> float:
    """The two-sided probability of Student's distribution beyond `t`."""
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def student_quantile(freedom: float) -> float:
    """The value that Student's distribution exceeds, on both sides together, in 5 % of cases."""
    low, high = 0.0, 1_000.0
    while high - low > 1e-9 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if student_p(middle, freedom) > 0.05 else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by the continued fraction of Lentz."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    tiny = 1e-300
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(400):
        m = step // 2
        if step == 0:
            numerator = 1.0
        elif step % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + numerator * d or tiny)
        c = 1 + numerator / c or tiny
        fraction *= c * d
        if abs(1 - c * d) < 1e-12:
            break
    return front * (fraction - 1)
