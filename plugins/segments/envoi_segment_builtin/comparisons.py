"""The operators of texts, numbers, dates and choices, and how each is said in SQL."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from envoi.sql import SqlCondition, collate, func, null
from envoi.types import Choice, Input, InputKind, Operator

FOLDED = "pg_c_utf8"
"""Folds case by Unicode whatever the locale of the database."""


class Comparison(BaseModel):
    """Settings of a comparison; which of the values are there depends on the operator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    value: str | int | float | None = None
    upper: str | int | float | None = None
    values: tuple[str, ...] = ()
    days: int | None = None
    month: int | None = None

    @property
    def asserted(self) -> str:
        """The operator without its "not"."""
        return NEGATIONS.get(self.operator, self.operator)

    @property
    def negated(self) -> bool:
        """Whether the operator says that no such record exists."""
        return self.operator in NEGATIONS


NEGATIONS = {
    "is_not": "is",
    "not_in": "in",
    "not_contains": "contains",
    "ne": "eq",
    "not_in_last": "in_last",
    "empty": "not_empty",
}

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _one(kind: InputKind, after: str = "", choices: tuple[Choice, ...] = ()) -> tuple[Input, ...]:
    return (Input(name="value", label="Value", kind=kind, after=after, choices=choices),)


def _range(kind: InputKind, after: str = "") -> tuple[Input, ...]:
    upper = Input(name="upper", label="Upper value", kind=kind, before="and", after=after)
    return (*_one(kind), upper)


_TEXTS = (Input(name="values", label="Values", kind=InputKind.TEXTS),)
DAYS = (Input(name="days", label="Days", kind=InputKind.WHOLE, after="days"),)
_MONTH = (
    Input(
        name="month",
        label="Month",
        kind=InputKind.CHOICE,
        choices=tuple(Choice(value=str(n), label=name) for n, name in enumerate(_MONTHS, 1)),
    ),
)


def texts(*, exact: bool = False) -> tuple[Operator, ...]:
    """Operators of a text; an exact one has no parts to search for."""
    text = _one(InputKind.TEXT)
    whole = (
        Operator(name="is", label="is", phrase="is {value}", inputs=text),
        Operator(name="is_not", label="is not", phrase="is not {value}", inputs=text),
        Operator(name="in", label="is one of", phrase="is one of: {values}", inputs=_TEXTS),
        Operator(name="not_in", label="is none of", phrase="is none of: {values}", inputs=_TEXTS),
        Operator(name="starts", label="starts with", phrase="starts with {value}", inputs=text),
    )
    if exact:
        return whole
    return (
        *whole,
        Operator(name="contains", label="contains", phrase="contains {value}", inputs=text),
        Operator(
            name="not_contains",
            label="does not contain",
            phrase="does not contain {value}",
            inputs=text,
        ),
        *EMPTINESS,
    )


EMPTINESS = (
    Operator(name="not_empty", label="is known", phrase="is known"),
    Operator(name="empty", label="is not known", phrase="is not known"),
)


def numbers(unit: str = "", kind: InputKind = InputKind.NUMBER) -> tuple[Operator, ...]:
    """Operators of a number, with the unit shown behind its fields."""
    number = _one(kind, unit)
    return (
        Operator(name="ge", label="at least", phrase="at least {value}", inputs=number),
        Operator(name="gt", label="more than", phrase="more than {value}", inputs=number),
        Operator(name="le", label="at most", phrase="at most {value}", inputs=number),
        Operator(name="lt", label="less than", phrase="less than {value}", inputs=number),
        Operator(name="eq", label="exactly", phrase="exactly {value}", inputs=number),
        Operator(name="ne", label="not", phrase="not {value}", inputs=number),
        Operator(
            name="between",
            label="between",
            phrase="between {value} and {upper}",
            inputs=_range(kind, unit),
        ),
    )


def dates() -> tuple[Operator, ...]:
    """Operators of a date; days are the company's, `days` before today and today itself."""
    day = _one(InputKind.DATE)
    return (
        Operator(name="in_last", label="in the last", phrase="in the last {days}", inputs=DAYS),
        Operator(
            name="not_in_last",
            label="not in the last",
            phrase="not in the last {days}",
            inputs=DAYS,
        ),
        Operator(name="in_next", label="in the next", phrase="in the next {days}", inputs=DAYS),
        Operator(name="eq", label="on", phrase="on {value}", inputs=day),
        Operator(name="ne", label="not on", phrase="not on {value}", inputs=day),
        Operator(name="lt", label="before", phrase="before {value}", inputs=day),
        Operator(name="le", label="on or before", phrase="on or before {value}", inputs=day),
        Operator(name="gt", label="after", phrase="after {value}", inputs=day),
        Operator(name="ge", label="on or after", phrase="on or after {value}", inputs=day),
        Operator(
            name="between",
            label="between",
            phrase="between {value} and {upper}",
            inputs=_range(InputKind.DATE),
        ),
        Operator(
            name="anniversary_today",
            label="anniversary today",
            phrase="has its day today",
        ),
        Operator(
            name="anniversary_within",
            label="anniversary in the next",
            phrase="has its day within the next {days}",
            inputs=DAYS,
        ),
        Operator(
            name="anniversary_on",
            label="day and month of",
            phrase="has the day and month of {value}",
            inputs=day,
        ),
        Operator(
            name="anniversary_in",
            label="anniversary in the month",
            phrase="has its day in {month}",
            inputs=_MONTH,
        ),
        *EMPTINESS,
    )


def choices(*offered: Choice) -> tuple[Operator, ...]:
    """Operators of one value out of a few."""
    chosen = _one(InputKind.CHOICE, choices=offered)
    return (
        Operator(name="is", label="is", phrase="is {value}", inputs=chosen),
        Operator(name="is_not", label="is not", phrase="is not {value}", inputs=chosen),
        *any_of(*offered),
    )


def any_of(*offered: Choice) -> tuple[Operator, ...]:
    """Operators of several values out of many."""
    chosen = (Input(name="values", label="Values", kind=InputKind.CHOICES, choices=offered),)
    return (
        Operator(name="in", label="is one of", phrase="is one of: {values}", inputs=chosen),
        Operator(name="not_in", label="is none of", phrase="is none of: {values}", inputs=chosen),
    )


def sets(
    values: Input,
    phrases: tuple[str, str, str] = ("any of: {values}", "all of: {values}", "none of: {values}"),
) -> tuple[Operator, ...]:
    """Operators of what a customer can have several of."""
    some, every, none = phrases
    return (
        Operator(name="in", label="any of", phrase=some, inputs=(values,)),
        Operator(name="all_of", label="all of", phrase=every, inputs=(values,)),
        Operator(name="not_in", label="none of", phrase=none, inputs=(values,)),
    )


YES_OR_NO = (
    Operator(name="yes", label="yes", phrase="yes"),
    Operator(name="no", label="no", phrase="no"),
    *EMPTINESS,
)


def text_holds(column: Any, asked: Comparison, *, exact: bool = False) -> SqlCondition:
    """Compare a text, without regard to case unless it is an exact one."""
    fold: Callable[[str], str] = str if exact else _folded
    found = column if exact else func.lower(collate(column, FOLDED))
    value = fold(str(asked.value))
    holds: SqlCondition
    match asked.asserted:
        case "is":
            holds = found == value
        case "in":
            holds = found.in_([fold(v) for v in asked.values])
        case "starts":
            holds = func.starts_with(found, value)
        case "contains":
            holds = func.strpos(found, value) > 0
        case _:
            holds = column != ""
    return holds


def _folded(text: str) -> str:
    """Lower case letter by letter, as the database does it (a final sigma is no exception)."""
    return "".join(letter.lower() for letter in text)


def number_holds(column: Any, asked: Comparison) -> SqlCondition:
    """Compare a number, or anything else that has an order."""
    return _ordered(column, asked.asserted, asked.value, asked.upper)


def date_holds(column: Any, asked: Comparison, today: date) -> SqlCondition:
    """Compare a date; `in_last` reaches from `days` before today to today."""
    value, upper, days = _day(asked.value), _day(asked.upper), asked.days or 0
    month_and_day = func.date_part("month", column) * 100 + func.date_part("day", column)
    holds: SqlCondition
    match asked.asserted:
        case "in_last":
            holds = column.between(days_before(today, days), today)
        case "in_next":
            holds = column.between(today, days_after(today, days))
        case "anniversary_today":
            holds = month_and_day.in_(_coming(today, 0))
        case "anniversary_in":
            holds = func.date_part("month", column) == asked.month
        case "anniversary_within":
            holds = month_and_day.in_(_coming(today, min(days, 366)))
        case "anniversary_on":
            holds = month_and_day.in_(_coming(value or today, 0))
        case _:
            holds = _ordered(column, asked.asserted, value, upper)
    return holds


def _ordered(column: Any, operator: str, value: Any, upper: Any) -> SqlCondition:
    holds: SqlCondition
    match operator:
        case "eq":
            holds = column == value
        case "lt":
            holds = column < value
        case "le":
            holds = column <= value
        case "gt":
            holds = column > value
        case "ge":
            holds = column >= value
        case "between":
            holds = column.between(value, upper)
        case _:
            holds = column.is_not(null())
    return holds


def _day(value: str | float | None) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else None


def days_before(today: date, days: int) -> date:
    """Go back by days, at most to the year 2, which every clock and zone can say."""
    return today - timedelta(days=min(days, (today - date(2, 1, 1)).days))


def days_after(today: date, days: int) -> date:
    """Go on by days, at most to the year 9998."""
    return today + timedelta(days=min(days, (date(9998, 12, 31) - today).days))


def _coming(first: date, days: int) -> list[int]:
    """Months and days (1124 for 24 November) from a day on.

    Who was born on 29 February has the day on 28 February in years without it.
    """
    coming = [first + timedelta(days=n) for n in range(days + 1)]
    found = {day.month * 100 + day.day for day in coming}
    if any((day.month, day.day) == (2, 28) and not isleap(day.year) for day in coming):
        found.add(229)
    return sorted(found)
