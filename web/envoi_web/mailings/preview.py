"""The message as one customer would see it: foreign HTML, under a policy of its own."""

from __future__ import annotations

from flask import Response, request
from markupsafe import Markup

from envoi.errors import EnvoiError
from envoi.mailings import service
from envoi.mailings.content import preview
from envoi.webkit import allowed, current, permission, require
from envoi_web.mailings.blueprint import mailings

POLICY = "sandbox; default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'"
_PROBLEM = Markup(
    '<!doctype html><meta charset="utf-8"><title>Preview</title>'
    '<body style="font:15px system-ui;padding:2rem;color:#444">{}'
)


@mailings.get("/<int:mailing_id>/preview")
@permission("mailings.view")
def show_preview(mailing_id: int) -> Response:
    """Render the saved message for a customer; only ever shown inside a sandboxed frame."""
    customer = request.args.get("customer", None, type=int)
    if customer is not None:
        require("customers.view")
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        try:
            html = preview(
                session,
                current.plugins,
                mailing,
                customer,
                contacts=allowed("customers.contacts"),
                links_url=current.settings.links_url,
            )
        except EnvoiError as error:
            html = _PROBLEM.format(str(error))
    return foreign(html)


def foreign(html: str) -> Response:
    """Answer with HTML that is not ours: no script, no form, no cookie, also when opened alone."""
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
