"""Pages of segments: the list, the builder, and the preview that every change asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.segments.catalogue import load_catalogue
from envoi.segments.counting import Count, SupersededError, live_count, sample
from envoi.segments.criteria import Words, in_words
from envoi.segments.models import Segment
from envoi.segments.queries import SampledCustomer, list_segments, users_of
from envoi.segments.service import (
    create_segment,
    delete_segment,
    get_segment,
    store_count,
    stored_form,
    update_segment,
)
from envoi.segments.tree import Group, dump, parse, parse_json
from envoi.webkit import (
    Blueprint,
    allowed,
    current,
    fragment,
    page,
    permission,
    respond,
    see_other,
    toast,
)
from envoi.webkit.formats import day, number
from envoi.webkit.htmx import is_fragment, target
from envoi_web.segments.context import Builder
from envoi_web.segments.draft import (
    Draft,
    changed,
    empty_draft,
    json_of,
    place_of,
    read_draft,
)

segments = Blueprint("segments", __name__, url_prefix="/segments")

_PAGE = "segments/edit.html"


@dataclass(frozen=True, kw_only=True)
class Edited:
    """What is being edited: the stored segment, if any, and the draft as it stands."""

    segment: Segment | None
    name: str
    draft: Draft
    json: str = ""
    problems: Sequence[Problem] = ()
    count: Count | None = None
    samples: Sequence[SampledCustomer] = ()
    asked: bool = False
    """Whether a count was asked for, so that its problems are shown."""


@segments.get("/")
@permission("segments.view")
def index() -> Response:
    """List the segments."""
    with current.session() as session:
        found = list_segments(session, current.tenant_id)
    return page("segments/list.html", segments=found)


@segments.get("/new")
@permission("segments.edit")
def new() -> Response:
    """Show an empty builder."""
    return _page(Edited(segment=None, name="", draft=empty_draft()))


@segments.post("/new")
@permission("segments.edit")
def create() -> Response:
    """Save a new segment."""
    return _save(None)


@segments.get("/<int:segment_id>")
@permission("segments.view")
def edit(segment_id: int) -> Response:
    """Show a segment's conditions; the count follows by itself."""
    with current.session() as session:
        segment = get_segment(session, current.tenant_id, segment_id)
    return _page(Edited(segment=segment, name=segment.name, draft=segment.tree))


@segments.post("/<int:segment_id>")
@permission("segments.edit")
def save(segment_id: int) -> Response:
    """Save a segment's changes."""
    return _save(segment_id)


@segments.post("/<int:segment_id>/delete")
@permission("segments.edit")
def delete(segment_id: int) -> Response:
    """Delete a segment that nothing uses."""
    with current.session() as session:
        delete_segment(session, current.tenant_id, segment_id)
    toast(_("Segment deleted."))
    return see_other(url_for("segments.index"))


@segments.post("/preview")
@permission("segments.view")
def preview() -> Response:
    """Apply one button, count, and show the builder or only what follows from it."""
    segment_id = request.form.get("segment", type=int)
    with current.session() as session:
        segment = get_segment(session, current.tenant_id, segment_id) if segment_id else None
    edited = _posted(segment)
    try:
        counted = _counted(edited)
    except SupersededError:
        return respond("", 204)
    return _fragments(counted) if is_fragment() else _page(counted)


def _posted(segment: Segment | None) -> Edited:
    form, action = request.form, request.form.get("do", "")
    edited = Edited(segment=segment, name=form.get("name", ""), draft=empty_draft(), asked=True)
    if action == "json":
        return _from_json(edited, form.get("json", ""))
    with current.session() as session:
        builder = _builder(session)
    return replace(edited, draft=builder.settled(changed(read_draft(form), action, form)))


def _from_json(edited: Edited, text: str) -> Edited:
    """Take a pasted tree over; one that cannot be read leaves the builder as it was."""
    try:
        return replace(edited, draft=dump(parse_json(text)))
    except ValidationFailedError as error:
        found = [Problem("json", _(problem.message)) for problem in error.problems]
        return replace(edited, draft=read_draft(request.form), problems=found, json=text)


def _builder(session: Session, errors: Mapping[str, str] | None = None) -> Builder:
    catalogue = load_catalogue(session, current.tenant_id)
    return Builder(catalogue, current.plugins.for_tenant(session, current.tenant_id), errors or {})


def _counted(edited: Edited) -> Edited:
    """Count the draft, unless it has problems already; an empty one waits for a condition."""
    if edited.problems or edited.draft == empty_draft():
        return edited
    now = datetime.now(UTC)
    try:
        group = parse(edited.draft)
        count = live_count(
            current.database,
            current.tenant_id,
            group,
            editor=str(current.account_id or 0),
            now=now,
            plugins=current.plugins,
        )
    except ValidationFailedError as error:
        return edited if _just_begun() else replace(edited, problems=_placed(error))
    return replace(edited, count=count, samples=_samples(edited, group, count))


def _just_begun() -> bool:
    """Whether the button made something new, which cannot be complete yet."""
    return request.form.get("do", "").startswith(("add:", "group:"))


def _samples(edited: Edited, group: Group, count: Count) -> Sequence[SampledCustomer]:
    with current.session() as session:
        same = stored_form(session, current.tenant_id, group, current.plugins)
        if edited.segment and count.exact and edited.segment.tree == dump(same):
            store_count(
                session, current.tenant_id, edited.segment.id, count.customers, count.counted_at
            )
        if not count.customers or not allowed("segments.samples"):
            return ()
        return sample(
            session,
            current.tenant_id,
            group,
            now=count.counted_at,
            plugins=current.plugins,
            whole=count.exact,
        )


def _placed(error: ValidationFailedError) -> list[Problem]:
    """The problems at the fields of the form."""
    return [
        Problem("name" if p.field == "name" else place_of(p.field), _(p.message))
        for p in error.problems
    ]


def _save(segment_id: int | None) -> Response:
    with current.session() as session:
        segment = (
            None if segment_id is None else get_segment(session, current.tenant_id, segment_id)
        )
    edited = _posted(segment)
    try:
        with current.session() as session:
            stored = _store(session, segment_id, edited)
    except ValidationFailedError as error:
        return _page(replace(edited, problems=_placed(error)))
    except ConflictError as error:
        return _page(replace(edited, problems=[Problem("", str(error))]))
    toast(_("Segment saved."))
    return see_other(url_for("segments.edit", segment_id=stored.id))


def _store(session: Session, segment_id: int | None, edited: Edited) -> Segment:
    group = parse(edited.draft)
    if segment_id is None:
        return create_segment(
            session,
            current.tenant_id,
            name=edited.name,
            tree=group,
            plugins=current.plugins,
            created_by=current.account_id,
        )
    return update_segment(
        session,
        current.tenant_id,
        segment_id,
        version=request.form.get("version", 0, type=int),
        name=edited.name,
        tree=group,
        plugins=current.plugins,
    )


def _page(edited: Edited) -> Response:
    return page(_PAGE, status=422 if edited.problems else 200, **_context(edited))


def _fragments(edited: Edited) -> Response:
    """The part that asked, and out of band what else follows from the draft."""
    context = _context(edited)
    blocks = ["result", "follows", "bar"]
    if target() == "builder":
        blocks = ["builder", "result", "follows", "bar"]
    parts = [
        fragment(_PAGE, block, **context, oob=number > 0).get_data(as_text=True)
        for number, block in enumerate(blocks)
    ]
    return respond("".join(parts), 422 if edited.problems else 200)


def _context(edited: Edited) -> dict[str, Any]:
    errors = {problem.field: problem.message for problem in edited.problems}
    with current.session() as session:
        builder = _builder(session, errors)
        users = users_of(session, current.tenant_id, edited.segment.id) if edited.segment else []
    title = edited.segment.name if edited.segment else _("New segment")
    return {
        "edited": edited,
        "segment": edited.segment,
        "version": request.form.get("version", edited.segment.version if edited.segment else 0),
        "users": users,
        "tree": builder.tree(edited.draft),
        "choices": builder.choices(),
        "json": edited.json or json_of(edited.draft),
        "problems": edited.problems,
        "errors": errors,
        "sentence": _sentence(edited, builder),
        "title": title,
        "crumbs": [
            (_("Customers"), ""),
            (_("User segments"), url_for("segments.index")),
            (title, ""),
        ],
    }


def _sentence(edited: Edited, builder: Builder) -> str:
    """The conditions in words, once they are complete."""
    if (edited.asked and edited.count is None) or edited.draft == empty_draft():
        return ""
    words = Words(text=_, number=number, day=day)
    return in_words(parse(edited.draft), builder.catalogue, builder.plugins, words=words)
