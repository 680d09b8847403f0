"""The page of a plugin: what it brings, what its providers can do, how their accounts fare."""

from __future__ import annotations

import pytest

from desk import Desk
from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.installation import Installation
from envoi.plugins import Plugins
from factories.delivery import smtp_gateway
from pages import TEST_SETTINGS, SignIn


@pytest.fixture
def administrator(signed_in: SignIn) -> Desk:
    return Desk(signed_in(Role.ADMINISTRATOR))


def test_the_list_leads_to_every_plugin(administrator: Desk, plugins: Plugins) -> None:
    page = administrator.get("/settings/plugins/").source
    for name in plugins.infos:
        assert f'href="/settings/plugins/{name}"' in page
        assert administrator.get(f"/settings/plugins/{name}").status == 200


def test_a_provider_says_what_it_can_do_and_who_uses_it(
    administrator: Desk, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    before = administrator.get("/settings/plugins/channel-email").words
    assert "No gateway uses it." in before
    assert "Yes Bounces come back by the return path" in before
    assert "No Pictures" in before
    installation = Installation(TEST_SETTINGS, database, plugins)
    with database.tenant_session(tenant_id) as session:
        smtp_gateway(session, installation, tenant_id, 2525)
    after = administrator.get("/settings/plugins/channel-email")
    assert "No gateway uses it." not in after.words
    assert 'href="/settings/gateways/' in after.source


def test_a_module_says_what_it_brings(administrator: Desk) -> None:
    words = administrator.get("/settings/plugins/module-promo-codes").words
    assert "Macro of messages Promo code" in words
    assert "Conditions of segments Promo codes" in words


def test_there_is_nothing_else(administrator: Desk, signed_in: SignIn) -> None:
    assert administrator.get("/settings/plugins/nobody").status == 404
    marketer = Desk(signed_in(Role.MARKETER))
    assert marketer.get("/settings/plugins/channel-email").status == 403
