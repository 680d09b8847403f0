"""The application as a browser meets it: one app, and clients signed in with a role."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.serving import make_server
from werkzeug.wsgi import ClosingIterator

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.app import create_app
from envoi.db import Database
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PASSWORD = "correct horse battery"
TEST_SETTINGS = Settings(secret_key=SecretStr("a key for tests only, thirty-two bytes"))
SignIn = Callable[..., FlaskClient]


@pytest.fixture(scope="session")
def app(database: Database, plugins: Plugins) -> Flask:
    """The application with every plugin, on the test database."""
    return create_app(Installation(TEST_SETTINGS, database, plugins))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that has not signed in."""
    return app.test_client()


@pytest.fixture
def employee(database: Database, tenant_id: int) -> Callable[..., str]:
    """Make an employee of the test's tenant with a role; return the email address."""

    def make(role: Role = Role.ADMINISTRATOR, language: str = "en") -> str:
        email = f"{uuid4().hex[:12]}@fieldmarket.example"
        account_id = create_account(
            database, email=email, password=PASSWORD, name="Anna Keller", language=language
        )
        set_role(database, tenant_id=tenant_id, account_id=account_id, role=role)
        return email

    return make


@pytest.fixture
def signed_in(app: Flask, employee: Callable[..., str]) -> SignIn:
    """Give a browser signed in as an employee of the test's tenant: `signed_in(Role.ANALYST)`."""

    def make(role: Role = Role.ADMINISTRATOR, language: str = "en") -> FlaskClient:
        browser = app.test_client()
        answer = sign_in(browser, employee(role, language))
        assert answer == 302
        return browser

    return make


def sign_in(browser: FlaskClient, email: str, password: str = PASSWORD) -> int:
    """Fill in the sign-in form; return the status."""
    form = {"email": email, "password": password, "csrf_token": token(browser, "/login")}
    return browser.post("/login", data=form).status_code


def token(browser: FlaskClient, address: str) -> str:
    """Read the CSRF token of a page."""
    page = browser.get(address).get_data(as_text=True)
    found = re.search(r'name="csrf[-_]token"[^>]*(?:content|value)="([^"]+)"', page)
    assert found, page
    return found[1]


@contextmanager
def served(application: WSGIApplication) -> Iterator[str]:
    """Serve an application in a thread; give its address, without a slash at the end."""

    def at_once(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        # The server of the tests leaves an answer open whose reader is gone.
        with closing(ClosingIterator(application(environ, start))) as answer:
            return list(answer)

    server = make_server("127.0.0.1", 0, at_once, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
