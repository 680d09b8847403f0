"""What a segment is worth, as its page shows it: the stored figures, counted again when old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask_babel import gettext
from sqlalchemy.orm import Session

from envoi.segments.figures import SegmentFigures, announce_figures, figures_of, is_stale
from envoi.segments.models import Segment
from envoi.webkit import current


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many good recipients a channel has."""

    channel: str
    label: str
    customers: int
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Worth:
    """A segment's figures; `waiting` says that they are being counted."""

    segment_id: int
    figures: SegmentFigures | None
    waiting: bool
    reach: tuple[Reach, ...]
    channels: tuple[tuple[str, str], ...]
    """The channels that a mailing can be created for."""


def worth_of(session: Session, segment: Segment) -> Worth:
    """Read a segment's figures; old ones are announced to be counted again."""
    figures = figures_of(segment.figures)
    waiting = is_stale(figures, segment.version, datetime.now(UTC))
    if waiting:
        announce_figures(session, current.tenant_id, segment.id)
    visible = current.plugins.for_tenant(session, current.tenant_id).channels
    return Worth(
        segment_id=segment.id,
        figures=figures,
        waiting=waiting,
        reach=tuple(_reach(figures)),
        channels=tuple((name, gettext(spec.label)) for name, spec in sorted(visible.items())),
    )


def _reach(figures: SegmentFigures | None) -> list[Reach]:
    if figures is None:
        return []
    channels = current.plugins.channels
    return [
        Reach(
            channel=name,
            label=gettext(channels[name].label),
            customers=count,
            share=count / figures.customers if figures.customers else None,
        )
        for name, count in figures.reachable.items()
        if name in channels
    ]
