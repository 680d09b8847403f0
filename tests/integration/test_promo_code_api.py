"""Promo codes over the API: groups and codes of another system, as often as it asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import Client, TestResponse

from envoi.api.keys import make_key
from envoi.db import Database
from envoi.plugins import Plugins
from envoi.tenants.plugins import switch_plugin
from envoi.tenants.service import create_tenant
from envoi.tracking.app import TrackingApp
from envoi.tracking.tokens import TokenSigner
from envoi_module_promo_codes import groups

GROUP = "/api/v1/promo-codes/Spring%20sale"
CODES = f"{GROUP}/codes"
SIGNER = TokenSigner(["a secret of the tests, 32 letters"])


class System:
    """Another system with a key of a company."""

    def __init__(self, client: Client, database: Database, tenant_id: int) -> None:
        self.client = client
        with database.tenant_session(tenant_id) as session:
            self.key = make_key(session, tenant_id, "The till", None)

    def __call__(self, verb: str, path: str, body: Any = None) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.client.open(path, method=verb, data=json.dumps(body), headers=headers)


def said(answer: TestResponse) -> Any:
    """What an answer holds."""
    return json.loads(answer.data)


@pytest.fixture
def client(database: Database, plugins: Plugins) -> Iterator[Client]:
    app = TrackingApp(database, SIGNER, plugins)
    yield Client(app)
    app.close()


@pytest.fixture
def call(client: Client, database: Database, tenant_id: int) -> System:
    return System(client, database, tenant_id)


def test_a_group_is_made_filled_and_read_however_often(call: System) -> None:
    assert call("GET", GROUP).status_code == 404
    for _ in range(2):
        made = call("PUT", GROUP, {"expires_on": "2030-05-01"})
        assert made.status_code == 200
        assert made.json == {
            "name": "Spring sale",
            "expires_on": "2030-05-01",
            "total": 0,
            "remaining": 0,
            "issued": 0,
            "sent": 0,
            "blocked": 0,
        }
    assert call("POST", CODES, {"codes": ["A1", "A2", "A1"]}).json == {"added": 2, "known": 0}
    assert call("POST", CODES, {"codes": ["A1", "A2", "A3"]}).json == {"added": 1, "known": 2}
    shown = said(call("GET", GROUP))
    assert (shown["total"], shown["remaining"]) == (3, 3)
    assert said(call("PUT", GROUP, {"expires_on": None}))["expires_on"] is None


def test_wrong_codes_are_named_one_by_one_and_none_is_taken(call: System) -> None:
    call("PUT", GROUP, {})
    refused = call("POST", CODES, {"codes": ["A1", "two words", "", "A" * 65]})
    assert refused.status_code == 422
    fields = [error["field"] for error in said(refused)["errors"]]
    assert fields == ["codes.1", "codes.2", "codes.3"]
    control = call("POST", CODES, {"codes": ["A1", "B\u0007"]})
    assert control.status_code == 422
    assert said(control)["errors"][0]["message"].startswith("Line 2 is no code")
    assert said(call("GET", GROUP))["total"] == 0


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("PUT", "/api/v1/promo-codes/%22quoted%22", {}, 422),
        ("PUT", "/api/v1/promo-codes/" + "x" * 61, {}, 422),
        ("PUT", GROUP, {"expires_on": "soon"}, 422),
        ("PUT", GROUP, {"strange": 1}, 422),
        ("PUT", GROUP, None, 422),
        ("POST", CODES, {"codes": []}, 422),
        ("POST", CODES, {"codes": ["A"]}, 404),
        ("DELETE", GROUP, None, 405),
        ("GET", "/api/v1/promo-codes/%00", None, 404),
    ],
)
def test_what_is_wrong_is_refused(
    call: System, verb: str, path: str, body: Any, status: int
) -> None:
    assert call(verb, path, body).status_code == status


def test_companies_see_their_own(client: Client, call: System, database: Database) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    theirs = System(client, database, other)
    call("PUT", GROUP, {})
    call("POST", CODES, {"codes": ["A1"]})
    assert theirs("GET", GROUP).status_code == 404
    assert theirs("POST", CODES, {"codes": ["A1"]}).status_code == 404
    theirs("PUT", GROUP, {})
    assert theirs("POST", CODES, {"codes": ["A1"]}).json == {"added": 1, "known": 0}


def test_a_company_without_the_plugin_has_no_such_address(
    call: System, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    call("PUT", GROUP, {})
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, plugins, tenant_id, "module-promo-codes", on=False)
    assert call("GET", GROUP).status_code == 404
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, plugins, tenant_id, "module-promo-codes", on=True)
        assert [group.name for group in groups.list_groups(session, tenant_id)] == ["Spring sale"]
    assert call("GET", GROUP).status_code == 200
