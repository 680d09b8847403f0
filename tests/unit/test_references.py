"""A provider's number is found in whatever form it comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envoi.feedback.references import forms

NUMBERS = st.integers(min_value=1, max_value=2**64)
WAYS = st.sampled_from(["{:d}", "{:x}", "{:X}", "{:010d}", "{:012x}", "{:08X}"])


def kept(number: str) -> str:
    """As the database writes `Submission.reference`."""
    return number.lower().lstrip("0")


@given(number=NUMBERS, given_as=WAYS, reported_as=WAYS)
def test_hexadecimal_decimal_cases_and_zeros_are_one_number(
    number: int, given_as: str, reported_as: str
) -> None:
    assert kept(given_as.format(number)) in forms(reported_as.format(number))


@given(st.text(max_size=300))
def test_any_text_is_looked_for_as_it_is_first(reference: str) -> None:
    found = forms(reference)
    assert "" not in found
    assert found[:1] == ((kept(reference[:200]),) if kept(reference[:200]) else ())
    assert len(found) <= 3
