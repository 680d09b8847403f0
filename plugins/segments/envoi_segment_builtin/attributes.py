"""Conditions on a customer's attributes and on the tenant's custom fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from zoneinfo import available_timezones

from envoi.errors import Problem, ValidationFailedError
from envoi.sql import Membership, Outside, SourceColumns, SqlCondition, and_, not_, select, true
from envoi.types import (
    Catalogue,
    Choice,
    Criterion,
    CustomFieldInfo,
    InputKind,
    Operator,
    SegmentSourceSpec,
)
from envoi_segment_builtin.comparisons import (
    EMPTINESS,
    Comparison,
    choices,
    date_holds,
    dates,
    number_holds,
    numbers,
    text_holds,
    texts,
)

_GENDERS = {"not_stated": 0, "female": 1, "male": 2}

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
    Criterion(name="age", label="Age", operators=numbers("years", InputKind.WHOLE)),
    Criterion(name="birth_date", label="Date of birth", operators=dates()),
    Criterion(name="registered_on", label="Registered", operators=dates()),
    Criterion(name="city", label="City", operators=texts()),
    Criterion(name="first_name", label="First name", operators=texts()),
    Criterion(name="last_name", label="Last name", operators=texts()),
    Criterion(name="email", label="Email", operators=texts()),
    Criterion(name="phone", label="Phone", operators=texts()),
    Criterion(name="time_zone", label="Time zone", operators=texts(exact=True)[:2]),
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
    holds: SqlCondition = columns.customers.c.gender == _GENDERS[str(asked.value)]
    return holds


def _zone(asked: Comparison, columns: SourceColumns) -> SqlCondition:
    if asked.value not in available_timezones():
        raise ValidationFailedError(
            [Problem("settings.value", "Enter a time zone, such as Europe/Berlin.")]
        )
    zone = columns.zones.c
    number = select(zone.id).where(zone.name == asked.value).scalar_subquery()
    holds: SqlCondition = columns.customers.c.zone_id == number
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
    return and_(at_least, born > _years_before(today, upper + 1))


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
    "time_zone": _zone,
    "external_id": _external_id,
}


_FIELD_OPERATORS: dict[str, tuple[Operator, ...]] = {
    "text": texts(),
    "number": (*numbers(), *EMPTINESS),
    "date": dates(),
    "yes_no": (
        *choices(Choice(value="yes", label="yes"), Choice(value="no", label="no"))[:1],
        *EMPTINESS,
    ),
}
_YES_NO = {"yes": 1, "no": 0}


def _fields(catalogue: Catalogue) -> Sequence[Criterion]:
    return [
        Criterion(name=field.code, label=field.label, operators=_field_operators(field))
        for field in catalogue.fields.values()
    ]


def _field_operators(field: CustomFieldInfo) -> tuple[Operator, ...]:
    if field.type != "choice":
        return _FIELD_OPERATORS[field.type]
    offered = (Choice(value=choice, label=choice) for choice in field.choices)
    return (*choices(*offered), *EMPTINESS)


def _custom_field(asked: Comparison, columns: SourceColumns) -> Membership:
    field, value = columns.catalogue.fields[asked.criterion], columns.values.c
    ids = select(value.customer_id).where(
        value.field_id == field.id, _value_holds(field, asked, columns)
    )
    return Outside(ids) if asked.negated else ids


def _value_holds(field: CustomFieldInfo, asked: Comparison, columns: SourceColumns) -> SqlCondition:
    values = columns.values.c
    match field.type:
        case "text":
            return text_holds(values.text_value, asked)
        case "choice":
            return text_holds(values.text_value, asked, exact=True)
        case "date":
            return date_holds(values.date_value, asked, columns.today)
        case "yes_no" if asked.operator == "is":
            answered: SqlCondition = values.number_value == _YES_NO[str(asked.value)]
            return answered
    return number_holds(values.number_value, asked)


ATTRIBUTES = SegmentSourceSpec(
    name="attribute",
    label="Attribute",
    settings=Comparison,
    select=_attribute,
    criteria=_offered,
    order=10,
)
CUSTOM_FIELDS = SegmentSourceSpec(
    name="custom_field",
    label="Field",
    settings=Comparison,
    select=_custom_field,
    criteria=_fields,
    order=20,
)
