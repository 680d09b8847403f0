"""The message as one customer would see it: foreign HTML, under a policy of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import Response, request
from markupsafe import Markup
from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.errors import EnvoiError, ValidationFailedError
from envoi.mailings import service
from envoi.mailings.cascade import channel_at
from envoi.mailings.content import preview, sample_variables
from envoi.mailings.models import Mailing
from envoi.mailings.variants import content_at, get_variant
from envoi.types import AddressKind
from envoi.webkit import allowed, current, permission, require
from envoi.webkit.formats import translated
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.content_fields import picture_fields

POLICY = "sandbox; default-src 'none'; img-src {}; style-src 'unsafe-inline'"
_PICTURES = "https: http: data:"
_PLAIN = Markup(
    '<!doctype html><meta charset="utf-8"><title>Preview</title>'
    '<body style="font:15px/1.5 system-ui;padding:1.5rem;color:#444;white-space:pre-wrap;'
    'overflow-wrap:anywhere;margin:0;background:#fff">{}'
)
_PHONE = Markup(
    '<!doctype html><meta charset="utf-8"><title>Preview</title>'
    '<body style="font:14px/1.45 system-ui;margin:0;padding:12px;background:#eef3f8;color:#222">'
    '<div style="background:#fff;border-radius:14px;padding:10px 13px;white-space:pre-wrap;'
    'overflow-wrap:anywhere">{}</div>'
)
_PICTURE = Markup('<img src="{}" alt="" style="width:100%;border-radius:10px;margin-bottom:8px">')
_TITLE = Markup('<b style="display:block">{}</b>')
_BUTTON = Markup(
    '<span style="display:block;margin-top:10px;padding:8px;border-radius:8px;text-align:center;'
    'color:#fff;background:#7360f2">{}</span>'
)
# What mail programs do in the dark to a message that says nothing about it: they turn it over.
_TURNED_OVER = (
    "<style>html{filter:invert(.92) hue-rotate(180deg);background:#fff}"
    "img{filter:invert(1) hue-rotate(180deg)}</style>"
)
_DARK = re.compile(r"@media\s*\(\s*prefers-color-scheme\s*:\s*dark\s*\)", re.IGNORECASE)


@mailings.get("/<int:mailing_id>/preview")
@permission("mailings.view")
def show_preview(mailing_id: int) -> Response:
    """Render a saved variant for a customer; only ever shown inside a sandboxed frame."""
    customer = request.args.get("customer", None, type=int)
    if customer is not None:
        require("customers.view")
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        try:
            html = _shown(session, mailing, customer)
        except ValidationFailedError as error:
            html = _PLAIN.format("\n".join(translated(p.message) for p in error.problems))
        except EnvoiError as error:
            html = _PLAIN.format(translated(str(error)))
    return foreign(html, pictures="no_images" not in request.args)


def foreign(html: str, *, pictures: bool = True) -> Response:
    """Answer with HTML that is not ours: no script, no form, no cookie, also when opened alone."""
    response = Response(html, mimetype="text/html")
    policy = POLICY.format(_PICTURES if pictures else "'none'")
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def document(channel: str, shown: str, content: Mapping[str, Any]) -> str:
    """Make a page of what a channel shows: of a message in HTML as it is, else of its text.

    Besides email only what says so in its first line is HTML: a text may have any signs in it.
    Around the text stand the picture and the button that the content has; a title is its first
    line.
    """
    spec = current.plugins.channels[channel]
    says_so = shown[:40].lstrip().lower().startswith("<!doctype html")
    if spec.address_kind is AddressKind.EMAIL or says_so:
        return shown
    has_title = bool("title" in spec.content_schema.model_fields and content.get("title"))
    title, _line, text = shown.partition("\n") if has_title else ("", "", shown)
    picture = next(filter(None, map(content.get, picture_fields(spec.content_schema))), "")
    button = str(content.get("button") or "")
    pieces = ((_PICTURE, picture), (_TITLE, title), (Markup("{}"), text), (_BUTTON, button))
    return _PHONE.format(Markup("").join(look.format(value) for look, value in pieces if value))


def _shown(session: Session, mailing: Mailing, customer: int | None) -> str:
    number, step = request.args.get("variant", 1, type=int), request.args.get("step", 1, type=int)
    written = content_at(get_variant(session, mailing, number), step)
    html = preview(
        session,
        current.plugins,
        mailing,
        customer,
        number,
        step=step,
        contacts=allowed("customers.contacts"),
        links_url=current.settings.links_url,
    )
    if "text" in request.args:
        return _PLAIN.format(_text(session, mailing, customer, str(written.get("text", "")), html))
    html = document(channel_at(mailing, step), html, written)
    return _darkened(html) if "dark" in request.args else html


def _text(session: Session, mailing: Mailing, customer: int | None, written: str, html: str) -> str:
    """The text part: the one that was written, or the one made of the message."""
    if not written:
        return Kit().plain_text(html)
    contacts = allowed("customers.contacts")
    variables = (
        sample_variables(session, current.plugins, mailing, customer, contacts=contacts)
        if customer is not None
        else {}
    )
    return Kit().template(written, html=False).render(variables)


def _darkened(html: str) -> str:
    """The message in the dark: by its own rules where it has some, else as programs turn it."""
    own, count = _DARK.subn("@media all", html)
    return own if count else html + _TURNED_OVER
