"""Pages of target audiences: the list, and the customers of one with adding and removing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.errors import Problem, ValidationFailedError
from envoi.exports.kinds import AUDIENCE_CUSTOMERS
from envoi.exports.service import request_export
from envoi.jobs import Work, hint
from envoi.segments.members import count_among, customers_among
from envoi.segments.queries import list_segments
from envoi.segments.service import get_segment
from envoi.target_audiences import service
from envoi.target_audiences.pending import ask_change
from envoi.target_audiences.queries import AudienceRow, list_audiences, members_of, users_of
from envoi.webkit import (
    allowed,
    current,
    page,
    page_url,
    paging_of,
    permission,
    rows_per_page,
    see_other,
    toast,
)
from envoi.webkit.formats import number
from envoi_web.audiences.blueprint import audiences
from envoi_web.customers.context import contact, full_name, total_words

_LONGEST_SEARCH = 100
_SORTS: dict[str, Callable[[AudienceRow], Any]] = {
    "name": lambda row: row.name.casefold(),
    "customers": lambda row: row.customers,
    "set": lambda row: row.set_at,
    "used": lambda row: len(row.used_by),
}


@audiences.get("/")
@permission("audiences.view")
def index() -> Response:
    """List the target audiences."""
    return _list([])


@audiences.post("/")
@permission("audiences.edit")
def create() -> Response:
    """Make an empty target audience."""
    try:
        with current.session() as session:
            made = service.create_audience(
                session, current.tenant_id, request.form.get("name", ""), current.account_id
            )
    except ValidationFailedError as error:
        return _list(list(error.problems))
    toast(_("Target audience created. Add customers from a segment or by import."))
    return see_other(url_for("audiences.show", audience_id=made.id))


@audiences.get("/<int:audience_id>")
@permission("audiences.view")
def show(audience_id: int) -> Response:
    """Show an audience with its customers, where the role may see customers."""
    return _show(audience_id, [])


@audiences.post("/<int:audience_id>")
@permission("audiences.edit")
def rename(audience_id: int) -> Response:
    """Give an audience another name."""
    name = request.form.get("name", "")
    try:
        with current.session() as session:
            service.rename_audience(session, current.tenant_id, audience_id, name)
    except ValidationFailedError as error:
        return _show(audience_id, list(error.problems))
    toast(_("Target audience renamed."))
    return see_other(url_for("audiences.show", audience_id=audience_id))


@audiences.post("/<int:audience_id>/delete")
@permission("audiences.edit")
def delete(audience_id: int) -> Response:
    """Delete an audience that nothing uses; its customers stay."""
    with current.session() as session:
        service.delete_audience(session, current.tenant_id, audience_id)
    toast(_("Target audience deleted. Its customers stay customers."))
    return see_other(url_for("audiences.index"))


@audiences.post("/<int:audience_id>/segment")
@permission("audiences.edit")
def by_segment(audience_id: int) -> Response:
    """Add the customers of a segment, or take them out."""
    add = request.form.get("do") != "remove"
    try:
        _ask_change(audience_id, request.form.get("segment_id", type=int), add)
    except ValidationFailedError as error:
        return _show(audience_id, list(error.problems))
    hint(current.installation.broker, Work.AUDIENCE, current.tenant_id, audience_id)
    return see_other(url_for("audiences.show", audience_id=audience_id))


@audiences.post("/<int:audience_id>/remove")
@permission("audiences.edit")
def remove(audience_id: int) -> Response:
    """Take one customer out."""
    customer_id = request.form.get("customer_id", 0, type=int)
    with current.session() as session:
        one = service.one_customer(current.tenant_id, customer_id)
        changed = service.remove_customers(session, current.tenant_id, audience_id, one)
    toast(removed_words(changed))
    return see_other(url_for("audiences.show", audience_id=audience_id))


@audiences.post("/<int:audience_id>/export")
@permission("customers.export")
def export(audience_id: int) -> Response:
    """Let the audience's customers be written into a file."""
    with current.session() as session:
        audience = service.get_audience(session, current.tenant_id, audience_id)
        params = {"audience": audience_id, "contacts": allowed("customers.contacts")}
        made = request_export(
            session,
            current.tenant_id,
            AUDIENCE_CUSTOMERS,
            params,
            current.account_id,
            name=audience.name,
        )
    hint(current.installation.broker, Work.EXPORT, current.tenant_id, made.id)
    return see_other(url_for("exports.index"))


def removed_words(count: int) -> str:
    """How many customers were taken out."""
    return str(
        ngettext(
            "%(count)s customer was taken out.",
            "%(count)s customers were taken out.",
            count,
            count=number(count),
        )
    )


def _ask_change(audience_id: int, segment_id: int | None, add: bool) -> None:
    if not segment_id:
        raise ValidationFailedError([Problem("segment_id", "Choose a segment.")])
    with current.session() as session:
        segment = get_segment(session, current.tenant_id, segment_id)
        ask_change(
            session,
            current.tenant_id,
            audience_id,
            segment.tree,
            add=add,
            plugins=current.plugins,
        )


def _list(problems: list[Problem]) -> Response:
    search = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    sort = request.args.get("sort", "name")
    sort = sort if sort.removeprefix("-") in _SORTS else "name"
    with current.session() as session:
        rows = list_audiences(session, current.tenant_id)
    found = [row for row in rows if search.casefold() in row.name.casefold()]
    found.sort(key=_SORTS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    paging = paging_of(len(found))
    return page(
        "audiences/list.html",
        fragments=("audience_rows",),
        status=422 if problems else 200,
        audiences=found[paging.offset : paging.offset + paging.size],
        total=len(rows),
        search=search,
        sort=sort,
        paging=paging,
        problems=problems,
        name=request.form.get("name", ""),
    )


def _show(audience_id: int, problems: list[Problem]) -> Response:
    search = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    with current.session() as session:
        audience = service.get_audience(session, current.tenant_id, audience_id)
        context = _members(session, audience_id, search) if allowed("customers.view") else {}
        users = users_of(session, current.tenant_id, audience_id)
        segments = list_segments(session, current.tenant_id) if allowed("audiences.edit") else []
    return page(
        "audiences/show.html",
        fragments=("customer_rows", "audience_course"),
        status=422 if problems else 200,
        audience=audience,
        users=users,
        segments=[("", _("Choose")), *((s.id, s.name) for s in segments)],
        search=search,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=[(_("Target audiences"), url_for("audiences.index")), (audience.name, "")],
        **context,
    )


def _members(session: Session, audience_id: int, search: str) -> dict[str, Any]:
    ids, size = members_of(current.tenant_id, audience_id), rows_per_page(25)
    found = customers_among(
        session,
        current.tenant_id,
        ids,
        search=search,
        size=size,
        after=request.args.get("after", type=int),
        before=request.args.get("before", type=int),
    )
    total = count_among(session, current.tenant_id, ids, search=search)
    return {
        "customers": found.customers,
        "total": total_words(total, bool(search)),
        "size": size,
        "previous_url": found.before and page_url(before=found.before, after=None),
        "next_url": found.after and page_url(after=found.after, before=None),
        "full_name": full_name,
        "contact": contact,
    }
