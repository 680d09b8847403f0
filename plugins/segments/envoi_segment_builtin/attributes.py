"""Conditions on what is known of a customer: attributes, and the quality of contacts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from zoneinfo import available_timezones

from envoi.errors import Problem, ValidationFailedError
from envoi.sql import Membership, SourceColumns, SqlCondition, and_, not_, null, select, true
from envoi.types import Catalogue, Choice, Criterion, InputKind, SegmentSourceSpec
from envoi_segment_builtin.comparisons import (
    EMPTINESS,
    Comparison,
    any_of,
    choices,
    date_holds,
    dates,
    numbers,
    text_holds,
    texts,
)

_GENDERS = {"not_stated": 0, "female": 1, "male": 2}
_QUALITIES = {"good": 0, "no_address": 30, "format_error": 31, "landline": 40}

_GOOD = Choice(value="good", label="usable")
_NONE = Choice(value="no_address", label="not given")
_WRONG = Choice(value="format_error", label="wrongly written")
_LANDLINE = Choice(value="landline", label="landline")

_ATTRIBUTES = (
    Criterion(
        name="gender",
        label="Gender",
        operators=choices(
            Choice(value="female", label="female"),
            Choice(value="male", label="male"),
            Choice(value="not_stated", label="not stated"),
        ),
    ),
    Criterion(name="age", label="Age", operators=(*numbers("years", InputKind.WHOLE), *EMPTINESS)),
    Criterion(name="birth_date", label="Date of birth", operators=dates()),
    Criterion(name="registered_on", label="Registered", operators=dates()),
    Criterion(name="city", label="City", operators=texts()),
    Criterion(name="first_name", label="First name", operators=texts()),
    Criterion(name="middle_name", label="Middle name", operators=texts()),
    Criterion(name="last_name", label="Last name", operators=texts()),
    Criterion(name="email", label="Email", operators=texts()),
    Criterion(
        name="email_quality", label="Quality of the email", operators=any_of(_GOOD, _NONE, _WRONG)
    ),
    Criterion(name="phone", label="Phone", operators=texts()),
    Criterion(
        name="phone_quality",
        label="Quality of the phone number",
        operators=any_of(_GOOD, _NONE, _WRONG, _LANDLINE),
    ),
    Criterion(name="time_zone", label="Time zone", operators=(*texts(exact=True)[:2], *EMPTINESS)),
    Criterion(name="external_id", label="Customer number", operators=texts(exact=True)),
)


def _offered(_catalogue: Catalogue) -> Sequence[Criterion]:
    return _ATTRIBUTES


def _attribute(asked: Comparison, columns: SourceColumns) -> Membership:
    holds = _READERS.get(asked.criterion, _text)(asked, columns)
    return holds.is_not(true()) if asked.negated else holds


def _text(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    return text_holds(columns.customers.c[asked.criterion], asked)


def _date(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    return date_holds(columns.customers.c[asked.criterion], asked, columns.today)


def _external_id(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    return text_holds(columns.customers.c.external_id, asked, exact=True)


def _gender(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    wanted = asked.values or (str(asked.value),)
    holds: SqlCondition = columns.customers.c.gender.in_([_GENDERS[value] for value in wanted])
    return holds


def _quality(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    found = columns.customers.c[asked.criterion]
    holds: SqlCondition = found.in_([_QUALITIES[value] for value in asked.values])
    return holds


def _zone(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    known, zone = columns.customers.c.zone_id, columns.zones.c
    if asked.asserted == "not_empty":
        return known.is_not(null())
    if asked.value not in available_timezones():
        raise ValidationFailedError(
            [Problem("settings.value", "Enter a time zone, such as Europe/Berlin.")]
        )
    holds: SqlCondition = known == select(zone.id).where(zone.name == asked.value).scalar_subquery()
    return holds


def _age(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    """Compare dates of birth instead of ages: one comparison a row, and no clock in SQL."""
    born, today = columns.customers.c.birth_date, columns.today
    years, upper = int(asked.value or 0), int(asked.upper or 0)
    at_least, more_than = (
        born <= _years_before(today, years),
        born <= _years_before(today, years + 1),
    )
    match asked.asserted:
        case "ge":
            return at_least
        case "gt":
            return more_than
        case "lt":
            return not_(at_least)
        case "le":
            return not_(more_than)
        case "eq":
            return and_(at_least, not_(more_than))
        case "between":
            return and_(at_least, born > _years_before(today, upper + 1))
    return born.is_not(null())


def _years_before(today: date, years: int) -> date:
    """The latest date of birth of who is that old; 29 February comes of age on 1 March."""
    year = max(today.year - years, 1)
    try:
        return today.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


_READERS: dict[str, Callable[[Comparison, SourceColumns], SqlCondition]] = {
    "gender": _gender,
    "age": _age,
    "birth_date": _date,
    "registered_on": _date,
    "email_quality": _quality,
    "phone_quality": _quality,
    "time_zone": _zone,
    "external_id": _external_id,
}

ATTRIBUTES = SegmentSourceSpec(
    name="attribute",
    label="Attribute",
    settings=Comparison,
    select=_attribute,
    criteria=_offered,
    order=10,
)
