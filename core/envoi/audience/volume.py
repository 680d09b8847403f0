"""The account of an audience: what every stage takes away, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import CTE, Boolean, Row, Select, SmallInteger, case, cast, func, null, select

from envoi.audience.control import control_places, variant_sizes
from envoi.audience.request import AudienceRequest
from envoi.audience.strata import values_of
from envoi.delivery.models import Stage


@dataclass(frozen=True)
class Line:
    """A stage with how many it takes away, in all and by detail."""

    stage: Stage
    count: int
    details: dict[str, int]


@dataclass(frozen=True)
class Stratum:
    """A stratum: the code of each characteristic, its eligible and its control members."""

    codes: tuple[int, ...]
    eligible: int
    control: int


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The whole account: segment = lines + control + recipients, always.

    `lines` has every stage, also those that take nobody away. `deferred` are those of the
    recipients whom the policy lets get it only later.
    """

    segment: int
    lines: tuple[Line, ...]
    eligible: int
    control: int
    recipients: int
    deferred: int
    strata: tuple[Stratum, ...]
    variants: tuple[int, ...]
    computed_at: datetime
    exact: bool = True

    def excluded(self, stage: Stage) -> int:
        """Return how many a stage takes away."""
        return next(line.count for line in self.lines if line.stage == stage)

    def scaled(self, factor: float, shares: Sequence[float]) -> Volume:
        """Return what a sample's account says of everybody, about; it still adds up."""
        lines = tuple(_scaled_line(line, factor) for line in self.lines)
        strata = tuple(
            Stratum(s.codes, round(s.eligible * factor), round(s.control * factor))
            for s in self.strata
        )
        eligible = sum(stratum.eligible for stratum in strata)
        control = sum(stratum.control for stratum in strata)
        return replace(
            self,
            segment=sum(line.count for line in lines) + eligible,
            lines=lines,
            eligible=eligible,
            control=control,
            recipients=eligible - control,
            deferred=min(round(self.deferred * factor), eligible - control),
            strata=strata,
            variants=tuple(variant_sizes(eligible - control, shares)),
            exact=False,
        )

    def as_document(self) -> dict[str, Any]:
        """Return the account as it is stored with a mailing or run."""
        document: dict[str, Any] = _VOLUME.dump_python(self, mode="json")
        return document

    @staticmethod
    def from_document(document: dict[str, Any]) -> Volume | None:
        """Read a stored account; None where nothing was counted yet."""
        return _VOLUME.validate_python(document) if document else None


_VOLUME = TypeAdapter(Volume)


def tally(rows: CTE) -> Select[Any]:
    """Count rows of outcomes by everything that an account tells, drawn or not."""
    eligible = rows.c.stage.is_(None)
    has_draw = "control" in rows.c
    control = rows.c.control if has_draw else cast(null(), Boolean)
    variant = rows.c.variant if has_draw else cast(null(), SmallInteger)
    later = func.count(rows.c.deferred_until)
    keys = [
        rows.c.stage.label("stage"),
        case((~eligible, rows.c.detail)).label("detail"),
        case((eligible, rows.c.stratum)).label("stratum"),
        control.label("control"),
        variant.label("variant"),
    ]
    deferred = later.filter(~control) if has_draw else later
    counted = select(*keys, func.count().label("customers"), deferred.label("deferred"))
    return counted.group_by(*(key.element for key in keys))


def account(rows: Iterable[Row[Any]], request: AudienceRequest) -> Volume:
    """Add up what `tally` found; what was not drawn is allotted, which comes to the same."""
    found = list(rows)
    eligible = [row for row in found if row.stage is None]
    strata = _count(eligible, "stratum")
    control = _count((row for row in eligible if row.control), "stratum")
    if any(row.control is None for row in eligible):
        control = Counter(control_places(strata, request.control_share))
    good, held = strata.total(), control.total()
    variants = _count(eligible, "variant")
    drawn = variants.keys() - {None}
    numbers = range(1, len(request.shares) + 1)
    return Volume(
        segment=sum(row.customers for row in found),
        lines=tuple(_line(stage, found) for stage in Stage),
        eligible=good,
        control=held,
        recipients=good - held,
        deferred=sum(row.deferred for row in eligible),
        strata=tuple(
            Stratum(values_of(request.strata, key), strata[key], control[key])
            for key in sorted(strata)
        ),
        variants=tuple(variants[n] for n in numbers)
        if drawn
        else tuple(variant_sizes(good - held, request.shares)),
        computed_at=request.now,
    )


def _scaled_line(line: Line, factor: float) -> Line:
    details = {detail: round(count * factor) for detail, count in line.details.items()}
    others = round((line.count - sum(line.details.values())) * factor)
    return Line(line.stage, sum(details.values()) + others, details)


def _line(stage: Stage, rows: list[Row[Any]]) -> Line:
    mine = [row for row in rows if row.stage == stage]
    details = _count((row for row in mine if row.detail is not None), "detail")
    return Line(stage, sum(row.customers for row in mine), dict(sorted(details.items())))


def _count(rows: Iterable[Row[Any]], key: str) -> Counter[Any]:
    counted: Counter[Any] = Counter()
    for row in rows:
        counted[getattr(row, key)] += row.customers
    return counted
