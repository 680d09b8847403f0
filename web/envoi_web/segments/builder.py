"""The builder of a segment, and the preview that every change asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.customers.search import offered_products
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.jobs import Work, hint
from envoi.segments.catalogue import load_catalogue
from envoi.segments.counting import (
    Count,
    SupersededError,
    TooLongError,
    exact_count,
    live_count,
)
from envoi.segments.models import Segment
from envoi.segments.queries import SampledCustomer, sampled_customers, users_of
from envoi.segments.service import (
    create_segment,
    get_segment,
    just_created,
    store_count,
    stored_form,
    update_segment,
)
from envoi.segments.tree import Group, dump, parse, parse_json
from envoi.segments.versions import list_versions
from envoi.webkit import allowed, current, page, parts, permission, respond, see_other, toast
from envoi.webkit.formats import number, translated
from envoi.webkit.htmx import is_fragment, target
from envoi_web.segments.blueprint import segments
from envoi_web.segments.context import Builder
from envoi_web.segments.draft import (
    Draft,
    changed,
    empty_draft,
    json_of,
    place_of,
    read_draft,
    resulting_place,
)
from envoi_web.segments.worth import worth_of

_PAGE = "segments/edit.html"
_LONGEST_SEARCH = 100


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """What somebody else has saved meanwhile, beside what is being edited."""

    theirs: Segment
    saved_by: str
    their_sentence: str
    my_sentence: str


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
    focus: str = ""
    """The place that a button has just made or moved."""
    superseded: bool = False
    """Whether a newer request has cancelled the count, so that it is asked for once more."""
    conflict: Conflict | None = None


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
        # Requests may come in another order than they were made in, so the page asks again.
        counted = replace(edited, superseded=True)
    return _fragments(counted) if is_fragment() else _page(counted)


@segments.get("/products")
@permission("segments.view")
def products() -> Response:
    """Offer products while a person types one; conditions store their codes."""
    typed = request.args.get("q", "").replace("\0", "").strip()[:_LONGEST_SEARCH]
    with current.session() as session:
        found = offered_products(session, current.tenant_id, typed) if typed else []
    return page("segments/products.html", products=found)


@segments.post("/exact")
@permission("segments.view")
def exact() -> Response:
    """Count exactly what was counted by a sample first; asked for by the page itself."""
    segment_id = request.form.get("segment", type=int)
    with current.session() as session:
        segment = get_segment(session, current.tenant_id, segment_id) if segment_id else None
    edited = _posted(segment)
    try:
        group = parse(edited.draft)
        count = exact_count(current.database, current.tenant_id, group, **_counting())
    except (SupersededError, ValidationFailedError):
        return respond("", 204)
    except TooLongError as error:
        return _parts(
            replace(edited, problems=[Problem("", translated(str(error)))]), ["result", "bar"]
        )
    _remember(edited, group, count)
    return _parts(replace(edited, count=count), ["result", "bar"])


def _posted(segment: Segment | None) -> Edited:
    form, action = request.form, request.form.get("do", "")
    edited = Edited(segment=segment, name=form.get("name", ""), draft=empty_draft(), asked=True)
    if action == "json":
        return _from_json(edited, form.get("json", ""))
    with current.session() as session:
        builder = _builder(session)
    before = read_draft(form)
    draft = builder.settled(changed(before, action, form))
    return replace(edited, draft=draft, focus=resulting_place(before, action))


def _from_json(edited: Edited, text: str) -> Edited:
    """Take a pasted tree over; one that cannot be read leaves the builder as it was."""
    try:
        return replace(edited, draft=dump(parse_json(text)))
    except ValidationFailedError as error:
        found = [Problem("json", translated(problem.message)) for problem in error.problems]
        return replace(edited, draft=read_draft(request.form), problems=found, json=text)


def _builder(
    session: Session,
    errors: Mapping[str, str] | None = None,
    counts: Mapping[str, str] | None = None,
) -> Builder:
    catalogue = load_catalogue(session, current.tenant_id, current.plugins)
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    return Builder(session, catalogue, plugins, errors or {}, counts or {})


def _counted(edited: Edited) -> Edited:
    """Count the draft, unless it has problems already; an empty one waits for a condition."""
    if edited.problems or edited.draft == empty_draft():
        return edited
    try:
        group = parse(edited.draft)
        count = live_count(current.database, current.tenant_id, group, **_counting())
    except TooLongError as error:
        return replace(edited, problems=[Problem("", translated(str(error)))])
    except ValidationFailedError as error:
        return edited if _just_begun() else replace(edited, problems=_placed(error))
    _remember(edited, group, count)
    return replace(edited, count=count, samples=_samples(count))


def _counting() -> dict[str, Any]:
    return {
        "editor": str(current.account_id or 0),
        "now": datetime.now(UTC),
        "plugins": current.plugins,
    }


def _just_begun() -> bool:
    """Whether the button made something new, which cannot be complete yet."""
    return request.form.get("do", "").startswith(("add:", "group:"))


def _remember(edited: Edited, group: Group, count: Count) -> None:
    """Keep an exact count of a stored segment's own conditions."""
    if edited.segment is None or not count.exact:
        return
    with current.session() as session:
        same = stored_form(session, current.tenant_id, group, current.plugins)
        if edited.segment.tree == dump(same):
            store_count(
                session, current.tenant_id, edited.segment.id, count.customers, count.counted_at
            )


def _samples(count: Count) -> Sequence[SampledCustomer]:
    if not count.examples or not allowed("segments.samples"):
        return ()
    with current.session() as session:
        return sampled_customers(session, current.tenant_id, count.examples)


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
    except ConflictError:
        return _page(replace(edited, conflict=_conflict(edited)))
    hint(current.installation.broker, Work.FIGURES, current.tenant_id, stored.id)
    toast(_("Segment saved."))
    return see_other(url_for("segments.edit", segment_id=stored.id))


def _store(session: Session, segment_id: int | None, edited: Edited) -> Segment:
    group = parse(edited.draft)
    if segment_id is None:
        again = just_created(session, current.tenant_id, edited.name, current.account_id)
        return again or create_segment(
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
        version=request.form.get("over", type=int) or request.form.get("version", 0, type=int),
        name=edited.name,
        tree=group,
        plugins=current.plugins,
        saved_by=current.account_id,
    )


def _conflict(edited: Edited) -> Conflict:
    """What the other person saved, so that nothing of either is lost."""
    assert edited.segment is not None
    with current.session() as session:
        theirs = get_segment(session, current.tenant_id, edited.segment.id)
        newest = list_versions(session, current.tenant_id, theirs.id)[0]
        builder = _builder(session)
        return Conflict(
            theirs=theirs,
            saved_by=newest.saved_by,
            their_sentence=builder.say(parse(theirs.tree)),
            my_sentence=builder.say(parse(edited.draft)),
        )


def _page(edited: Edited) -> Response:
    status = 409 if edited.conflict else 422 if edited.problems else 200
    return page(_PAGE, status=status, **_context(edited), **_around(edited.segment))


def _fragments(edited: Edited) -> Response:
    """The part that asked, and out of band what else follows from the draft."""
    if target() == "builder":
        return _parts(edited, ["builder", "result", "follows", "bar"])
    return _parts(edited, ["result", "follows", "bar", "counts"])


def _parts(edited: Edited, blocks: Sequence[str]) -> Response:
    return parts(_PAGE, blocks, status=422 if edited.problems else 200, **_context(edited))


def _context(edited: Edited) -> dict[str, Any]:
    errors = {problem.field: problem.message for problem in edited.problems}
    segment = edited.segment
    with current.session() as session:
        builder = _builder(session, errors, _counts(edited.count))
        tree, sentence = builder.tree(edited.draft), _sentence(edited, builder)
    title = segment.name if segment else _("New segment")
    return {
        "edited": edited,
        "segment": segment,
        "version": request.form.get("version", segment.version if segment else 0),
        "tree": tree,
        "counts": builder.counts,
        "choices": builder.choices(),
        "json": edited.json or json_of(edited.draft),
        "problems": edited.problems,
        "errors": errors,
        "sentence": sentence,
        "title": title,
        "crumbs": [
            (_("Customers"), ""),
            (_("User segments"), url_for("segments.index")),
            (title, ""),
        ],
    }


def _around(segment: Segment | None) -> dict[str, Any]:
    """What a whole page shows besides the conditions and what follows from them."""
    if segment is None:
        return {"users": [], "worth": None, "saved_by": ""}
    with current.session() as session:
        versions = list_versions(session, current.tenant_id, segment.id)
        return {
            "users": users_of(session, current.tenant_id, segment.id),
            "worth": worth_of(session, segment),
            "saved_by": versions[0].saved_by if versions else "",
        }


def _counts(count: Count | None) -> Mapping[str, str]:
    """How many customers each node holds for, by its place; about, where that is so."""
    if count is None:
        return {}
    about = "" if count.exact else "≈\u00a0"
    return {
        place_of(path): f"{about}{number(found)}" for path, found in count.branches.items() if path
    }


def _sentence(edited: Edited, builder: Builder) -> str:
    """The conditions in words, once they are complete."""
    if (edited.asked and edited.count is None) or edited.draft == empty_draft():
        return ""
    return builder.say(parse(edited.draft))
