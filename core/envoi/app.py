"""The Flask factory: the only place where the core is wired to the web."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Flask, request
from flask_babel import Babel
from flask_wtf import CSRFProtect
from jinja2 import StrictUndefined

from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.webkit import access, errors, formats, htmx, observing, pages, security, sign_in
from envoi.webkit.current import current

LANGUAGES = ("en", "ru")
"""Languages of the interface; the first is the one the source texts are written in."""

_UPLOAD_LIMIT = 512 * 1024 * 1024
_TEXT_LIMIT = 16 * 1024 * 1024
"""Of a form without its files: a message that is too large is refused in words, not cut off."""


def create_app(installation: Installation) -> Flask:
    """Make the pages' application; the installation's settings need a secret key."""
    app = Flask("envoi", static_folder=None)
    app.config.update(_configuration(installation.settings))
    app.extensions["envoi"] = installation
    app.url_map.converters["int"] = pages.IdConverter
    brought = installation.plugins.blueprints()
    blueprints = [blueprint for _, blueprint in brought]
    switched = {b.name: info.name for info, b in brought if not info.always_on}
    _languages(app, blueprints)
    _templates(app)
    observing.init_app(app)
    htmx.init_app(app)
    security.init_app(app)
    errors.init_app(app)
    # Ours come first, so that the sign-in pages are ours and not the library's.
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    sign_in.init_app(app, installation.database)
    access.init_app(app, sign_in.ACCESS, switched)
    # Last, so that somebody whose session was lost is told that, and not that the form is old.
    CSRFProtect(app)
    return app


def _configuration(settings: Settings) -> dict[str, object]:
    secret = settings.secret_key.get_secret_value()
    if not secret:
        raise ConfigurationError(
            "There is no secret key. Set ENVOI_SECRET_KEY to 32 random characters."
        )
    return {
        "SECRET_KEY": secret,
        "MAX_CONTENT_LENGTH": _UPLOAD_LIMIT,
        "MAX_FORM_MEMORY_SIZE": _TEXT_LIMIT,
        "SESSION_COOKIE_NAME": "envoi",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.web_url.startswith("https:"),
        "REMEMBER_COOKIE_HTTPONLY": True,
        "REMEMBER_COOKIE_SAMESITE": "Lax",
        "REMEMBER_COOKIE_SECURE": settings.web_url.startswith("https:"),
        "SEND_FILE_MAX_AGE_DEFAULT": 3600,
        "WTF_CSRF_TIME_LIMIT": None,
        "ENVOI_MAIL_URL": settings.mail_url.get_secret_value(),
        "MAIL_DEFAULT_SENDER": f"no-reply@{settings.message_domain}",
    }


def _languages(app: Flask, blueprints: list[Blueprint]) -> None:
    """Texts come from the `translations` folder beside each blueprint."""
    folders = {Path(blueprint.root_path) / "translations" for blueprint in blueprints}
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = ";".join(
        sorted(str(f) for f in folders if f.is_dir())
    )
    Babel(app, locale_selector=_language, timezone_selector=_time_zone)


def _language() -> str:
    if current.employee:
        return current.employee.language
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def _time_zone() -> str:
    return current.company.time_zone if current.employee else "UTC"


def _templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        allowed=access.allowed,
        current=current,
        page_url=pages.page_url,
        pending_toasts=htmx.pending_toasts,
        language=_language,
    )
    formats.init_app(app)
