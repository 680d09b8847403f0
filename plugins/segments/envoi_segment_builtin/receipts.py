"""Conditions on a customer's receipts: number, sums, visits, first and last, within a period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envoi.sql import (
    Membership,
    SourceColumns,
    SqlCondition,
    distinct,
    func,
    select,
)
from envoi.types import (
    Catalogue,
    Choice,
    Criterion,
    Input,
    InputKind,
    SegmentSourceSpec,
    Suggestions,
)
from envoi_segment_builtin.comparisons import numbers
from envoi_segment_builtin.records import (
    MOMENTS,
    PERIOD,
    Recorded,
    in_minor_units,
    measured,
    measured_of_some,
    minor,
    moments,
    period,
)

_OF_SOME = {"average", "median", "smallest", "largest", "items"}
"""Measures that customers without a receipt do not have, not even as nothing."""


class ReceiptSettings(Recorded):
    """A comparison of receipts in a period, of an amount, with one of some products."""

    amount_from: float | None = None
    amount_until: float | None = None
    products: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def goods(catalogue: Catalogue) -> tuple[Input, ...]:
    """Fields that narrow receipts or their lines to some products."""
    offered = tuple(Choice(value=name, label=name) for name in catalogue.product_categories)
    return (
        Input(
            name="products",
            label="Product numbers",
            kind=InputKind.TEXTS,
            required=False,
            before="with the products",
            suggestions=Suggestions.PRODUCTS,
        ),
        Input(
            name="categories",
            label="Product categories",
            kind=InputKind.CHOICES,
            choices=offered,
            required=False,
            before="with the categories",
        ),
    )


def _amounts(catalogue: Catalogue) -> tuple[Input, ...]:
    return tuple(
        Input(
            name=name,
            label=label,
            kind=InputKind.NUMBER,
            required=False,
            before=before,
            after=catalogue.currency,
        )
        for name, label, before in (
            ("amount_from", "Smallest amount", "of at least"),
            ("amount_until", "Largest amount", "of at most"),
        )
    )


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    money, whole = numbers(catalogue.currency), numbers(kind=InputKind.WHOLE)
    inner = (*_amounts(catalogue), *goods(catalogue))
    measures = (
        ("count", "Number of receipts", whole),
        ("sum", "Sum of receipts", money),
        ("average", "Average receipt", money),
        ("median", "Median receipt", money),
        ("smallest", "Smallest receipt", money),
        ("largest", "Largest receipt", money),
        ("items", "Average items per receipt", numbers()),
        ("visits", "Visits (days with a receipt)", whole),
    )
    return (
        *(
            Criterion(name=name, label=label, operators=operators, inputs=(*PERIOD, *inner))
            for name, label, operators in measures
        ),
        Criterion(name="last", label="Last receipt", operators=MOMENTS, inputs=inner),
        Criterion(name="first", label="First receipt", operators=MOMENTS, inputs=inner),
    )


def _receipts(asked: ReceiptSettings, columns: SourceColumns) -> Membership:
    receipt = columns.receipts.c
    inner = _inner(asked, columns)
    if asked.criterion in {"last", "first"}:
        return moments(select(receipt.customer_id).where(*inner), receipt.at, asked, columns)
    grouped = (
        select(receipt.customer_id)
        .where(*period(asked, columns).holds(receipt.at), *inner)
        .group_by(receipt.customer_id)
    )
    money = asked.criterion not in {"count", "items", "visits"}
    values = in_minor_units(asked, columns) if money else asked
    compare = measured_of_some if asked.criterion in _OF_SOME else measured
    return compare(grouped, _measure(asked.criterion, columns), values)


def _measure(criterion: str, columns: SourceColumns) -> Any:
    receipt = columns.receipts.c
    measures: dict[str, Any] = {
        "count": func.count(),
        "sum": func.sum(receipt.amount),
        "average": func.sum(receipt.amount) / func.count(),
        "median": func.percentile_cont(0.5).within_group(receipt.amount),
        "smallest": func.min(receipt.amount),
        "largest": func.max(receipt.amount),
        "items": func.sum(receipt["items"]) / func.count(),
        "visits": func.count(distinct(columns.day(receipt.at))),
    }
    return measures[criterion]


def _inner(asked: ReceiptSettings, columns: SourceColumns) -> list[SqlCondition]:
    """What a receipt must be to count; of some products and categories it has one of each."""
    receipt, units = columns.receipts.c, columns.minor_units
    holds: list[SqlCondition] = []
    if asked.amount_from is not None:
        holds.append(receipt.amount >= minor(asked.amount_from, units))
    if asked.amount_until is not None:
        holds.append(receipt.amount <= minor(asked.amount_until, units))
    for column, wanted in (("external_id", asked.products), ("category", asked.categories)):
        if wanted:
            holds.append(receipt.id.in_(receipts_with(column, wanted, columns)))
    return holds


def receipts_with(column: str, wanted: Sequence[str], columns: SourceColumns) -> Any:
    """The receipts with a line whose product is one of the wanted."""
    line, product = columns.receipt_lines.c, columns.products.c
    return (
        select(line.receipt_id)
        .join_from(columns.receipt_lines, columns.products, product.id == line.product_id)
        .where(product[column].in_(wanted))
    )


RECEIPTS = SegmentSourceSpec(
    name="receipts",
    label="Receipts",
    settings=ReceiptSettings,
    select=_receipts,
    criteria=_criteria,
    order=30,
)
