"""What a company has switched on decides which plugins exist for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from structlog.testing import capture_logs

from distributions import lay_out
from envoi.accounts.permissions import Role
from envoi.app import create_app
from envoi.db import Database
from envoi.errors import ConflictError, NotFoundError
from envoi.installation import Installation
from envoi.plugins import Plugins, load_plugins
from envoi.tenants.plugins import disable_plugin, enable_plugin
from envoi.tenants.service import create_tenant
from pages import TEST_SETTINGS, SignIn, app, client, employee, sign_in, signed_in

__all__ = ["SignIn", "app", "client", "employee", "signed_in"]

SOURCE = """
    from envoi.webkit import Blueprint, permission, public

    @hookimpl
    def register_providers():
        yield provider("acme")

    @hookimpl
    def register_blueprints():
        pages = Blueprint("acme", __name__, url_prefix="/acme")

        @pages.get("/")
        @permission("customers.view")
        def index():
            return "pages of acme"

        @pages.get("/open")
        @public
        def opened():
            return "for everybody"

        yield pages
"""


@pytest.fixture
def with_partner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Our plugins and a partner's, which brings a provider and pages."""
    monkeypatch.syspath_prepend(tmp_path)
    lay_out(tmp_path, SOURCE)
    return load_plugins()


def ours(plugins: Plugins) -> set[str]:
    """The providers that every company has."""
    return plugins.providers.keys() - {"acme"}


def test_off_until_it_is_switched_on(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    with database.tenant_session(tenant_id) as session:
        assert "acme" not in with_partner.for_tenant(session, tenant_id).providers
        enable_plugin(session, with_partner, tenant_id, "acme")
        enable_plugin(session, with_partner, tenant_id, "acme")
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.providers.keys() == ours(with_partner) | {"acme"}
    with database.tenant_session(other) as session:
        assert "acme" not in with_partner.for_tenant(session, other).providers


def test_switching_off_takes_it_away(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        enable_plugin(session, with_partner, tenant_id, "acme")
        disable_plugin(session, with_partner, tenant_id, "acme")
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.providers.keys() == ours(with_partner)


def test_ours_are_always_on(database: Database, tenant_id: int, with_partner: Plugins) -> None:
    with database.tenant_session(tenant_id) as session:
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.channels == with_partner.channels
        assert mine.segment_sources == with_partner.segment_sources
        with pytest.raises(ConflictError):
            disable_plugin(session, with_partner, tenant_id, "channel-email")


def test_a_plugin_that_is_not_there_cannot_be_switched_on(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session, pytest.raises(NotFoundError):
        enable_plugin(session, with_partner, tenant_id, "amce")


def test_what_is_uninstalled_is_off(
    database: Database, tenant_id: int, with_partner: Plugins, plugins: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        enable_plugin(session, with_partner, tenant_id, "acme")
        assert "acme" not in plugins.enabled(session, tenant_id)


@pytest.fixture
def partners_app(database: Database, with_partner: Plugins) -> Flask:
    """The application with the partner's pages."""
    return create_app(Installation(TEST_SETTINGS, database, with_partner))


def test_pages_exist_for_companies_that_have_the_plugin(
    database: Database,
    tenant_id: int,
    with_partner: Plugins,
    partners_app: Flask,
    employee: Callable[..., str],
) -> None:
    browser = partners_app.test_client()
    assert sign_in(browser, employee(Role.OPERATOR)) == 302
    with capture_logs():
        assert browser.get("/acme/").status_code == 404
    with database.tenant_session(tenant_id) as session:
        enable_plugin(session, with_partner, tenant_id, "acme")
    assert browser.get("/acme/").get_data(as_text=True) == "pages of acme"


def test_a_partners_page_keeps_its_permission(
    database: Database,
    tenant_id: int,
    with_partner: Plugins,
    partners_app: Flask,
    employee: Callable[..., str],
) -> None:
    with database.tenant_session(tenant_id) as session:
        enable_plugin(session, with_partner, tenant_id, "acme")
    browser = partners_app.test_client()
    assert browser.get("/acme/").status_code == 302
    assert browser.get("/acme/open").status_code == 200
    assert sign_in(browser, employee(Role.DESIGNER)) == 302
    assert browser.get("/acme/").status_code == 403
