"""Errors as people see them: what happened, why, what to do, and an id to ask with."""

from __future__ import annotations

import json
import secrets

import structlog
from flask import Flask, Response, render_template
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError, generate_csrf
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

from envoi.errors import (
    ConflictError,
    EnvoiError,
    ForbiddenError,
    NotFoundError,
    ValidationFailedError,
)
from envoi.operations.plugin_errors import note_fault
from envoi.webkit import htmx
from envoi.webkit.current import current
from envoi.webkit.formats import translated

log = structlog.get_logger(__name__)

_STATUS: tuple[tuple[type[EnvoiError], int], ...] = (
    (NotFoundError, 404),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (ValidationFailedError, 422),
)


def init_app(app: Flask) -> None:
    """Turn every error into a page, or into a fragment that goes to the top of the page."""
    app.register_error_handler(EnvoiError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CSRFError, _signed_in_again)
    app.register_error_handler(DataError, _not_storable)
    app.register_error_handler(IntegrityError, _faster)
    app.register_error_handler(StaleDataError, _faster)
    app.register_error_handler(Exception, _bug)


def _expected(error: EnvoiError) -> Response:
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        if current.employee is not None:
            note_fault(current.database, current.tenant_id, error)
        return _bug(error)
    return _answer(status, translated(str(error)))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:
        response = error.get_response()
        return Response(response.get_data(), response.status_code, response.headers)
    return _answer(status, "")


def _signed_in_again(error: CSRFError) -> Response:
    """Give a page that is older than the session the new token, so that nothing typed is lost."""
    if not htmx.is_fragment():
        return _http(error)
    reason = _("You signed in again meanwhile. What you entered is still here: repeat it now.")
    response = _answer(400, reason)
    response.headers["HX-Trigger"] = json.dumps({"envoi:token": {"token": generate_csrf()}})
    return response


def _not_storable(error: DataError) -> Response:
    """Refuse a value that no column holds: a NUL, a number beyond all numbers."""
    log.warning("a value was refused by the database", reason=str(error.orig))
    return _answer(422, "")


def _faster(error: IntegrityError | StaleDataError) -> Response:
    """Say that another request took the name, or deleted the thing, between our look and write."""
    log.warning("two changes met", reason=str(error))
    return _answer(409, "")


def _bug(error: Exception) -> Response:
    error_id = secrets.token_hex(4)
    log.exception("a page failed", error_id=error_id, exc_info=error)
    return _answer(500, "", error_id)


def _answer(status: int, reason: str, error_id: str = "") -> Response:
    words = {"status": status, "title": _title(status), "reason": reason or _reason(status)}
    template = "errors/fragment.html" if htmx.is_fragment() else "errors/page.html"
    body = render_template(template, error_id=error_id, **words)
    if htmx.is_fragment():
        return htmx.respond(body, status, retarget="#page-error", reswap="innerHTML show:top")
    return htmx.respond(body, status)


def _title(status: int) -> str:
    titles: dict[int, str] = {
        400: _("The form could not be read"),
        403: _("Your role does not include this"),
        404: _("There is nothing here"),
        405: _("This address does not take that request"),
        409: _("Somebody or something was faster"),
        413: _("The file is too large"),
        422: _("Something in the form needs another look"),
        429: _("Too many attempts"),
    }
    other: str = _("The page failed") if status >= 500 else _("That did not work")
    return titles.get(status, other)


def _reason(status: int) -> str:
    reasons: dict[int, str] = {
        400: _("The page was open for too long, or you signed in again. Load it again and repeat."),
        403: _("An administrator can change your role."),
        404: _("The address is wrong, or what was here has been deleted."),
        405: _("Go back and use the buttons of the page."),
        409: _(
            "The same was changed or deleted at this moment, or the form was sent twice."
            " Load the page again to see how it is now."
        ),
        413: _("Choose a smaller file."),
        422: _(
            "A value is too large, or has characters that cannot be stored."
            " Nothing was changed or sent."
        ),
        429: _("Wait a minute and try again."),
    }
    other: str = _(
        "Nothing was changed or sent. Try again; if it stays, tell an administrator the error id."
    )
    return reasons.get(status, other)
