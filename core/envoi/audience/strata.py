"""Characteristics by which a control group is stratified; a missing value is a value of its own.

A characteristic is stored as text, so that a mailing freezes it whole: `gender`, `age:18,30`,
`registered:month`, `city:Berlin|Hamburg`, `zone:Europe/Berlin`, `field:shoes:38,42` (bands of
numbers or of dates), `field:size=S|M` (values), `field:member` (yes or no). Values and bounds
are the ones named; what is none of them is one value more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from envoi.customers.models import CustomerValue, CustomField, Gender
from envoi.db import table
from envoi.errors import Problem, ValidationFailedError
from envoi.tenants.models import TimeZone

MOST_STRATA = 200
MOST_CHARACTERISTICS = 5
MOST_VALUES = 60

_RADIX = 100
"""Codes of one characteristic are below this, so that a stratum is one whole number."""
_MISSING = 0

AGE_BANDS = (18, 30, 45, 60)
"""Where a band begins; code 0 is not stated, 1 under 18, 5 the oldest."""

PERIODS = {"month": (1, 24), "quarter": (3, 12), "year": (12, 10)}
"""How many months a band of registrations has, and how many bands there are."""

_NAMES = re.compile(
    r"(gender|age_band|(?P<age>age):|(?P<registered>registered):|(?P<city>city):|(?P<zone>zone):"
    r"|field:(?P<code>[^:=]+)(?P<kind>[:=]|$))(?P<given>.*)\Z",
    re.DOTALL,
)

Bound = float | date


@dataclass(frozen=True)
class Value:
    """What a code stands for: missing, a value, a band from `low` up to `high`, or the others."""

    kind: str
    text: str = ""
    low: Bound | None = None
    high: Bound | None = None


@dataclass(frozen=True)
class Characteristic:
    """A characteristic: `kind` says where its values come from, `bounds` or `values` are given."""

    name: str
    kind: str
    code_name: str = ""
    bounds: tuple[Bound, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def ages(self) -> list[int]:
        """The years at which bands of ages begin."""
        return [int(bound) for bound in self.bounds if isinstance(bound, float)]

    def values_of(self, tenant_id: int) -> Subquery | None:
        """Return the customers' values of the custom attribute, where this is one."""
        if self.kind != "field":
            return None
        field, value = table(CustomField).c, table(CustomerValue).c
        same = and_(value.tenant_id == field.tenant_id, value.field_id == field.id)
        query = select(
            value.customer_id, value.text_value, value.number_value, value.date_value
        ).join_from(table(CustomField), table(CustomerValue), same)
        named = (field.tenant_id == tenant_id, field.code == self.code_name)
        return query.where(*named).subquery()

    def code(self, customer: Any, values: Subquery | None, today: date) -> ColumnElement[int]:
        """Return a customer's code as an expression over their row and their value."""
        match self.kind:
            case "gender":
                return cast(customer.gender, Integer)
            case "age":
                born = customer.birth_date
                ages = [years_before(today, age) for age in self.ages]
                younger = [(born > day, number) for number, day in enumerate(ages, start=1)]
                return case((born.is_(None), _MISSING), *younger, else_=len(ages) + 1)
            case "registered":
                return _band(customer.registered_on, _periods(self.values[0], today))
            case "city":
                return _among(func.nullif(customer.city, ""), self.values)
            case "zone":
                return _among(customer.zone_id, [_zone(name) for name in self.values])
        assert values is not None
        return self._code_of_field(values.c)

    def _code_of_field(self, value: Any) -> ColumnElement[int]:
        if self.values:
            return _among(value.text_value, self.values)
        if not self.bounds:
            return case(
                (value.number_value.is_(None), _MISSING), (value.number_value == 0, 2), else_=1
            )
        dated = isinstance(self.bounds[0], date)
        return _band(value.date_value if dated else value.number_value, self.bounds)

    def value(self, code: int, today: date) -> Value:
        """Say what a code stands for; `today` is the day on which it was given."""
        if self.kind == "gender":
            return Value("gender", Gender(code).name.lower())
        if code == _MISSING:
            return Value("missing")
        if self.kind == "field" and not self.values and not self.bounds:
            return Value("yes" if code == 1 else "no")
        if self.kind != "registered" and self.values:
            given = self.values
            return Value("value", given[code - 1]) if code <= len(given) else Value("others")
        bounds = _periods(self.values[0], today) if self.values else self.bounds
        return Value(
            "band",
            low=bounds[code - 2] if code > 1 else None,
            high=bounds[code - 1] if code <= len(bounds) else None,
        )


def read_strata(names: Sequence[str]) -> list[Characteristic]:
    """Read stored characteristics; raise `ValidationFailedError` for what is none."""
    problems, read = [], []
    for name in names:
        try:
            read.append(_read(name))
        except (ValueError, TypeError):
            problems.append(Problem("strata", f"{name!r} is no stratification parameter."))
    if len(names) > MOST_CHARACTERISTICS:
        problems.append(
            Problem("strata", f"Choose at most {MOST_CHARACTERISTICS} characteristics.")
        )
    if problems:
        raise ValidationFailedError(problems)
    return read


def write_values(kind: str, values: Sequence[str]) -> str:
    """Write a characteristic of named values, e.g. of kind `city` or `field:size`."""
    given = "|".join(quote(value, safe=" /") for value in values)
    return f"{kind}{'=' if kind.startswith('field:') else ':'}{given}"


def stratum(codes: Sequence[ColumnElement[int]]) -> ColumnElement[int]:
    """Return a stratum as one number made of the codes; 0 without characteristics."""
    number: ColumnElement[int] = literal(0, BigInteger)
    for code in codes:
        number = number * _RADIX + code
    return number


def values_of(names: Sequence[str], number: int) -> tuple[int, ...]:
    """Take a stratum's number apart into the code of each characteristic."""
    codes: list[int] = []
    for _ in names:
        number, code = divmod(number, _RADIX)
        codes.append(code)
    return tuple(reversed(codes))


def age_band(birth_date: date | None, today: date) -> int:
    """Return the code of the usual bands; the twin of the SQL expression."""
    if birth_date is None:
        return _MISSING
    return 1 + sum(birth_date <= years_before(today, age) for age in AGE_BANDS)


def years_before(today: date, years: int) -> date:
    """Return the same day years ago; 29 February becomes the 28th."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return today.replace(year=today.year - years, day=day)


def _read(name: str) -> Characteristic:
    found = _NAMES.match(name)
    if found is None:
        raise ValueError(name)
    given = found["given"]
    if found["age"]:
        return Characteristic(name, "age", bounds=tuple(float(age) for age in _ages(given)))
    if found["registered"] and given in PERIODS:
        return Characteristic(name, "registered", values=(given,))
    for kind in ("city", "zone"):
        if found[kind]:
            return Characteristic(name, kind, values=_values(given))
    if found["code"]:
        return _read_field(name, found["code"], found["kind"], given)
    if given or found["registered"]:
        raise ValueError(name)
    if name == "age_band":
        return Characteristic(name, "age", bounds=tuple(map(float, AGE_BANDS)))
    return Characteristic(name, "gender")


def _read_field(name: str, code: str, kind: str, given: str) -> Characteristic:
    if kind == "=":
        return Characteristic(name, "field", code, values=_values(given))
    return Characteristic(name, "field", code, bounds=_bounds(given) if kind else ())


def _values(given: str) -> tuple[str, ...]:
    values = tuple(unquote(value) for value in given.split("|"))
    if not 0 < len(values) <= MOST_VALUES or not all(values) or len(set(values)) < len(values):
        raise ValueError(given)
    return values


def _ages(given: str) -> list[int]:
    ages = [int(part) for part in given.split(",")]
    if not 0 < len(ages) <= MOST_VALUES or sorted(set(ages)) != ages:
        raise ValueError(given)
    if ages[0] < 1 or ages[-1] > 120:
        raise ValueError(given)
    return ages


def _bounds(given: str) -> tuple[Bound, ...]:
    """Read rising bounds, all numbers or all days."""
    bounds: list[Any] = [_bound(part.strip()) for part in given.split(",")]
    if len(bounds) > MOST_VALUES or sorted(set(bounds)) != bounds:
        raise ValueError(given)
    return tuple(bounds)


def _bound(text: str) -> Bound:
    if text.count("-") == 2:
        return date.fromisoformat(text)
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _periods(name: str, today: date) -> tuple[date, ...]:
    """Return where the bands of registrations begin, the oldest first; before is one band more."""
    months, count = PERIODS[name]
    last = today.year * 12 + today.month - 1
    last -= last % months
    begins = (last - months * back for back in reversed(range(count)))
    return tuple(date(month // 12, month % 12 + 1, 1) for month in begins)


def _band(value: ColumnElement[Any], bounds: Sequence[Bound]) -> ColumnElement[int]:
    below = [(value < literal(bound), number) for number, bound in enumerate(bounds, start=1)]
    return case((value.is_(None), _MISSING), *below, else_=len(bounds) + 1)


def _among(value: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[int]:
    same = [(value == given, number) for number, given in enumerate(values, start=1)]
    return case((value.is_(None), _MISSING), *same, else_=len(values) + 1)


def _zone(name: str) -> Any:
    zone = table(TimeZone).c
    return select(zone.id).where(zone.name == name).scalar_subquery()
