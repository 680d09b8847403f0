"""The list of segments, and the customers of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _

from envoi.jobs import Work, hint
from envoi.segments.compile import customer_ids
from envoi.segments.figures import SegmentFigures, announce_figures, figures_of, is_stale
from envoi.segments.members import count_among, customers_among
from envoi.segments.queries import SegmentRow, SegmentUse, list_segments
from envoi.segments.service import delete_segment, get_segment
from envoi.webkit import (
    current,
    page,
    page_url,
    paging_of,
    permission,
    rows_per_page,
    see_other,
    toast,
)
from envoi_web.customers.context import contact, full_name, total_words
from envoi_web.segments.blueprint import segments
from envoi_web.segments.worth import worth_of

_LONGEST_SEARCH = 100


@dataclass(frozen=True, kw_only=True)
class ListedSegment:
    """A segment with its figures; `waiting` says that they are being counted."""

    id: int
    name: str
    customers: int | None
    counted_at: datetime | None
    figures: SegmentFigures | None
    waiting: bool
    used_by: tuple[SegmentUse, ...]


@segments.get("/")
@permission("segments.view")
def index() -> Response:
    """List the segments with what they are worth; old figures are counted again."""
    search = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    sort = request.args.get("sort", "name")
    sort = sort if sort.removeprefix("-") in _SORTS else "name"
    with current.session() as session:
        rows = [_listed(row) for row in list_segments(session, current.tenant_id)]
        found = [row for row in rows if search.casefold() in row.name.casefold()]
        paging = paging_of(len(found))
        shown = _sorted(found, sort)[paging.offset : paging.offset + paging.size]
        waiting = [row.id for row in shown if row.waiting]
        for segment_id in waiting:
            announce_figures(session, current.tenant_id, segment_id)
    _hint(waiting)
    return page(
        "segments/list.html",
        fragments=("segment_rows",),
        segments=shown,
        total=len(rows),
        search=search,
        sort=sort,
        paging=paging,
    )


@segments.post("/figures")
@permission("segments.view")
def count_again() -> Response:
    """Let the figures of the segments on a page be counted again."""
    asked = set(request.form.getlist("segment_ids", type=int))
    with current.session() as session:
        known = [r.id for r in list_segments(session, current.tenant_id) if r.id in asked]
        for segment_id in known:
            announce_figures(session, current.tenant_id, segment_id)
    _hint(known)
    toast(_("The figures are being counted. They are here in a moment."))
    return see_other(url_for("segments.index"))


@segments.get("/<int:segment_id>/figures")
@permission("segments.view")
def figures(segment_id: int) -> Response:
    """Show what a segment is worth; asked again until it is counted."""
    with current.session() as session:
        worth = worth_of(session, get_segment(session, current.tenant_id, segment_id))
    return page("segments/worth.html", worth=worth)


@segments.get("/<int:segment_id>/customers")
@permission("segments.samples")
def customers(segment_id: int) -> Response:
    """List the customers of a segment as it is now."""
    tenant_id = current.tenant_id
    search = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    with current.session() as session:
        segment = get_segment(session, tenant_id, segment_id)
        ids = customer_ids(
            session, tenant_id, segment.tree, now=datetime.now(UTC), plugins=current.plugins
        )
        found = customers_among(session, tenant_id, ids, search=search, **_place())
        total = count_among(session, tenant_id, ids, search=search)
    return page(
        "segments/customers.html",
        fragments=("customer_rows",),
        segment=segment,
        search=search,
        customers=found.customers,
        total=total_words(total, bool(search)),
        size=rows_per_page(25),
        previous_url=found.before and page_url(before=found.before, after=None),
        next_url=found.after and page_url(after=found.after, before=None),
        full_name=full_name,
        contact=contact,
        crumbs=[
            (_("User segments"), url_for("segments.index")),
            (segment.name, url_for("segments.edit", segment_id=segment_id)),
            (_("Customers"), ""),
        ],
    )


@segments.post("/<int:segment_id>/delete")
@permission("segments.edit")
def delete(segment_id: int) -> Response:
    """Delete a segment that nothing uses."""
    with current.session() as session:
        delete_segment(session, current.tenant_id, segment_id)
    toast(_("Segment deleted."))
    return see_other(url_for("segments.index"))


def _place() -> dict[str, Any]:
    args = request.args
    place = {"after": args.get("after", type=int), "before": args.get("before", type=int)}
    return {**place, "size": rows_per_page(25)}


def _listed(row: SegmentRow) -> ListedSegment:
    figures = figures_of(row.figures)
    return ListedSegment(
        id=row.id,
        name=row.name,
        customers=row.customers,
        counted_at=row.counted_at,
        figures=figures,
        waiting=is_stale(figures, row.version, datetime.now(UTC)),
        used_by=row.used_by,
    )


_SORTS: dict[str, Callable[[ListedSegment], Any]] = {
    "name": lambda row: row.name.casefold(),
    "customers": lambda row: row.customers,
    "share": lambda row: row.figures and row.figures.share_of_base,
    "revenue": lambda row: row.figures and row.figures.share_of_revenue,
    "average": lambda row: row.figures and row.figures.average_receipt,
    "total": lambda row: row.figures and row.figures.total,
    "counted": lambda row: row.counted_at,
    "used": lambda row: len(row.used_by),
}


def _sorted(rows: list[ListedSegment], sort: str) -> list[ListedSegment]:
    """Sort by a column; segments without the figure come last either way."""
    value = _SORTS[sort.removeprefix("-")]
    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=sort.startswith("-"))
    return known + [row for row in rows if value(row) is None]


def _hint(segment_ids: list[int]) -> None:
    for segment_id in segment_ids:
        hint(current.installation.broker, Work.FIGURES, current.tenant_id, segment_id)
