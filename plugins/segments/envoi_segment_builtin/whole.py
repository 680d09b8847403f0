"""Conditions on whole sets: other segments, target audiences, and all customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from envoi.sql import Membership, Outside, SourceColumns, true
from envoi.types import (
    Catalogue,
    Choice,
    Criterion,
    Input,
    InputKind,
    Operator,
    SegmentSourceSpec,
)


class SegmentSettings(BaseModel):
    """Membership of another segment, by its number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    segment: int


class AudienceSettings(BaseModel):
    """Membership of a target audience, by its number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str
    operator: str
    audience: int


class AllSettings(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str = "all"
    operator: str = "all"


def _segments(catalogue: Catalogue) -> Sequence[Criterion]:
    return (_membership("segment", "Segment", "other than {segment}", catalogue.segments),)


def _audiences(catalogue: Catalogue) -> Sequence[Criterion]:
    sets = catalogue.audiences
    return (_membership("audience", "Target audience", "other than {audience}", sets),)


def _membership(name: str, label: str, outside: str, sets: Mapping[int, str]) -> Criterion:
    offered = tuple(Choice(value=str(number), label=named) for number, named in sets.items())
    chosen = (Input(name=name, label=label, kind=InputKind.CHOICE, choices=offered),)
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
    ids = columns.audience(asked.audience)
    return Outside(ids) if asked.operator == "not_in" else ids


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
