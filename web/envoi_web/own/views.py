"""Own settings and switching between companies."""

from __future__ import annotations

from flask import Response, abort, request, url_for
from flask_babel import force_locale
from flask_babel import gettext as _

from envoi.accounts.service import set_preferences
from envoi.app import LANGUAGES
from envoi.errors import NotFoundError
from envoi.webkit import Blueprint, current, page, permission, see_other, toast
from envoi.webkit.sign_in import switch_company

own = Blueprint("own", __name__, url_prefix="/own")

THEMES = ("system", "light", "dark")


@own.get("/")
@permission("own.settings")
def settings() -> Response:
    """Show language and theme."""
    return page("own/settings.html")


@own.post("/")
@permission("own.settings")
def save_settings() -> Response:
    """Save language and theme."""
    language, theme = request.form.get("language"), request.form.get("theme")
    if language not in LANGUAGES or theme not in THEMES:
        abort(400)
    if current.employee:
        set_preferences(
            current.database, current.employee.account_id, language=language, theme=theme
        )
    with force_locale(language):
        toast(_("Settings saved."))
    return see_other(url_for("own.settings"))


@own.post("/company")
@permission("own.settings")
def company() -> Response:
    """Work for another company that the employee belongs to."""
    chosen = request.form.get("company", type=int)
    if current.employee is None or chosen not in current.employee.tenant_ids:
        raise NotFoundError("There is no such company. Choose one from the list.")
    switch_company(chosen)
    return see_other(url_for("shell.home"))
