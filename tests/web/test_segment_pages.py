"""Pages of segments: the list, the builder with and without a script, what roles may do."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.customers.models import CustomField, FieldType
from envoi.db import Database, table
from envoi.plugins import Plugins
from envoi.segments.models import Segment
from envoi.segments.service import create_segment
from envoi.tenants.service import create_tenant
from factories.customers import make_customers, make_receipts
from pages import SignIn, token

BERLIN = {
    "t.match": "all",
    "t.size": "1",
    "t.0.source": "attribute",
    "t.0.criterion": "city",
    "t.0.operator": "is",
    "t.0.fields": "value",
    "t.0.value": "berlin",
}
STORED = {
    "all": [
        {
            "source": "attribute",
            "settings": {"criterion": "city", "operator": "is", "value": "berlin"},
        }
    ]
}


@pytest.fixture
def browser(signed_in: SignIn, database: Database, tenant_id: int) -> FlaskClient:
    """An administrator of a company with forty customers."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
        make_receipts(session, tenant_id, each=2)
    return signed_in()


@pytest.fixture
def saved(database: Database, tenant_id: int, plugins: Plugins) -> Segment:
    """A segment of the company."""
    with database.tenant_session(tenant_id) as session:
        return create_segment(session, tenant_id, name="Berliners", tree=STORED, plugins=plugins)


def post(
    browser: FlaskClient, address: str, target: str = "", **fields: Any
) -> tuple[int, str, str]:
    """Send a form, as a script does when it names a target; return status, text, location."""
    given = {**fields, "csrf_token": token(browser, "/segments/")}
    headers = {"HX-Request": "true", "HX-Target": target} if target else {}
    answer = browser.post(address, data=given, headers=headers)
    return answer.status_code, answer.get_data(as_text=True), answer.headers.get("Location", "")


def fields_in(page: str) -> dict[str, str]:
    """The names and values of a page's inputs, as a browser would send most of them."""
    inputs = re.findall(r'<input[^>]*? name="(t[^"]*)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in inputs if not name.endswith(".match")}


def test_an_empty_list_says_what_a_segment_is(signed_in: SignIn) -> None:
    page = signed_in().get("/segments/").get_data(as_text=True)
    assert "No segments yet" in page
    assert "/segments/new" in page


def test_a_segment_is_built_counted_saved_and_listed(browser: FlaskClient) -> None:
    status, shown, _ = post(browser, "/segments/preview", **BERLIN)
    assert status == 200
    assert "<!doctype html>" in shown
    assert re.search(r'class="ev-big">10<', shown)
    assert "City is berlin." in shown
    status, _, where = post(browser, "/segments/new", name="Berliners", **BERLIN)
    assert status == 303
    page = browser.get(where).get_data(as_text=True)
    assert 'value="berlin"' in page
    assert "Not used yet." in page
    post(browser, "/segments/preview", "result", segment=where.rsplit("/", 1)[1], **BERLIN)
    listed = browser.get("/segments/").get_data(as_text=True)
    assert "Berliners" in listed
    assert ">10<" in listed


def test_a_script_gets_the_count_and_what_follows(browser: FlaskClient) -> None:
    status, shown, _ = post(browser, "/segments/preview", "result", **BERLIN)
    assert status == 200
    assert shown.lstrip().startswith('<section class="card" id="result"')
    assert 'id="follows" hx-swap-oob="true"' in shown
    assert 'id="builder"' not in shown
    assert shown.count("/customers/") == 10


def test_an_incomplete_condition_is_marked(browser: FlaskClient) -> None:
    status, shown, _ = post(browser, "/segments/preview", "builder", **{**BERLIN, "t.0.value": ""})
    assert status == 422
    assert 'id="t.0.value-error">Enter a text.' in shown
    assert 'href="#t.0.value"' in shown
    status, shown, _ = post(browser, "/segments/new", name="", **{**BERLIN, "t.0.value": ""})
    assert status == 422
    assert "Enter a name" in shown
    assert "Enter a text." in shown


def test_conditions_are_added_moved_and_deleted_without_a_script(browser: FlaskClient) -> None:
    _, page, _ = post(
        browser,
        "/segments/preview",
        do="add:t",
        **{**BERLIN, "t.new": "receipts:count"},
    )
    assert fields_in(page)["t.1.criterion"] == "count"
    form = fields_in(page) | {"t.match": "any"}
    _, page, _ = post(browser, "/segments/preview", do="up:t.1", **form)
    form = fields_in(page) | {"t.match": "any"}
    assert [form["t.0.criterion"], form["t.1.criterion"]] == ["count", "city"]
    assert form["t.1.value"] == "berlin"
    for action, size in (("copy:t.1", "3"), ("delete:t.0", "2"), ("group:t", "3"), ("x:t", "3")):
        _, page, _ = post(browser, "/segments/preview", do=action, **form)
        form = fields_in(page) | {"t.match": "any", "t.2.match": "not"}
        assert form["t.size"] == size
    assert form["t.2.size"] == "0"
    _, page, _ = post(browser, "/segments/preview", do="wrap:t.0", **form)
    assert fields_in(page)["t.0.0.criterion"] == "city"


def test_an_action_on_nothing_changes_nothing(browser: FlaskClient) -> None:
    for action in ("up:t.9", "delete:t.0.0.0", "add:t.7", "up:q", "up:t.x", "::"):
        status, page, _ = post(browser, "/segments/preview", do=action, **BERLIN)
        assert status == 200
        assert fields_in(page)["t.size"] == "1"


def test_json_is_taken_over_or_refused(browser: FlaskClient) -> None:
    text = (
        '{"not": [{"source": "receipts", "settings": {"criterion": "last", "operator": "never"}}]}'
    )
    status, page, _ = post(browser, "/segments/preview", do="json", json=text)
    assert status == 200
    assert re.search(r'class="ev-big">40<', page)
    status, page, _ = post(browser, "/segments/preview", do="json", json='{"not": [')
    assert status == 422
    assert "This is no JSON" in page
    assert "{&#34;not&#34;: [" in page


def test_a_change_on_an_old_version_is_refused_and_kept(
    browser: FlaskClient, saved: Segment
) -> None:
    address = f"/segments/{saved.id}"
    assert post(browser, address, name="First", version="1", **BERLIN)[0] == 303
    status, page, _ = post(browser, address, name="Second", version="1", **BERLIN)
    assert status == 409
    assert "Somebody else has changed this segment" in page
    assert "Theirs: First" in page
    assert 'value="Second"' in page
    assert post(browser, address, name="Second", version="1", over="2", **BERLIN)[0] == 303


def test_a_segment_over_a_deleted_field_says_so(
    browser: FlaskClient, database: Database, tenant_id: int, plugins: Plugins
) -> None:
    settings = {"criterion": "shoe_size", "operator": "ge", "value": 40}
    tree = {"all": [{"source": "custom_field", "settings": settings}]}
    with database.tenant_session(tenant_id) as session:
        session.add(CustomField(tenant_id=tenant_id, code="shoe_size", type=FieldType.NUMBER))
        session.flush()
        made = create_segment(session, tenant_id, name="Wide", tree=tree, plugins=plugins)
        field = table(CustomField)
        session.execute(field.delete().where(field.c.tenant_id == tenant_id))
    page = browser.get(f"/segments/{made.id}").get_data(as_text=True)
    status, shown, _ = post(
        browser,
        "/segments/preview",
        "result",
        segment=made.id,
        **fields_in(page),
        **{"t.match": "all"},
    )
    assert status == 422
    assert "The count could not be finished." in shown
    assert "field shoe_size, which was deleted" in shown


def test_a_used_segment_is_not_deleted_another_is(
    browser: FlaskClient, saved: Segment, database: Database, tenant_id: int, plugins: Plugins
) -> None:
    member = {"source": "segment", "settings": {"segment": saved.id}}
    with database.tenant_session(tenant_id) as session:
        upper = create_segment(
            session, tenant_id, name="Upper", tree={"all": [member]}, plugins=plugins
        )
    assert post(browser, f"/segments/{saved.id}/delete")[0] == 409
    assert post(browser, f"/segments/{upper.id}/delete")[0] == 303
    assert post(browser, f"/segments/{saved.id}/delete")[0] == 303


def test_another_companys_segment_is_not_there(
    browser: FlaskClient, database: Database, plugins: Plugins
) -> None:
    other = create_tenant(database, slug=f"o{uuid4().hex[:8]}", name="Other").id
    with database.tenant_session(other) as session:
        theirs = create_segment(session, other, name="Theirs", tree=STORED, plugins=plugins)
    address = f"/segments/{theirs.id}"
    assert browser.get(address).status_code == 404
    assert post(browser, address, name="x", version="1", **BERLIN)[0] == 404
    assert post(browser, f"{address}/delete")[0] == 404
    assert post(browser, "/segments/preview", segment=theirs.id, **BERLIN)[0] == 404


def test_roles(signed_in: SignIn, saved: Segment, database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 8)
    analyst = signed_in(Role.ANALYST)
    page = analyst.get(f"/segments/{saved.id}").get_data(as_text=True)
    assert "Save segment" not in page
    hidden = re.search(r'name="json" value="([^"]*)"', page)
    assert hidden
    text = html.unescape(hidden[1])
    status, shown, _ = post(
        analyst, "/segments/preview", "result", do="json", json=text, segment=saved.id
    )
    assert status == 200
    assert re.search(r'class="ev-big">2<', shown)
    assert "/customers/" not in shown
    assert post(analyst, f"/segments/{saved.id}", name="x", version="1", **BERLIN)[0] == 403
    assert analyst.get("/segments/new").status_code == 403
    assert signed_in(Role.OPERATOR).get("/segments/").status_code == 403


def test_in_russian(signed_in: SignIn, saved: Segment) -> None:
    page = signed_in(language="ru").get(f"/segments/{saved.id}").get_data(as_text=True)
    assert "Сохранить сегмент" in page
    assert "Город" in page
    assert "Изменён" in page or "изменён" in page
    assert str(datetime.now(UTC).year) in page
