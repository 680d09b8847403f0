"""Conditions on a customer's receipts: number, sums, first and last, within a period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from envoi.errors import Problem, ValidationFailedError
from envoi.sql import CustomerIds, Membership, Outside, SourceColumns, SqlCondition, func, select
from envoi.types import Catalogue, Criterion, Input, InputKind, Operator, SegmentSourceSpec
from envoi_segment_builtin.comparisons import Comparison, dates, days_before, number_holds, numbers


class ReceiptSettings(Comparison):
    """A comparison with a period: the last days, or from a day to a day, both included."""

    within_days: int | None = None
    since: date | None = None
    until: date | None = None


_PERIOD = (
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
_WITHOUT = Operator(name="never", label="never", phrase="never")
_MOMENTS = (
    *(o for o in dates() if o.name in {"in_last", "not_in_last", "lt", "ge", "eq", "between"}),
    _WITHOUT,
)


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    money = numbers(catalogue.currency)
    return (
        Criterion(
            name="count",
            label="Number of receipts",
            operators=numbers(kind=InputKind.WHOLE),
            inputs=_PERIOD,
        ),
        Criterion(name="sum", label="Sum of receipts", operators=money, inputs=_PERIOD),
        Criterion(name="average", label="Average receipt", operators=money, inputs=_PERIOD),
        Criterion(name="last", label="Last receipt", operators=_MOMENTS),
        Criterion(name="first", label="First receipt", operators=_MOMENTS),
    )


def _receipts(asked: ReceiptSettings, columns: SourceColumns) -> Membership:
    if asked.criterion in {"last", "first"}:
        return _moment(asked, columns)
    receipt = columns.receipts.c
    grouped = select(receipt.customer_id).where(*_period(asked, columns))
    grouped = grouped.group_by(receipt.customer_id)
    return _compared(asked, columns, grouped)


def _compared(asked: ReceiptSettings, columns: SourceColumns, grouped: CustomerIds) -> Membership:
    """Customers without a receipt have none of the sum and the number, but no average."""
    receipt = columns.receipts.c
    values = _in_minor_units(asked, columns) if asked.criterion != "count" else asked
    measure: Any = func.count() if asked.criterion == "count" else func.sum(receipt.amount)
    if asked.criterion == "average":
        measure = measure / func.count()
    holds = number_holds(measure, values)
    if asked.criterion != "average" and _holds_for_nothing(asked):
        return Outside(grouped.having(holds if asked.negated else ~holds))
    return grouped.having(~holds if asked.negated else holds)


def _holds_for_nothing(asked: ReceiptSettings) -> bool:
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


def _in_minor_units(asked: ReceiptSettings, columns: SourceColumns) -> ReceiptSettings:
    def minor(value: str | float | None) -> int | None:
        return None if value is None else round(float(value) * columns.minor_units)

    return asked.model_copy(update={"value": minor(asked.value), "upper": minor(asked.upper)})


def _period(asked: ReceiptSettings, columns: SourceColumns) -> list[SqlCondition]:
    """Whole days of the company; the last days reach up to now."""
    if asked.within_days is not None and (asked.since or asked.until):
        raise ValidationFailedError(
            [Problem("settings.within_days", "Enter either a number of days or two dates.")]
        )
    if asked.within_days is not None:
        return _last_days(asked.within_days, columns)
    at, bounds = columns.receipts.c.at, []
    if asked.since:
        bounds.append(at >= columns.midnight(asked.since))
    if asked.until:
        bounds.append(at < columns.midnight(asked.until + timedelta(days=1)))
    return bounds


def _last_days(days: int, columns: SourceColumns) -> list[SqlCondition]:
    at = columns.receipts.c.at
    first = days_before(columns.today, days)
    return [at >= columns.midnight(first), at <= columns.now]


def _moment(asked: ReceiptSettings, columns: SourceColumns) -> Membership:
    receipt = columns.receipts.c
    ids = select(receipt.customer_id)
    if asked.operator == "never":
        return Outside(ids)
    if asked.criterion == "last" and asked.asserted == "in_last":
        ids = ids.where(*_last_days(asked.days or 0, columns))
    else:
        at = func.max(receipt.at) if asked.criterion == "last" else func.min(receipt.at)
        ids = ids.group_by(receipt.customer_id).having(*_within(at, asked, columns))
    return Outside(ids) if asked.negated else ids


def _within(at: Any, asked: ReceiptSettings, columns: SourceColumns) -> list[SqlCondition]:
    if asked.asserted == "in_last":
        first = days_before(columns.today, asked.days or 0)
        return [at >= columns.midnight(first), at <= columns.now]
    day = date.fromisoformat(str(asked.value))
    begin = columns.midnight(day)
    if asked.operator == "lt":
        return [at < begin]
    if asked.operator == "ge":
        return [at >= begin]
    last = date.fromisoformat(str(asked.upper)) if asked.operator == "between" else day
    return [at >= begin, at < columns.midnight(last + timedelta(days=1))]


RECEIPTS = SegmentSourceSpec(
    name="receipts",
    label="Receipts",
    settings=ReceiptSettings,
    select=_receipts,
    criteria=_criteria,
    order=30,
)
