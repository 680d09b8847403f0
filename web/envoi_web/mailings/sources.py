"""Whom a mailing can go to: segments, target audiences, everybody, the customer list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.mailings.models import Mailing
from envoi.segments.catalogue import load_catalogue
from envoi.segments.figures import SegmentFigures, figures_of
from envoi.segments.models import Segment
from envoi.segments.queries import list_segments
from envoi.segments.tree import parse
from envoi.target_audiences.models import TargetAudience
from envoi.target_audiences.queries import list_audiences
from envoi.webkit import allowed, current
from envoi_web.conditions import sayer


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who is to get a mailing, as the page shows it; `value` is what a form sends."""

    kind: str
    id: int
    name: str
    sentence: str = ""
    url: str = ""
    customers: int | None = None
    counted_at: datetime | None = None
    used_by: int = 0
    figures: SegmentFigures | None = None
    problem: str = ""

    @property
    def value(self) -> str:
        """What a form sends for this source."""
        return f"{self.kind}:{self.id}" if self.id else self.kind

    @property
    def is_segment(self) -> bool:
        """Whether it is a segment, and not a target audience."""
        return self.kind == "segment"


def sources(session: Session, tenant_id: int, wanted: str) -> list[Source]:
    """Return the segments and target audiences whose names have these words."""
    segments = [
        Source(
            kind="segment",
            id=s.id,
            name=s.name,
            customers=s.customers,
            counted_at=s.counted_at,
            used_by=len(s.used_by),
        )
        for s in list_segments(session, tenant_id)
    ]
    audiences = [
        Source(
            kind="audience",
            id=a.id,
            name=a.name,
            customers=a.customers,
            counted_at=a.set_at,
            used_by=len(a.used_by),
        )
        for a in list_audiences(session, tenant_id)
    ]
    return [s for s in [*segments, *audiences] if wanted.lower() in s.name.lower()]


def source_of(session: Session, mailing: Mailing) -> Source | None:
    """Return who is to get a mailing; None where nobody was chosen yet."""
    key = mailing.tenant_id
    if mailing.segment_id is not None:
        return _segment(session, session.get_one(Segment, (key, mailing.segment_id)))
    if mailing.audience_id is not None:
        audience = session.get_one(TargetAudience, (key, mailing.audience_id))
        return Source(
            kind="audience",
            id=audience.id,
            name=audience.name,
            sentence=_("Everybody on this list of customers."),
            customers=audience.size,
        )
    if mailing.tree:
        words = sentence_of(session, key, mailing.tree)
        return Source(kind="list", id=0, name=_("Customers found in the list"), sentence=words)
    if mailing.tree is not None:
        return Source(kind="all", id=0, name=_("All customers"), sentence=_("The whole base."))
    return None


def sentence_of(session: Session, tenant_id: int, tree: Mapping[str, Any]) -> str:
    """Say a tree in words."""
    catalogue = load_catalogue(session, tenant_id, current.plugins)
    return sayer(session, catalogue, current.plugins)(parse(tree))


def _segment(session: Session, segment: Segment) -> Source:
    url = url_for("segments.edit", segment_id=segment.id) if allowed("segments.edit") else ""
    return Source(
        kind="segment",
        id=segment.id,
        name=segment.name,
        sentence=sentence_of(session, segment.tenant_id, segment.tree),
        url=url,
        customers=segment.last_count,
        figures=figures_of(segment.figures),
    )
