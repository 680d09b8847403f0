"""Pages of communication policies and plugins."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.policies.service import create_policy, list_policies
from pages import SignIn, token

RULE = {
    "kind": "frequency_cap",
    "rules.0.most": "2",
    "rules.0.period": "3",
    "rules.0.unit": "day",
    "rules.0.channels": "email",
    "rules.0.over_limit": "defer",
}
Post = Callable[..., object]


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


def post(browser: FlaskClient, address: str, **fields: str) -> tuple[int, str]:
    form = {"csrf_token": token(browser, "/settings/policies/"), **fields}
    answer = browser.post(address, data=form)
    return answer.status_code, answer.get_data(as_text=True)


def test_a_policy_is_made_changed_and_deleted(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    status, _ = post(browser, "/settings/policies/new", name="Gentle", **RULE)
    assert status == 303
    page = browser.get("/settings/policies/").get_data(as_text=True)
    assert "Standard" in page
    assert "At most 2 messages by email in any 3 days; more are deferred" in page
    with database.tenant_session(tenant_id) as session:
        policy = next(
            u.policy for u in list_policies(session, tenant_id) if not u.policy.is_default
        )
    address = f"/settings/policies/{policy.id}"
    form = browser.get(address).get_data(as_text=True)
    assert re.search(r'name="rules\.0\.most" value="2"[^>]*min="0"', form)
    assert (
        post(browser, address, name="Gentle", version="1", **{**RULE, "rules.0.most": "1"})[0]
        == 303
    )
    stale, page = post(browser, address, name="Mine", version="1", **RULE)
    assert stale == 422
    assert "Somebody else saved" in page
    assert 'value="Mine"' in page
    assert post(browser, f"{address}/delete")[0] == 303
    assert browser.get(address).status_code == 404


def test_rules_are_added_and_removed_without_losing_what_was_typed(browser: FlaskClient) -> None:
    typed = {**RULE, "rules.0.most": "7"}
    status, page = post(
        browser, "/settings/policies/new", name="Two", add="1", add_kind="frequency_cap", **typed
    )
    assert status == 200
    assert 'name="rules.0.most" value="7"' in page
    assert 'name="rules.1.most" value="1"' in page
    status, page = post(browser, "/settings/policies/new", name="Two", remove="0", **typed)
    assert "rules.0.most" not in page
    assert 'value="Two"' in page


def test_every_problem_is_told_at_its_field(browser: FlaskClient) -> None:
    wrong = {**RULE, "rules.0.most": "-3", "rules.0.period": "soon"}
    status, page = post(browser, "/settings/policies/new", name="", **wrong)
    assert status == 422
    for field in ("name", "rules.0.most", "rules.0.period"):
        assert f'href="#{field}"' in page
    assert 'value="soon"' in page


def test_the_default_policy_stays(browser: FlaskClient, database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        standard = list_policies(session, tenant_id)[0].policy
    assert post(browser, f"/settings/policies/{standard.id}/delete")[0] == 409


def test_who_may_only_look_cannot_save(
    signed_in: SignIn, plugins: Plugins, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        policy = create_policy(session, plugins, tenant_id, name="Gentle")
    analyst = signed_in(Role.ANALYST)
    page = analyst.get(f"/settings/policies/{policy.id}").get_data(as_text=True)
    assert "Save policy" not in page
    assert post(analyst, f"/settings/policies/{policy.id}", name="X", version="1")[0] == 403


def test_plugins_are_listed_and_ours_stay_on(browser: FlaskClient, app: Flask) -> None:
    page = browser.get("/settings/plugins/").get_data(as_text=True)
    for name in app.extensions["envoi"].plugins.infos:
        assert name in page
    assert "always on" in page
    status, page = post(browser, "/settings/plugins/policy-frequency-cap/disable")
    assert status == 409
    assert post(browser, "/settings/plugins/no-such/enable")[0] == 404


def test_pages_speak_russian(signed_in: SignIn) -> None:
    browser = signed_in(language="ru")
    for address in ("/settings/policies/", "/settings/policies/new", "/settings/plugins/"):
        assert browser.get(address).status_code == 200


def test_used_policies_stay(
    browser: FlaskClient, plugins: Plugins, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        policy = create_policy(session, plugins, tenant_id, name="Used")
        session.execute(
            text(
                "INSERT INTO mailing (tenant_id, channel, policy_id)"
                " VALUES (:tenant, 'email', :policy)"
            ),
            {"tenant": tenant_id, "policy": policy.id},
        )
    status, page = post(browser, f"/settings/policies/{policy.id}/delete")
    assert status == 409
    assert "used by 1 mailing" in page
