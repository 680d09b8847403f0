"""What is done with a segment: its customers go to a target audience or into a file."""

from __future__ import annotations

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.errors import Problem, ValidationFailedError
from envoi.exports.kinds import SEGMENT_CUSTOMERS
from envoi.exports.service import request_export
from envoi.jobs import Work, hint
from envoi.segments.models import Segment
from envoi.segments.service import get_segment
from envoi.target_audiences.pending import ask_change
from envoi.target_audiences.queries import list_audiences
from envoi.target_audiences.service import create_audience
from envoi.webkit import allowed, current, page, permission, see_other
from envoi_web.segments.blueprint import segments


@segments.get("/<int:segment_id>/audience")
@permission("audiences.edit")
def audience(segment_id: int) -> Response:
    """Ask which target audience the segment's customers are added to or taken out of."""
    return _form(segment_id, request.args.get("do", "add"), [])


@segments.post("/<int:segment_id>/audience")
@permission("audiences.edit")
def change_audience(segment_id: int) -> Response:
    """Add the segment's customers to a target audience, or take them out."""
    do = request.form.get("do", "add")
    try:
        with current.session() as session:
            segment = get_segment(session, current.tenant_id, segment_id)
            audience_id = _chosen(session)
            ask_change(
                session,
                current.tenant_id,
                audience_id,
                segment.tree,
                add=do == "add",
                plugins=current.plugins,
            )
    except ValidationFailedError as error:
        return _form(segment_id, do, list(error.problems))
    hint(current.installation.broker, Work.AUDIENCE, current.tenant_id, audience_id)
    return see_other(url_for("audiences.show", audience_id=audience_id))


@segments.post("/<int:segment_id>/export")
@permission("customers.export")
def export(segment_id: int) -> Response:
    """Let the segment's customers be written into a file."""
    with current.session() as session:
        segment = get_segment(session, current.tenant_id, segment_id)
        made = request_export(
            session,
            current.tenant_id,
            SEGMENT_CUSTOMERS,
            {"segment": segment_id, "contacts": allowed("customers.contacts")},
            current.account_id,
            name=segment.name,
        )
    hint(current.installation.broker, Work.EXPORT, current.tenant_id, made.id)
    return see_other(url_for("exports.index"))


def _chosen(session: Session) -> int:
    """The audience that was chosen, or a new one by the name that was typed."""
    form = request.form
    if form.get("name", "").strip() and form.get("do", "add") == "add":
        made = create_audience(session, current.tenant_id, form["name"], current.account_id)
        return made.id
    chosen = form.get("audience_id", type=int)
    if not chosen:
        raise ValidationFailedError([Problem("audience_id", "Choose a target audience.")])
    return chosen


def _form(segment_id: int, do: str, problems: list[Problem]) -> Response:
    with current.session() as session:
        segment: Segment = get_segment(session, current.tenant_id, segment_id)
        audiences = list_audiences(session, current.tenant_id)
    adding = do != "remove"
    title = _("Add to target audience") if adding else _("Remove from target audience")
    return page(
        "segments/audience.html",
        status=422 if problems else 200,
        segment=segment,
        adding=adding,
        title=title,
        audiences=audiences,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=[
            (_("User segments"), url_for("segments.index")),
            (segment.name, url_for("segments.edit", segment_id=segment_id)),
            (title, ""),
        ],
    )
