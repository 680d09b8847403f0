"""Emails and phones: the quick answers are the libraries' answers."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import (
    PhoneNumberType,
    example_number_for_type,
    ndd_prefix_for_region,
)

from envoi.customers.contacts import (
    NO_CONTACT,
    check_email,
    check_email_by_library,
    check_phone,
    check_phone_by_library,
)
from envoi.customers.models import Quality

_LETTERS = "abzAZ09._+-@ éßK'"
_labels = st.text("abcxn019-", min_size=1, max_size=8) | st.sampled_from(
    ["test", "local", "invalid", "example", "onion", "arpa", "localhost", "x" * 63, "x" * 64]
)
_domains = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_emails = st.builds("{}@{}".format, st.text(_LETTERS, max_size=70), _domains)


@given(_emails | st.text(_LETTERS, max_size=90))
@example("K@example.com")
@example("a@b.test")
@example("a@b.TEST")
@example("a@test")
@example("a@xn--80a1acny.com")
@example("a@ab--c.com")
@example("a@b.local")
@example("a@b.com\n")
@example("x" * 64 + "@example.com")
@example("x" * 65 + "@example.com")
def test_an_email_is_judged_as_the_library_judges(text: str) -> None:
    if text:
        assert check_email(text) == check_email_by_library(text)


_codes = st.sampled_from(["7", "49", "1", "44", "39", "54", "375", "998", "800", "52", "36", "0"])
_digits = st.text("0123456789", min_size=4, max_size=13)
_shapes = st.sampled_from(
    ["+{}{}", "+{} {}", "+{}({}", "+({}) {}", "00{}{}", "{}{}", "+{}-{} ext 1"]
)
_phones = st.builds(lambda shape, code, rest: shape.format(code, rest), _shapes, _codes, _digits)


@given(
    _phones | st.text("0123456789+-(). ", max_size=20), st.sampled_from(["DE", "RU", "US", "IT"])
)
@example("+4915112345678", "RU")
@example("+79161234567", "DE")
@example("+390612345678", "DE")
@example("+5491123456789", "DE")
@example("+528111234567", "DE")
def test_a_phone_is_judged_as_the_library_judges(text: str, country: str) -> None:
    if text:
        assert check_phone(text, country) == check_phone_by_library(text, country)


@given(
    st.sampled_from(["DE", "RU", "US", "GB", "IT", "BR", "AR", "KZ", "FR", "MX"]),
    st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.VOIP]),
    st.text("0123456789", max_size=3),
    st.sampled_from(
        ["+{code}{national}", "{prefix}{national}", "{prefix} ({national}", "x{national}"]
    ),
)
def test_numbers_near_real_ones_are_judged_as_the_library_judges(
    country: str, kind: int, end: str, shape: str
) -> None:
    real = example_number_for_type(country, kind) or example_number_for_type(country, 0)
    assert real is not None
    national = str(real.national_number)
    text = shape.format(
        code=real.country_code,
        prefix=ndd_prefix_for_region(country, strip_non_digits=True) or "",
        national=national[: len(national) - len(end)] + end,
    )
    assert check_phone(text, country) == check_phone_by_library(text, country)


@pytest.mark.parametrize(
    ("text", "country", "value", "quality"),
    [
        ("+49 151 123-45-67-8", "RU", "+4915112345678", Quality.GOOD),
        ("8 (916) 123-45-67", "RU", "+79161234567", Quality.GOOD),
        ("+7 495 123-45-67", "RU", "+74951234567", Quality.LANDLINE),
        ("0151 12345678", "DE", "+4915112345678", Quality.GOOD),
        ("12", "DE", "12", Quality.FORMAT_ERROR),
        ("none", "DE", "none", Quality.FORMAT_ERROR),
        ("0151 12345678", "", "0151 12345678", Quality.FORMAT_ERROR),
    ],
)
def test_phones(text: str, country: str, value: str, quality: Quality) -> None:
    assert check_phone(text, country) == (value, quality)


@pytest.mark.parametrize(
    ("text", "value", "quality"),
    [
        ("John.Smith@Example.COM", "john.smith@example.com", Quality.GOOD),
        ("anna@почта.рф", "anna@xn--80a1acny.xn--p1ai", Quality.GOOD),
        ("robin@shop.test", "robin@shop.test", Quality.GOOD),
        ("иван@example.com", "иван@example.com", Quality.FORMAT_ERROR),
        ("a..b@example.com", "a..b@example.com", Quality.FORMAT_ERROR),
        ("John@", "john@", Quality.FORMAT_ERROR),
    ],
)
def test_emails(text: str, value: str, quality: Quality) -> None:
    assert check_email(text) == (value, quality)


def test_an_empty_contact_is_no_contact() -> None:
    assert check_email("") == check_phone("", "DE") == NO_CONTACT
