"""What conditions on receipts, purchases and messages share: periods, moments, sets, numbers.

Days are the company's. A measure such as a number of records is nothing for customers without
any record, so a comparison that nothing keeps is said of those who break it: everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from envoi.errors import Problem, ValidationFailedError
from envoi.sql import (
    CustomerIds,
    Membership,
    Outside,
    SourceColumns,
    SqlCondition,
    distinct,
    func,
    literal,
    select,
    union_all,
)
from envoi.types import Choice, Input, InputKind, Operator
from envoi_segment_builtin.comparisons import (
    Comparison,
    dates,
    days_after,
    days_before,
    number_holds,
)

PERIOD = (
    Input(
        name="within_days",
        label="Days of the period",
        kind=InputKind.WHOLE,
        required=False,
        before="in the last",
        after="days",
    ),
    Input(
        name="since",
        label="First day of the period",
        kind=InputKind.DATE,
        required=False,
        before="from",
    ),
    Input(
        name="until",
        label="Last day of the period",
        kind=InputKind.DATE,
        required=False,
        before="until",
    ),
)
NEVER = Operator(name="never", label="never", phrase="never")
MOMENTS = (
    *(
        operator
        for operator in dates()
        if not operator.name.startswith(("anniversary", "in_next", "not_empty", "empty"))
    ),
    NEVER,
)


class Recorded(Comparison):
    """A comparison with a period: the last days, or from a day to a day, both included."""

    within_days: int | None = None
    since: date | None = None
    until: date | None = None


class Period(NamedTuple):
    """The first moment of a period and the one after the last; None has no bound."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: Any) -> list[SqlCondition]:
        """Say that a moment is inside."""
        return [
            *([at >= self.since] if self.since else []),
            *([at < self.until] if self.until else []),
        ]


def period(asked: Recorded, columns: SourceColumns) -> Period:
    """Return the period that a condition looks at; the last days reach up to now."""
    if asked.within_days is not None and (asked.since or asked.until):
        raise ValidationFailedError(
            [Problem("settings.within_days", "Enter either a number of days or two dates.")]
        )
    if asked.within_days is not None:
        return last_days(asked.within_days, columns)
    return _days(columns, asked.since, asked.until)


def last_days(days: int, columns: SourceColumns) -> Period:
    """The days before today, and today up to now."""
    since = columns.midnight(days_before(columns.today, days))
    return Period(since, columns.now + timedelta(microseconds=1))


def _days(columns: SourceColumns, first: date | None, last: date | None) -> Period:
    return Period(
        columns.midnight(first) if first else None,
        columns.midnight(last + timedelta(days=1)) if last else None,
    )


def moment_period(asked: Comparison, columns: SourceColumns) -> Period:
    """Return the period in which a moment must fall, by an operator of `MOMENTS`."""
    if asked.asserted == "in_last":
        return last_days(asked.days or 0, columns)
    day, upper = (_day(value) for value in (asked.value, asked.upper))
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    return {
        "eq": _days(columns, day, day),
        "lt": _days(columns, None, before),
        "le": _days(columns, None, day),
        "gt": _days(columns, after, None),
        "ge": _days(columns, day, None),
        "between": _days(columns, day, upper),
    }[asked.asserted]


def ago_period(asked: Comparison, columns: SourceColumns) -> Period:
    """Return the period in which a moment must fall that is so many days ago."""

    def ago(days: Any) -> date:
        return days_before(columns.today, int(days or 0))

    day, more, fewer = ago(asked.value), ago(int(asked.value or 0) + 1), ago(asked.value)
    fewer = days_after(fewer, 1)
    return {
        "eq": _days(columns, day, day),
        "lt": _days(columns, fewer, None),
        "le": _days(columns, day, None),
        "gt": _days(columns, None, more),
        "ge": _days(columns, None, day),
        "between": _days(columns, ago(asked.upper), day),
    }[asked.asserted]


def _day(value: str | float | None) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else date(2000, 1, 1)


def moments(ids: CustomerIds, at: Any, asked: Recorded, columns: SourceColumns) -> Membership:
    """Compare the first or last moment of a customer's records."""
    if asked.operator == "never":
        return Outside(ids)
    last = asked.criterion.startswith("last")
    if last and asked.asserted == "in_last":
        ids = ids.where(*last_days(asked.days or 0, columns).holds(at))
    else:
        found = func.max(at) if last else func.min(at)
        ids = ids.group_by(ids.selected_columns[0]).having(
            *moment_period(asked, columns).holds(found)
        )
    return Outside(ids) if asked.negated else ids


def of_set(ids: CustomerIds, value: Any, operator: str, wanted: Sequence[Any]) -> Membership:
    """Compare the values of a customer's records, which are all among the wanted ones."""
    if operator == "not_in":
        return Outside(ids)
    if operator == "in" or len(wanted) == 1:
        return ids
    return ids.group_by(ids.selected_columns[0]).having(func.count(distinct(value)) == len(wanted))


def of_sets(sets: Mapping[int, CustomerIds], operator: str) -> Membership:
    """Compare in which of some sets of customers somebody is."""
    piles = [ids.add_columns(literal(number).label("set")) for number, ids in sets.items()]
    pile = union_all(*piles).subquery()
    return of_set(select(pile.c[0]), pile.c.set, operator, tuple(sets))


def in_minor_units(asked: Comparison, columns: SourceColumns) -> Comparison:
    """Say a comparison of money in minor units."""
    return asked.model_copy(
        update={
            "value": minor(asked.value, columns.minor_units),
            "upper": minor(asked.upper, columns.minor_units),
        }
    )


def minor(amount: str | float | None, units: int) -> int | None:
    """Turn an amount into minor units."""
    return None if amount is None else round(float(amount) * units)


def measured(grouped: CustomerIds, measure: Any, asked: Comparison) -> Membership:
    """Compare a measure that is 0 for customers without a record."""
    holds = number_holds(measure, asked)
    if _holds_for_nothing(asked):
        return Outside(grouped.having(holds if asked.negated else ~holds))
    return grouped.having(~holds if asked.negated else holds)


def measured_of_some(grouped: CustomerIds, measure: Any, asked: Comparison) -> CustomerIds:
    """Compare a measure that only customers with a record have, such as an average."""
    holds = number_holds(measure, asked)
    return grouped.having(~holds if asked.negated else holds)


def _holds_for_nothing(asked: Comparison) -> bool:
    value, upper = float(asked.value or 0), float(asked.upper or 0)
    return {
        "ge": value <= 0,
        "gt": value < 0,
        "le": value >= 0,
        "lt": value > 0,
        "eq": value == 0,
        "ne": value != 0,
        "between": value <= 0 <= upper,
    }[asked.operator]


def named(names: Any) -> tuple[Choice, ...]:
    """Offer what a tenant has by number or by name."""
    return tuple(Choice(value=str(key), label=name) for key, name in names.items())
