"""Conditions on whole sets: other segments, target audiences, and all customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from envoi.sql import Membership, Outside, SourceColumns, true
from envoi.types import (
    Catalogue,
    Criterion,
    Input,
    InputKind,
    Operator,
    SegmentSourceSpec,
)
from envoi_segment_builtin.comparisons import sets
from envoi_segment_builtin.records import named, of_sets

_OF_SEVERAL = {"any_of": "in", "all_of": "all_of", "none_of": "not_in"}
"""How operators of several audiences are named among those of sets."""

_PHRASES = ("any of: {audiences}", "all of: {audiences}", "none of: {audiences}")


class SegmentSettings(BaseModel):
    """Membership of another segment, by its number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    segment: int


class AudienceSettings(BaseModel):
    """Membership of a target audience, or of some of several, by their numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    audience: int | None = None
    audiences: tuple[int, ...] = ()


class AllSettings(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str = "all"
    operator: str = "all"


def _segments(catalogue: Catalogue) -> Sequence[Criterion]:
    return (_membership("segment", "Segment", "other than {segment}", catalogue.segments),)


def _audiences(catalogue: Catalogue) -> Sequence[Criterion]:
    one = _membership("audience", "Target audience", "other than {audience}", catalogue.audiences)
    return (replace(one, operators=(*one.operators, *_several(catalogue.audiences))),)


def _several(offered: Mapping[int, str]) -> tuple[Operator, ...]:
    """Operators of several audiences, whose settings are others than those of one."""
    chosen = Input(
        name="audiences",
        label="Target audiences",
        kind=InputKind.CHOICES,
        choices=named(offered),
    )
    operators = {operator.name: operator for operator in sets(chosen, _PHRASES)}
    return tuple(replace(operators[same], name=name) for name, same in _OF_SEVERAL.items())


def _membership(name: str, label: str, outside: str, offered: Mapping[int, str]) -> Criterion:
    chosen = (Input(name=name, label=label, kind=InputKind.CHOICE, choices=named(offered)),)
    return Criterion(
        name=name,
        label=label,
        operators=(
            Operator(name="in", label="in", phrase=f"{{{name}}}", inputs=chosen),
            Operator(name="not_in", label="not in", phrase=outside, inputs=chosen),
        ),
    )


def _segment(asked: SegmentSettings, columns: SourceColumns) -> Membership:
    ids = columns.segment(asked.segment)
    return Outside(ids) if asked.operator == "not_in" else ids


def _audience(asked: AudienceSettings, columns: SourceColumns) -> Membership:
    if asked.audience is not None:
        ids = columns.audience(asked.audience)
        return Outside(ids) if asked.operator == "not_in" else ids
    found = {number: columns.audience(number) for number in asked.audiences}
    return of_sets(found, _OF_SEVERAL[asked.operator])


def _all(_catalogue: Catalogue) -> Sequence[Criterion]:
    everybody = Operator(name="all", label="all", phrase="")
    return (Criterion(name="all", label="All customers", operators=(everybody,)),)


def _everybody(_asked: AllSettings, _columns: SourceColumns) -> Membership:
    return true()


SEGMENTS = SegmentSourceSpec(
    name="segment",
    label="Segment",
    settings=SegmentSettings,
    select=_segment,
    criteria=_segments,
    order=40,
)
AUDIENCES = SegmentSourceSpec(
    name="audience",
    label="Target audience",
    settings=AudienceSettings,
    select=_audience,
    criteria=_audiences,
    order=45,
)
ALL_CUSTOMERS = SegmentSourceSpec(
    name="all_customers",
    label="All customers",
    settings=AllSettings,
    select=_everybody,
    criteria=_all,
    order=90,
)
