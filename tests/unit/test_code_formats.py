"""Formats of promo codes: what they mean, and that every code comes once."""

from __future__ import annotations

from itertools import islice
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.errors import ValidationFailedError
from envoi_module_promo_codes.formats import CodeFormat, parse_format


def test_parts_are_joined_with_the_text_between() -> None:
    made = parse_format("SPRING-{string('A-C9', 2)}{string('0-9', 1)}")
    assert made.combinations == 4 * 4 * 10
    assert made.code(0) == "SPRING-AA0"
    assert made.code(159) == "SPRING-999"


@given(st.lists(st.sampled_from(["X", "AB", "0123", "abcdef"]), min_size=1, max_size=5))
def test_every_number_has_a_code_of_its_own(places: list[str]) -> None:
    made = CodeFormat(tuple(places))
    codes = [made.code(number) for number in range(made.combinations)]
    assert len(set(codes)) == made.combinations
    assert sorted(made.draw()) == sorted(codes)


def test_of_many_combinations_none_comes_twice() -> None:
    drawn = list(islice(parse_format("{string('A-Z0-9', 12)}").draw(), 2_000))
    assert len(set(drawn)) == 2_000
    assert all(len(code) == 12 for code in drawn)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{string('', 3)}",
        "{string('0-9', 0)}",
        "{string('0-9')}",
        "{strings('0-9', 3)}",
        "A B",
        "{string('0-9', 65)}",
        "{string(' -~', 3)}",
        "{{ 7 * 7 }}",
    ],
)
def test_what_is_no_format_is_refused(source: str) -> None:
    with pytest.raises(ValidationFailedError):
        parse_format(source)


def test_a_format_is_refused_before_its_ranges_are_spelled_out() -> None:
    began = process_time()
    with pytest.raises(ValidationFailedError):
        parse_format("{string('\u4e00-\u9fa5', 1)}" * 20_000)
    assert process_time() - began < 1
