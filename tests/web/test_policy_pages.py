"""Pages of communication policies and plugins."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.policies.service import create_policy, list_policies
from ledger_rows import NOW, add_customers, add_messages, add_run
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
    assert "At most 2 messages by Email in any 3 days; more are deferred" in page
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


def test_plugins_are_listed_and_those_of_a_policy_stay_on(browser: FlaskClient, app: Flask) -> None:
    page = browser.get("/settings/plugins/").get_data(as_text=True)
    for name in app.extensions["envoi"].plugins.infos:
        assert name in page
    assert "always on" in page
    assert post(browser, "/settings/plugins/web/disable")[0] == 409
    post(browser, "/settings/policies/new", name="Gentle", **RULE)
    status, page = post(browser, "/settings/plugins/policy-frequency-cap/disable")
    assert status == 409
    assert "used by the policies Gentle" in page
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


def test_a_policy_is_tried_on_last_month_before_it_is_saved(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    people = add_customers(database, tenant_id, 5)
    for days in (9, 8):
        run = add_run(database, tenant_id, launched_at=NOW - timedelta(days=days))
        add_messages(database, run, people, accepted_at=NOW - timedelta(days=days))
        with database.tenant_session(tenant_id) as session:
            session.execute(
                text(
                    "UPDATE run SET collected_at = created_at + interval '1 second',"
                    " volume = '{\"recipients\": 5}' WHERE tenant_id = :t"
                ),
                {"t": tenant_id},
            )
    status, page = post(
        browser,
        "/settings/policies/dry-run",
        name="Gentle",
        **RULE | {"rules.0.most": "1", "rules.0.over_limit": "drop"},
    )
    assert status == 200
    assert "5 of 10 messages would have been blocked, 0 sent later." in page
    assert 'value="Gentle"' in page
    with database.tenant_session(tenant_id) as session:
        assert len(list_policies(session, tenant_id)) == 1
    status, page = post(
        browser, "/settings/policies/dry-run", name="", **RULE | {"rules.0.most": "x"}
    )
    assert status == 422


def test_quiet_hours_are_typed_as_times(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    hours = {
        "kind": "quiet_hours",
        "rules.0.begin": "21:30",
        "rules.0.end": "07:00",
        "rules.0.in_quiet": "defer",
    }
    assert post(browser, "/settings/policies/new", name="Night", **hours)[0] == 303
    with database.tenant_session(tenant_id) as session:
        uses = list_policies(session, tenant_id)
        policy = next(u.policy for u in uses if u.policy.name == "Night")
        assert policy.rules[0]["settings"]["begin"] == "21:30:00"
    form = browser.get(f"/settings/policies/{policy.id}").get_data(as_text=True)
    assert re.search(r'type="time" id="rules\.0\.begin" name="rules\.0\.begin" value="21:30"', form)
    status, page = post(
        browser, "/settings/policies/new", name="Odd", **hours | {"rules.0.end": "21:30"}
    )
    assert status == 422
    assert "begin and end at the same time" in page


def test_the_page_of_a_policy_names_the_mailings_that_use_it(
    browser: FlaskClient, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        policy = create_policy(session, plugins, tenant_id, name="Calm")
        run = add_run(database, tenant_id)
    with database.tenant_session(tenant_id) as session:
        session.execute(
            text("UPDATE mailing SET policy_id = :p WHERE tenant_id = :t AND id = :m"),
            {"p": policy.id, "t": tenant_id, "m": run.mailing_id},
        )
    page = browser.get(f"/settings/policies/{policy.id}").get_data(as_text=True)
    assert f'href="/mailings/{run.mailing_id}">Coffee week' in page
