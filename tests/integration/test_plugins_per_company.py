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
from envoi.tenants.plugins import switch_plugin
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
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.providers.keys() == ours(with_partner) | {"acme"}
    with database.tenant_session(other) as session:
        assert "acme" not in with_partner.for_tenant(session, other).providers


def test_switching_off_takes_it_away(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
        switch_plugin(session, with_partner, tenant_id, "acme", on=False)
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.providers.keys() == ours(with_partner)


def test_ours_are_on_until_they_are_switched_off(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    with database.tenant_session(tenant_id) as session:
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.channels == with_partner.channels
        assert mine.segment_sources == with_partner.segment_sources
        switch_plugin(session, with_partner, tenant_id, "channel-viber", on=False)
        switch_plugin(session, with_partner, tenant_id, "channel-viber", on=False)
        mine = with_partner.for_tenant(session, tenant_id)
        assert mine.channels.keys() == with_partner.channels.keys() - {"viber"}
    with database.tenant_session(other) as session:
        assert "viber" in with_partner.for_tenant(session, other).channels


def test_what_envoi_is_made_of_stays_on(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    always = {name for name, info in with_partner.infos.items() if info.always_on}
    assert always == {"web", "workers"}, "they bring nothing that a company could choose"
    for name in always:
        with database.tenant_session(tenant_id) as session, pytest.raises(ConflictError):
            switch_plugin(session, with_partner, tenant_id, name, on=False)


def test_a_plugin_that_is_not_there_cannot_be_switched_on(
    database: Database, tenant_id: int, with_partner: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session, pytest.raises(NotFoundError):
        switch_plugin(session, with_partner, tenant_id, "amce", on=True)


def test_what_is_uninstalled_is_off(
    database: Database, tenant_id: int, with_partner: Plugins, plugins: Plugins
) -> None:
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
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
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
    assert browser.get("/acme/").get_data(as_text=True) == "pages of acme"


def test_a_partners_page_keeps_its_permission(
    database: Database,
    tenant_id: int,
    with_partner: Plugins,
    partners_app: Flask,
    employee: Callable[..., str],
) -> None:
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, with_partner, tenant_id, "acme", on=True)
    browser = partners_app.test_client()
    assert browser.get("/acme/").status_code == 302
    assert browser.get("/acme/open").status_code == 200
    assert sign_in(browser, employee(Role.DESIGNER)) == 302
    assert browser.get("/acme/").status_code == 403
