"""Conditions on what a customer bought: products and categories, by the lines of receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from envoi.errors import Problem, ValidationFailedError
from envoi.sql import Membership, SourceColumns, SqlCondition, func, select
from envoi.types import Catalogue, Criterion, Input, InputKind, SegmentSourceSpec, Suggestions
from envoi_segment_builtin.comparisons import numbers, sets
from envoi_segment_builtin.receipts import goods
from envoi_segment_builtin.records import (
    MOMENTS,
    PERIOD,
    Recorded,
    in_minor_units,
    measured,
    measured_of_some,
    moments,
    of_set,
    period,
)


class PurchaseSettings(Recorded):
    """A comparison of lines of receipts in a period, of some products or categories."""

    products: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


_PRODUCTS = Input(
    name="values",
    label="Product numbers",
    kind=InputKind.TEXTS,
    suggestions=Suggestions.PRODUCTS,
)


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    of = goods(catalogue)
    categories = replace(of[1], name="values", label="Values", required=True, before="")
    measures = (
        ("lines", "Number of purchases", numbers(kind=InputKind.WHOLE)),
        ("quantity", "Quantity bought", numbers()),
        ("sum", "Sum of purchases", numbers(catalogue.currency)),
        ("share", "Share of receipts", numbers("per cent")),
    )
    return (
        Criterion(
            name="product", label="Products bought", operators=sets(_PRODUCTS), inputs=PERIOD
        ),
        Criterion(
            name="category",
            label="Categories bought",
            operators=sets(categories),
            inputs=PERIOD,
        ),
        *(
            Criterion(name=name, label=label, operators=operators, inputs=(*of, *PERIOD))
            for name, label, operators in measures
        ),
        Criterion(name="last", label="Last purchase", operators=MOMENTS, inputs=of),
        Criterion(name="first", label="First purchase", operators=MOMENTS, inputs=of),
    )


def _purchases(asked: PurchaseSettings, columns: SourceColumns) -> Membership:
    match asked.criterion:
        case "product" | "category":
            return _bought(asked, columns)
        case "last" | "first":
            return moments(_lines(asked, columns), columns.receipts.c.at, asked, columns)
        case "share":
            return _share(asked, columns)
    return _measured(asked, columns)


def _bought(asked: PurchaseSettings, columns: SourceColumns) -> Membership:
    product = columns.products.c
    bought = product.external_id if asked.criterion == "product" else product.category
    ids = _lines(asked, columns).where(bought.in_(asked.values))
    return of_set(ids, bought, asked.operator, asked.values)


def _lines(asked: PurchaseSettings, columns: SourceColumns) -> Any:
    receipt = columns.receipts.c
    return (
        select(receipt.customer_id)
        .select_from(_joined(columns))
        .where(*period(asked, columns).holds(receipt.at), *_wanted(asked, columns))
    )


def _joined(columns: SourceColumns) -> Any:
    receipt, line, product = columns.receipts.c, columns.receipt_lines.c, columns.products.c
    return columns.receipts.join(columns.receipt_lines, line.receipt_id == receipt.id).join(
        columns.products, product.id == line.product_id
    )


def _wanted(asked: PurchaseSettings, columns: SourceColumns) -> list[SqlCondition]:
    product = columns.products.c
    return [
        *([product.external_id.in_(asked.products)] if asked.products else []),
        *([product.category.in_(asked.categories)] if asked.categories else []),
    ]


def _measured(asked: PurchaseSettings, columns: SourceColumns) -> Membership:
    line = columns.receipt_lines.c
    measures: dict[str, Any] = {
        "lines": func.count(),
        "quantity": func.sum(line.quantity),
        "sum": func.sum(line.amount),
    }
    grouped = _lines(asked, columns).group_by(columns.receipts.c.customer_id)
    values = in_minor_units(asked, columns) if asked.criterion == "sum" else asked
    return measured(grouped, measures[asked.criterion], values)


def _share(asked: PurchaseSettings, columns: SourceColumns) -> Membership:
    """Per cent of a customer's receipts that have such a line; who has no receipt has none."""
    if not (asked.products or asked.categories):
        raise ValidationFailedError(
            [Problem("settings.categories", "Choose categories or enter products.")]
        )
    receipt = columns.receipts.c
    having = (
        select(columns.receipt_lines.c.receipt_id.label("id"))
        .select_from(
            columns.receipt_lines.join(
                columns.products, columns.products.c.id == columns.receipt_lines.c.product_id
            )
        )
        .where(*_wanted(asked, columns))
        .distinct()
        .subquery()
    )
    grouped = (
        select(receipt.customer_id)
        .select_from(columns.receipts.outerjoin(having, having.c.id == receipt.id))
        .where(*period(asked, columns).holds(receipt.at))
        .group_by(receipt.customer_id)
    )
    measure = func.count(having.c.id) * 100.0 / func.count()
    return measured_of_some(grouped, measure, asked)


PURCHASES = SegmentSourceSpec(
    name="purchases",
    label="Purchases",
    settings=PurchaseSettings,
    select=_purchases,
    criteria=_criteria,
    order=35,
)
