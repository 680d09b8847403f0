"""Conditions on the custom attributes that a tenant has made for its customers."""

from __future__ import annotations

from collections.abc import Sequence

from envoi.sql import Membership, Outside, SourceColumns, SqlCondition, select
from envoi.types import Catalogue, Choice, Criterion, CustomFieldInfo, Operator, SegmentSourceSpec
from envoi_segment_builtin.comparisons import (
    EMPTINESS,
    YES_OR_NO,
    Comparison,
    choices,
    date_holds,
    dates,
    number_holds,
    numbers,
    text_holds,
    texts,
)

_COLUMNS = {"yes_no": "number_value", "choice": "text_value"}
_OPERATORS: dict[str, tuple[Operator, ...]] = {
    "text": texts(),
    "number": (*numbers(), *EMPTINESS),
    "date": dates(),
    "yes_no": YES_OR_NO,
}


def _criteria(catalogue: Catalogue) -> Sequence[Criterion]:
    return [
        Criterion(name=field.code, label=field.label, operators=_operators(field))
        for field in catalogue.fields.values()
    ]


def _operators(field: CustomFieldInfo) -> tuple[Operator, ...]:
    if field.type != "choice":
        return _OPERATORS[field.type]
    return (*choices(*(Choice(value=c, label=c) for c in field.choices)), *EMPTINESS)


def _custom_field(asked: Comparison, columns: SourceColumns) -> Membership:
    field, value = columns.catalogue.fields[asked.criterion], columns.values.c
    ids = select(value.customer_id).where(value.field_id == field.id, _holds(field, asked, columns))
    return Outside(ids) if asked.negated else ids


def _holds(field: CustomFieldInfo, asked: Comparison, columns: SourceColumns) -> SqlCondition:
    value = columns.values.c[_COLUMNS.get(field.type, f"{field.type}_value")]
    match field.type:
        case "text":
            return text_holds(value, asked)
        case "choice":
            return text_holds(value, asked, exact=True)
        case "date":
            return date_holds(value, asked, columns.today)
        case "yes_no" if asked.operator in ("yes", "no"):
            holds: SqlCondition = value == float(asked.operator == "yes")
            return holds
    return number_holds(value, asked)


CUSTOM_FIELDS = SegmentSourceSpec(
    name="custom_field",
    label="Field",
    settings=Comparison,
    select=_custom_field,
    criteria=_criteria,
    order=20,
)
