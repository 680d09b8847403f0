"""The look of the public pages, tried beside the form before it is published."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.errors import Problem, ValidationFailedError
from envoi.library.pictures import MAX_BYTES
from envoi.library.service import LOGO, store_picture
from envoi.subscriptions.models import WHOLE_CHANNEL
from envoi.subscriptions.service import Reason
from envoi.tenants.design import Design, check_design, design_of, publish_design
from envoi.tracking.public_pages import PublicPages, brand_of
from envoi.tracking.unsubscribe import Subscriber
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.settings_pages.blueprint import settings

LANGUAGES = ("en", "ru")
WORDS = ("intro", "farewell", "footer")
PAGES = ("unsubscribe", "unsubscribed", "preferences")

_pages = PublicPages()


@settings.get("/design")
@permission("design.edit")
def design() -> Response:
    """Show the design and how the pages look with it."""
    with current.session() as session:
        stored = design_of(session, current.tenant_id)
    return _form(stored.model_dump(mode="json"))


@settings.post("/design")
@permission("design.edit")
def publish() -> Response:
    """Publish the design, or say what is wrong with it."""
    given = _given()
    try:
        with current.session() as session:
            given["logo_id"] = _logo(session, given["logo_id"])
            publish_design(session, current.tenant_id, check_design(given))
    except ValidationFailedError as error:
        return _form(given, error.problems)
    toast(_("Design published."))
    return see_other(url_for("settings.design"))


@settings.get("/design/preview")
@permission("design.edit")
def design_preview() -> Response:
    """Show a public page with the colour and words of the form; only ever inside a frame."""
    shown = request.args.get("page", PAGES[0])
    with current.session() as session:
        stored = design_of(session, current.tenant_id)
        brand = brand_of(session, current.tenant_id, _tried(stored))
    nonce = secrets.token_urlsafe(12)
    who = Subscriber(
        brand=brand,
        channel="email",
        category_id=WHOLE_CHANNEL,
        category="",
        address=None,
        is_test=False,
    )
    context: dict[str, Any] = {"who": who, "reasons": list(Reason), "narrow": False}
    if shown == "preferences":
        context = {"channels": (), "is_test": False, "saved": False}
    template = f"{shown if shown in PAGES else PAGES[0]}.html"
    html = _pages.html(template, brand, nonce, **context)
    links = current.settings.links_url
    html = html.replace('href="/', f'href="{links}/').replace('src="/', f'src="{links}/')
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        f"sandbox; default-src 'none'; img-src {links}; style-src {links} 'nonce-{nonce}';"
        " frame-ancestors 'self'"
    )
    return response


def _tried(stored: Design) -> Design:
    """The stored design with the form's colour and words, as far as they can be shown."""
    given = stored.model_dump(mode="json") | {"words": _words(request.args)}
    try:
        return check_design(given | {"accent": request.args.get("accent", stored.accent)})
    except ValidationFailedError:
        return stored


def _given() -> dict[str, Any]:
    return {
        "accent": request.form.get("accent", ""),
        "logo_id": request.form.get("logo_id", None, type=int),
        "words": _words(request.form),
    }


def _words(source: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        language: {
            name: source.get(f"words.{language}.{name}", "").replace("\r\n", "\n") for name in WORDS
        }
        for language in LANGUAGES
    }


def _logo(session: Session, kept: int | None) -> int | None:
    """Take the uploaded logo, the one there was, or none."""
    file = request.files.get("logo")
    if file and file.filename:
        try:
            stored = store_picture(
                session,
                current.tenant_id,
                name=file.filename,
                data=file.stream.read(MAX_BYTES + 1),
                kind=LOGO,
                account_id=current.account_id,
            )
        except ValidationFailedError as error:
            raise ValidationFailedError([Problem("logo", str(error))]) from None
        return stored.id
    return None if request.form.get("remove_logo") else kept


def _form(values: Mapping[str, Any], problems: Sequence[Problem] = ()) -> Response:
    tried = {"accent": values["accent"]} | {
        f"words.{language}.{name}": text
        for language, words in values["words"].items()
        for name, text in words.items()
        if text
    }
    return page(
        "settings/design.html",
        status=422 if problems else 200,
        values=values,
        tried=tried,
        languages=LANGUAGES,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
    )
