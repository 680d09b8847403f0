"""Pages of the templates: the list with previews, one template, and starting a mailing from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flask import Response, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.orm import Session

from envoi.errors import EnvoiError, Problem, ValidationFailedError
from envoi.library import templates as service
from envoi.library.files import Library
from envoi.library.models import Template
from envoi.library.queries import folders
from envoi.library.templates import StartingTemplate
from envoi.mailings.content import rendered
from envoi.mailings.service import create_draft, just_drafted
from envoi.webkit import Blueprint, current, page, paging_of, permission, see_other, toast
from envoi.webkit.formats import translated
from envoi_web.library.images import crumbs
from envoi_web.mailings.preview import document, foreign

templates = Blueprint("templates", __name__, url_prefix="/templates")

_LONGEST_SEARCH = 100
_PROBLEM = Markup('<!doctype html><meta charset="utf-8"><title>{0}</title><p>{1}</p>')


@templates.get("/")
@permission("templates.view")
def index() -> Response:
    """Show the templates by name, and those that come with Envoi."""
    folder = request.args.get("folder")
    text = request.args.get("q", "").strip()[:_LONGEST_SEARCH]
    with current.session() as session:
        search = partial(
            service.list_templates, session, current.tenant_id, folder=folder, text=text
        )
        paging = paging_of(search(limit=0)[1], size=25)
        found, _total = search(limit=paging.size, offset=paging.offset)
        names = folders(session, current.tenant_id, Template)
    return page(
        "library/templates.html",
        templates=found,
        starting=service.starting_templates(_language()),
        folders=names,
        folder=folder,
        text=text,
        paging=paging,
        crumbs=crumbs(_("Templates")),
    )


@templates.get("/<int:template_id>")
@permission("templates.view")
def show(template_id: int) -> Response:
    """Show one template with its preview."""
    return _one(template_id, [])


@templates.post("/<int:template_id>")
@permission("templates.edit")
def save(template_id: int) -> Response:
    """Rename a template or move it to another folder."""
    try:
        with current.session() as session:
            service.edit_template(
                session,
                current.tenant_id,
                template_id,
                name=request.form.get("name", ""),
                folder=request.form.get("folder", ""),
            )
    except ValidationFailedError as error:
        return _one(template_id, error.problems)
    toast(_("Template saved."))
    return see_other(url_for("templates.show", template_id=template_id))


@templates.post("/<int:template_id>/duplicate")
@permission("templates.edit")
def duplicate(template_id: int) -> Response:
    """Copy a template."""
    with current.session() as session:
        made = service.duplicate_template(
            session, current.tenant_id, template_id, current.account_id
        )
    toast(_("Template duplicated. This is the copy."))
    return see_other(url_for("templates.show", template_id=made.id))


@templates.post("/<int:template_id>/delete")
@permission("templates.edit")
def delete(template_id: int) -> Response:
    """Delete a template; mailings made from it stay."""
    with current.session() as session:
        service.delete_template(session, current.tenant_id, template_id)
    toast(_("Template deleted."))
    return see_other(url_for("templates.index"))


@templates.post("/<int:template_id>/use")
@permission("mailings.edit")
def use(template_id: int) -> Response:
    """Make a mailing with a template's content."""
    with current.session() as session:
        return _mailing_from(session, service.get_template(session, current.tenant_id, template_id))


@templates.post("/starting/<code>/use")
@permission("mailings.edit")
def use_starting(code: str) -> Response:
    """Make a mailing with the content of a template that comes with Envoi."""
    with current.session() as session:
        return _mailing_from(session, service.starting_template(code, _language()))


@templates.get("/<int:template_id>/preview")
@permission("templates.view")
def preview(template_id: int) -> Response:
    """Render a template; only ever shown inside a sandboxed frame."""
    with current.session() as session:
        return _preview(session, service.get_template(session, current.tenant_id, template_id))


@templates.get("/starting/<code>/preview")
@permission("templates.view")
def preview_starting(code: str) -> Response:
    """Render a template that comes with Envoi."""
    with current.session() as session:
        return _preview(session, service.starting_template(code, _language()))


def _one(template_id: int, problems: Sequence[Problem]) -> Response:
    with current.session() as session:
        found = service.get_template(session, current.tenant_id, template_id)
        names = folders(session, current.tenant_id, Template)
    return page(
        "library/template.html",
        status=422 if problems else 200,
        shown=found,
        folders=names,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        crumbs=crumbs(_("Templates"), "templates.index", found.name),
    )


def _mailing_from(session: Session, template: Template | StartingTemplate) -> Response:
    mine = (session, current.tenant_id, template.channel, template.name, current.account_id)
    if (again := just_drafted(*mine)) is not None:
        return see_other(url_for("mailings.what", mailing_id=again.id))
    draft = create_draft(
        session,
        current.tenant_id,
        channel=template.channel,
        name=template.name,
        account_id=current.account_id,
        window_zone=current.plugins.channels[template.channel].window_zone,
    )
    service.use_template(session, current.tenant_id, draft.id, draft.version, template)
    toast(_("Mailing created from the template. Choose who gets it, or write on."))
    return see_other(url_for("mailings.what", mailing_id=draft.id))


def _preview(session: Session, template: Template | StartingTemplate) -> Response:
    library = Library(session, current.tenant_id, current.settings.links_url)
    try:
        shown = rendered(current.plugins, template.channel, template.content, library, {})
        html = document(template.channel, shown, template.content)
    except EnvoiError as error:
        html = _PROBLEM.format(_("Preview"), translated(str(error)))
    return foreign(html)


def _language() -> str:
    return str(get_locale() or "en")
