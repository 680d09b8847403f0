"""Checks of emails and phone numbers: one normal form, and a code that says why one is unusable.

The libraries decide what is right. For the ordinary shapes, which are nearly all of a file,
their answer follows from a pattern and is given without asking them: an import checks tens
of thousands of contacts a second. A property test holds both answers against each other.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberDesc,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    number_type,
    parse,
)

from envoi.customers.models import Quality

_MIDDLE_DIGITS = re.compile(r"(?<=^\+\d{2})\d+(?=\d{2}$)")

LONGEST_CONTACT = 254
"""What is kept of a contact that cannot be used; no usable one is longer."""


class Contact(NamedTuple):
    """A contact in its normal form, with its quality; without one the value is None."""

    value: str | None
    quality: Quality


NO_CONTACT = Contact(None, Quality.NO_ADDRESS)

_RESERVED = "|".join(name for name in SPECIAL_USE_DOMAIN_NAMES if name != "test")
_ORDINARY_EMAIL = re.compile(
    r"(?=[^@]{1,64}@.{1,180}\Z)"
    r"[a-z0-9_+\-]+(?:\.[a-z0-9_+\-]+)*"
    r"@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    rf"(?!(?:{_RESERVED})\Z)[a-z]{{2,63}}\Z"
)
_LONG_LABEL = re.compile(r"@.*[^.]{64}")


def check_email(text: str) -> Contact:
    """Return an email in lower case with its quality; the domain's existence is not asked for.

    Names reserved for tests (`.test`) are accepted, non-ASCII domains become ASCII.
    """
    if not text:
        return NO_CONTACT
    if text.isascii():
        lowered = text.lower()
        if _ORDINARY_EMAIL.match(lowered) and not _LONG_LABEL.search(lowered):
            return Contact(lowered, Quality.GOOD)
    return check_email_by_library(text)


def check_email_by_library(text: str) -> Contact:
    """Like `check_email`, for addresses of any shape."""
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            test_environment=text.lower().endswith(".test"),
        )
    except EmailNotValidError:
        return Contact(text.lower()[:LONGEST_CONTACT], Quality.FORMAT_ERROR)
    return Contact((found.ascii_email or found.normalized).lower(), Quality.GOOD)


_PUNCTUATION = str.maketrans("", "", " -.()")
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{7,14}\Z")


def check_phone(text: str, country: str) -> Contact:
    """Return a phone in E.164 with its quality; `country` is the one of numbers without a code.

    A landline is a valid number that takes no SMS: it has a quality of its own.
    """
    if not text:
        return NO_CONTACT
    return (
        _check_international(text)
        or _check_dialled_mobile(text, country)
        or check_phone_by_library(text, country)
    )


def check_phone_by_library(text: str, country: str) -> Contact:
    """Like `check_phone`, for numbers of any shape."""
    try:
        number = parse(text, country)
    except NumberParseException:
        return Contact(text[:LONGEST_CONTACT], Quality.FORMAT_ERROR)
    return _judge(number, format_number(number, PhoneNumberFormat.E164), text)


def _check_international(text: str) -> Contact | None:
    """Take apart what is written as +49..., unless the library would change its digits."""
    compact = text.translate(_PUNCTUATION)
    if not text.startswith("+") or not _INTERNATIONAL.match(compact):
        return None
    for end in (2, 3, 4):
        if compact[1:end] in _COUNTRY_CODES:
            return _check_national(compact, compact[1:end], compact[end:], text)
    return None


def _check_national(compact: str, code: str, national: str, text: str) -> Contact | None:
    changed = _changed_by_library(code)
    if changed is None or national[0] == "0" or changed.match(national):
        return None
    if _is_mobile(code, national):
        return Contact(compact, Quality.GOOD)
    number = PhoneNumber(country_code=int(code), national_number=int(national))
    return _judge(number, compact, text)


def _check_dialled_mobile(text: str, country: str) -> Contact | None:
    """Recognise a mobile number as it is dialled inside its country, such as 0151 12345678."""
    code, prefix = _dialled_in(country)
    compact = text.translate(_PUNCTUATION)
    if prefix and compact.startswith(prefix) and _is_mobile(code, compact[len(prefix) :]):
        return Contact(f"+{code}{compact[len(prefix) :]}", Quality.GOOD)
    return None


def _is_mobile(code: str, national: str) -> bool:
    """Whether the library says so too; what it does not take for mobile alone may be one still."""
    return all(
        (not lengths or len(national) in lengths) and pattern.fullmatch(national)
        for lengths, pattern in _mobiles_of(code)
    )


def _judge(number: PhoneNumber, normal: str, text: str) -> Contact:
    kind = number_type(number)
    if kind == PhoneNumberType.UNKNOWN:
        return Contact(text[:LONGEST_CONTACT], Quality.FORMAT_ERROR)
    landline = kind == PhoneNumberType.FIXED_LINE
    return Contact(normal, Quality.LANDLINE if landline else Quality.GOOD)


_COUNTRY_CODES = frozenset(str(code) for code in COUNTRY_CODE_TO_REGION_CODE)
_NEVER = re.compile(r"(?!)")


@cache
def _mobiles_of(code: str) -> list[tuple[tuple[int, ...], re.Pattern[str]]]:
    """The lengths and forms that mobile numbers of a code's main country have, all of which hold.

    Where the library looks at more than that to tell countries apart nothing has the form.
    """
    metadata = _main_country(code)
    if metadata is None or metadata.leading_digits is not None:
        return [((), _NEVER)]
    return [_form_of(each) for each in (metadata.general_desc, metadata.mobile)]


def _form_of(numbers: PhoneNumberDesc | None) -> tuple[tuple[int, ...], re.Pattern[str]]:
    if numbers is None or not numbers.national_number_pattern:
        return (), _NEVER
    return tuple(numbers.possible_length), re.compile(numbers.national_number_pattern)


@cache
def _dialled_in(country: str) -> tuple[str, str]:
    """The code of a country and what is dialled before its numbers, where that is all of it."""
    metadata = PhoneMetadata.metadata_for_region(country, None)
    if metadata is None or metadata is not _main_country(str(metadata.country_code)):
        return "", ""
    simple = metadata.national_prefix_for_parsing == metadata.national_prefix
    return str(metadata.country_code), (metadata.national_prefix or "") if simple else ""


def _main_country(code: str) -> PhoneMetadata | None:
    return PhoneMetadata.metadata_for_region(COUNTRY_CODE_TO_REGION_CODE[int(code)][0], None)


@cache
def _changed_by_library(code: str) -> re.Pattern[str] | None:
    """The start of national numbers that the library rewrites; None where it always decides."""
    metadata = _main_country(code)
    if metadata is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return re.compile(prefix) if prefix else _NEVER


def masked(value: str | None) -> str:
    """Return a contact of which only the ends are left, for who may not see contacts."""
    if not value:
        return ""
    if "@" in value:
        local, _at, domain = value.rpartition("@")
        return f"{local[:1]}•••@{domain}"
    return _MIDDLE_DIGITS.sub("•••", value) if value.startswith("+") else "•••"
