"""Characteristics by which a control group is stratified; a missing value is a value of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Integer, case, cast, literal

from envoi.customers.models import Gender
from envoi.errors import Problem, ValidationFailedError

_RADIX = 100
"""Codes of one characteristic are below this, so that a stratum is one whole number."""

AGE_BANDS = (18, 30, 45, 60)
"""Where a band begins; code 0 is not stated, 1 under 18, 5 the oldest."""


@dataclass(frozen=True)
class Characteristic:
    """A characteristic: its value as a small code, and the words for each code."""

    label: str
    code: Callable[[Any, date], ColumnElement[int]]
    values: Mapping[int, str]


def age_band(birth_date: date | None, today: date) -> int:
    """Return the band's code; the twin of the SQL expression."""
    if birth_date is None:
        return 0
    return 1 + sum(birth_date <= years_before(today, age) for age in AGE_BANDS)


def years_before(today: date, years: int) -> date:
    """Return the same day years ago; 29 February becomes the 28th."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return today.replace(year=today.year - years, day=day)


def _age_band(customer: Any, today: date) -> ColumnElement[int]:
    born = customer.birth_date
    younger = [
        (born > years_before(today, age), code) for code, age in enumerate(AGE_BANDS, start=1)
    ]
    return case((born.is_(None), 0), *younger, else_=len(AGE_BANDS) + 1)


CHARACTERISTICS: Mapping[str, Characteristic] = {
    "gender": Characteristic(
        "Gender",
        lambda customer, _: cast(customer.gender, Integer),
        {Gender.NOT_STATED: "Not stated", Gender.FEMALE: "Female", Gender.MALE: "Male"},
    ),
    "age_band": Characteristic(
        "Age",
        _age_band,
        {
            0: "Not stated",
            1: "Under 18",
            2: "18–29",
            3: "30–44",
            4: "45–59",
            5: "60 and over",
        },
    ),
}


def check_strata(names: Sequence[str]) -> None:
    """Refuse names that are no characteristic."""
    unknown = [name for name in names if name not in CHARACTERISTICS]
    if unknown:
        known = ", ".join(CHARACTERISTICS)
        raise ValidationFailedError(
            [
                Problem("strata", f"{name!r} is no stratification parameter; use {known}.")
                for name in unknown
            ]
        )


def stratum(names: Sequence[str], customer: Any, today: date) -> ColumnElement[int]:
    """Return the customer's stratum as one number; 0 without characteristics."""
    check_strata(names)
    number: ColumnElement[int] = literal(0, Integer)
    for name in names:
        number = number * _RADIX + CHARACTERISTICS[name].code(customer, today)
    return number


def values_of(names: Sequence[str], number: int) -> tuple[int, ...]:
    """Take a stratum's number apart into the code of each characteristic."""
    codes: list[int] = []
    for _ in names:
        number, code = divmod(number, _RADIX)
        codes.append(code)
    return tuple(reversed(codes))
