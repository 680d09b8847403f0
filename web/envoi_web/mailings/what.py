"""Step 2 of the editor: the message."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from envoi.mailings import service, variants
from envoi.mailings.content import content_warnings, preview_customers
from envoi.mailings.models import Mailing
from envoi.mailings.review import review
from envoi.webkit import allowed, current, page, permission, see_other
from envoi_web.mailings import forms
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.editing import common, not_a_draft


@mailings.get("/<int:mailing_id>/what")
@permission("mailings.content")
def what(mailing_id: int) -> Response:
    """Show the second step: the message."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        if (elsewhere := not_a_draft(session, mailing)) is not None:
            return elsewhere
        return page("mailings/what.html", **_what_context(session, mailing))


@mailings.post("/<int:mailing_id>/what")
@permission("mailings.content")
def save_what(mailing_id: int) -> Response:
    """Save the message as it stands; say what is still wrong with it."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        schema = current.plugins.channels[mailing.channel].content_schema
        content = forms.content_of(request.form, schema.model_fields)
        version = forms.version_of(request.form)
        variants.save_content(session, current.tenant_id, mailing_id, version, content)
        if name := request.form.get("name", "").strip():
            mailing.name = name[:200]
        if "next" in request.form:
            return see_other(url_for("mailings.when", mailing_id=mailing_id))
        context = _what_context(session, mailing)
        return page("mailings/what.html", fragments=("what_state",), **context)


def _what_context(session: Session, mailing: Mailing) -> dict[str, Any]:
    check = next(c for c in review(session, current.plugins, mailing) if c.name == "content")
    spec = current.plugins.channels[mailing.channel]
    return common(session, mailing, "what") | {
        "editor": spec.editor_template,
        "problem": check.problem,
        "warnings": content_warnings(session, mailing),
        "customers": preview_customers(session, mailing) if allowed("customers.view") else [],
    }
