"""Conditions on whole sets: other segments, and all customers."""

from __future__ import annotations

from collections.abc import Sequence

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


class AllSettings(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    criterion: str = "all"
    operator: str = "all"


def _segments(catalogue: Catalogue) -> Sequence[Criterion]:
    offered = tuple(Choice(value=str(n), label=name) for n, name in catalogue.segments.items())
    chosen = (Input(name="segment", label="Segment", kind=InputKind.CHOICE, choices=offered),)
    return (
        Criterion(
            name="segment",
            label="Segment",
            operators=(
                Operator(name="in", label="in", phrase="{segment}", inputs=chosen),
                Operator(
                    name="not_in", label="not in", phrase="other than {segment}", inputs=chosen
                ),
            ),
        ),
    )


def _segment(asked: SegmentSettings, columns: SourceColumns) -> Membership:
    ids = columns.segment(asked.segment)
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
ALL_CUSTOMERS = SegmentSourceSpec(
    name="all_customers",
    label="All customers",
    settings=AllSettings,
    select=_everybody,
    criteria=_all,
    order=90,
)
