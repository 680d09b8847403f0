"""The page of a plugin: what it brings, what its providers can do, how their accounts fare."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from desk import Desk
from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.installation import Installation
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.plugins import Plugins
from envoi.segments.models import Segment
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


def test_what_is_called_alike_is_named_once(administrator: Desk) -> None:
    page = administrator.get("/settings/plugins/").words
    assert "Promo codes · Promo code · Promo codes: read a group" in page


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


ADDRESS = "/settings/plugins/module-promo-codes"


def test_settings_are_entered_on_the_page(
    administrator: Desk, database: Database, tenant_id: int
) -> None:
    page = administrator.get(ADDRESS)
    assert "Settings: Promo codes" in page.words
    assert 'name="promo_codes.few" value="100"' in page.source
    refused = administrator.post(
        f"{ADDRESS}/settings", form="promo_codes", **{"promo_codes.few": "-1"}
    )
    assert refused.status == 422
    assert 'value="-1"' in refused.source
    saved = administrator.post(
        f"{ADDRESS}/settings", form="promo_codes", **{"promo_codes.few": "7"}
    )
    assert saved.status == 303
    assert 'name="promo_codes.few" value="7"' in administrator.get(ADDRESS).source
    assert administrator.post(f"{ADDRESS}/settings", form="nothing").status == 404
    other = "/settings/plugins/channel-email/settings"
    assert administrator.post(other, form="promo_codes", **{"promo_codes.few": "7"}).status == 404
    with database.tenant_session(tenant_id) as session:
        session.execute(
            text('UPDATE plugin_settings SET settings = \'{"few": "many", "gone": 1}\'')
        )
    assert "no longer suit this version" in administrator.get(ADDRESS).words


def test_what_is_switched_off_is_gone_for_this_company_alone(
    administrator: Desk, signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    assert 'href="/promo-codes/"' in administrator.get("/settings/plugins/").source
    assert administrator.post(f"{ADDRESS}/disable").status == 303
    page = administrator.get(ADDRESS)
    assert "Switch on" in page.words
    assert "Settings: Promo codes" not in page.words
    assert 'href="/promo-codes/"' not in page.source
    assert administrator.get("/promo-codes/").status == 404
    assert administrator.post(f"{ADDRESS}/settings", form="promo_codes").status == 404
    assert administrator.post(f"{ADDRESS}/enable").status == 303
    assert administrator.get("/promo-codes/").status == 200


def test_who_uses_it_is_told_before_it_is_switched_off(
    administrator: Desk, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    installation = Installation(TEST_SETTINGS, database, plugins)
    coded = {"text": '{{ promo_code("Spring") }}'}
    with database.tenant_session(tenant_id) as session:
        smtp_gateway(session, installation, tenant_id, 2525)
        tree = {"source": "promo_codes", "settings": {"operator": "issued", "group": "Spring"}}
        session.add(Segment(tenant_id=tenant_id, name="Had one", tree={"all": [tree]}))
        for name, channel, state, content in (
            ("Planned email", "email", MailingState.CREATED, {}),
            ("Draft email", "email", MailingState.DRAFT, coded),
            ("Codes by SMS", "sms", MailingState.CREATED, coded),
        ):
            mailing = Mailing(tenant_id=tenant_id, name=name, channel=channel, state=state)
            session.add(mailing)
            session.flush()
            variant = Variant(tenant_id=tenant_id, mailing_id=mailing.id, number=1)
            variant.content = content
            session.add(variant)
    email = administrator.get("/settings/plugins/channel-email").words
    assert "pause with its name: Planned email" in email
    assert "their reports are not read: test" in email
    codes = administrator.get(ADDRESS).words
    assert "pause with its name: Codes by SMS" in codes
    assert "cannot be counted or used: Had one" in codes
    assert "Nothing leaves" not in codes


def test_the_product_itself_has_no_switch(administrator: Desk) -> None:
    page = administrator.get("/settings/plugins/web")
    assert "Switch off" not in page.words
    assert administrator.post("/settings/plugins/web/disable").status == 409
