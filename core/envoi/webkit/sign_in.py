"""Signing in: Flask-Security on our account table, membership checked on every request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from flask import Flask, current_app, g, request, session
from flask_login import current_user, logout_user, user_logged_in
from flask_security import RoleMixin, Security, UserDatastore, UserMixin
from flask_security.signals import user_failed_authn
from sqlalchemy import update
from werkzeug.exceptions import TooManyRequests, UnsupportedMediaType

from envoi.accounts import queries
from envoi.accounts.models import Account
from envoi.db import Database, table
from envoi.errors import ForbiddenError, Problem, ValidationFailedError
from envoi.webkit.access import PUBLIC
from envoi.webkit.mail import SystemMail

log = structlog.get_logger(__name__)

ACCESS = {
    "security.login": PUBLIC,
    "security.logout": PUBLIC,
    "security.forgot_password": PUBLIC,
    "security.reset_password": PUBLIC,
    "security.verify": "own.settings",
    "security.change_password": "own.settings",
}
"""Access of Flask-Security's views, which are not ours to decorate."""

COMPANY = "company"
_TRIES = 10
_LONGEST_PASSWORD = 4096
_PAUSE = timedelta(minutes=1)


class Login(UserMixin):
    """Flask-Security's view of an account; the datastore writes its changes back."""

    fs_uniquifier: str = ""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.id = account.id
        self.roles = []
        self.email = account.email
        self.password = account.password
        self.active = account.active
        self.fs_uniquifier = account.fs_uniquifier


class AccountStore(UserDatastore):
    """What Flask-Security may ask of the account table: find one, save its password."""

    def __init__(self, database: Database) -> None:
        super().__init__(Login, RoleMixin)
        self.database = database

    def find_user(self, case_insensitive: bool = False, **kwargs: Any) -> Login | None:  # noqa: ARG002
        """Find an account by `email` or `fs_uniquifier`."""
        ((attribute, value),) = kwargs.items()
        find = {"email": queries.account_by_email, "fs_uniquifier": queries.account_by_uniquifier}[
            attribute
        ]
        with self.database.system_session() as db:
            account = find(db, value)
        return Login(account) if account else None

    def put(self, model: Login) -> Login:
        """Save the password and the mark that every session of the account carries."""
        with self.database.system_session() as db:
            db.execute(
                update(Account)
                .where(table(Account).c.id == model.id)
                .values(password=model.password, fs_uniquifier=model.fs_uniquifier)
            )
        return model

    def commit(self) -> None:
        """Nothing to do: `put` commits."""


def init_app(app: Flask, database: Database) -> None:
    """Set up Flask-Security with our templates, our mails and our account table."""
    app.config.update(
        SECURITY_RECOVERABLE=True,
        SECURITY_CHANGEABLE=True,
        SECURITY_RETURN_GENERIC_RESPONSES=True,
        SECURITY_PASSWORD_HASH="argon2",  # noqa: S106 (the name of the method)
        SECURITY_PASSWORD_SINGLE_HASH={"argon2"},
        SECURITY_PASSWORD_SALT=app.config["SECRET_KEY"],
        SECURITY_PASSWORD_LENGTH_MIN=10,
        SECURITY_RESET_PASSWORD_WITHIN=timedelta(hours=2),
        SECURITY_LOGOUT_METHODS=["POST"],
        SECURITY_POST_LOGOUT_VIEW="/login",
        SECURITY_FLASH_MESSAGES=True,
        SECURITY_API_ENABLED_METHODS=["session"],
        SECURITY_CLI_USERS_NAME=None,
        SECURITY_CLI_ROLES_NAME=None,
        SECURITY_EMAIL_HTML=False,
    )
    Security(app, AccountStore(database), mail_util_cls=SystemMail)
    app.before_request(_slow_down)
    app.before_request(_refuse_endless_passwords)
    app.before_request(_load_employee)
    user_logged_in.connect(_signed_in, app)
    user_failed_authn.connect(_failed, app)


def switch_company(tenant_id: int) -> None:
    """Work for another company from the next request on; membership is checked there."""
    session[COMPANY] = tenant_id


def _load_employee() -> None:
    if (request.endpoint or "").endswith("static") or not current_user.is_authenticated:
        return
    g.employee = queries.employee(_store().database, current_user.account, session.get(COMPANY))
    if g.employee is None:
        logout_user()
        raise ForbiddenError(
            "You do not belong to a company any more. Ask an administrator to invite you."
        )
    session[COMPANY] = g.employee.company.id


def _store() -> AccountStore:
    store: AccountStore = current_app.extensions["security"].datastore
    return store


def _refuse_endless_passwords() -> None:
    """What is longer than any password is hashed by nobody, so that it costs nobody's time."""
    if (request.endpoint or "").startswith("security.") and any(
        len(value) > _LONGEST_PASSWORD for value in request.form.values()
    ):
        raise ValidationFailedError([Problem("", "The text is too long for a field of this form.")])


def _slow_down() -> None:
    """Refuse the eleventh wrong password within a minute, whoever tries and from wherever."""
    if request.endpoint != "security.login" or request.method != "POST":
        return
    if request.is_json:
        # Flask-Security would read it, and the tries below are counted by the form's address.
        raise UnsupportedMediaType
    with _store().database.system_session() as db:
        account = queries.account_by_email(db, request.form.get("email", ""))
    if account and account.failed_logins >= _TRIES and _recent(account.failed_at):
        log.warning("sign-in held back", account=account.id)
        raise TooManyRequests


def _recent(moment: datetime | None) -> bool:
    return moment is not None and moment > datetime.now(UTC) - _PAUSE


def _failed(_app: Flask, user: Login, **_extra: Any) -> None:
    count = table(Account).c.failed_logins + 1 if _recent(user.account.failed_at) else 1
    _save(user.id, failed_logins=count, failed_at=datetime.now(UTC))


def _signed_in(_app: Flask, user: Login, **_extra: Any) -> None:
    session.pop(COMPANY, None)
    _save(user.id, failed_logins=0, last_login_at=datetime.now(UTC))


def _save(account_id: int, **values: Any) -> None:
    with _store().database.system_session() as db:
        db.execute(update(Account).where(table(Account).c.id == account_id).values(**values))
