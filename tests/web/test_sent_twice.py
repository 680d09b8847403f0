"""One button pressed by two sessions at once, and a form sent twice: one thing, and no failure."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from envoi.accounts.models import ApiKey
from envoi.accounts.permissions import Role
from envoi.customers.models import CustomField, Import
from envoi.db import Database, table
from envoi.delivery.models import Run
from envoi.exports.models import Export
from envoi.library.models import StoredFile, Template
from envoi.library.templates import create_template
from envoi.mailings import service, variants
from envoi.mailings.models import Mailing, Variant
from envoi.plugins import Plugins
from envoi.policies.models import Policy
from envoi.segments.models import Segment
from envoi.segments.service import create_segment
from envoi.subscriptions.models import MailingCategory
from envoi.target_audiences.models import TargetAudience
from envoi.target_audiences.service import create_audience
from envoi.tenants.models import WatcherGroup
from envoi.tenants.watchers import save_watcher_group
from factories.companies import Company, a_picture, founded
from factories.delivery import an_installation, email_content, smtp_gateway
from pages import SignIn, sign_in, token
from routes import ASKED, SAMPLES, SHARED, ask, contents, named

TREE = {"all": [{"source": "all_customers", "settings": {}}]}
PNG = a_picture()
PEOPLE = b"customer_id\nC-1\n"
SAVING = {"version": "1", "variant": "1"}
NAMED = {"template.name": "Twice"}
CONDITION = {"t.match": "all", "t.size": "1", "t.0.source": "all_customers", "t.0.json": "{}"}


@pytest.fixture
def browsers(app: Flask, employee: Any) -> tuple[FlaskClient, FlaskClient]:
    """Two windows in which the same employee is signed in."""
    email = employee(Role.ADMINISTRATOR)
    found = (app.test_client(), app.test_client())
    assert [sign_in(browser, email) for browser in found] == [302, 302]
    return found


@pytest.fixture
def owned(database: Database, tenant_id: int, plugins: Plugins, tmp_path: Path) -> dict[str, int]:
    """One of each thing that a button acts upon."""
    with database.tenant_session(tenant_id) as session:
        segment = create_segment(session, tenant_id, name="Bees", tree=TREE, plugins=plugins)
        audience = create_audience(session, tenant_id, "Hive")
        group = save_watcher_group(session, tenant_id, None, name="Eyes", addresses={})
        made = create_template(
            session, tenant_id, channel="email", name="Letter", content={"blocks": []}
        )
        draft = service.create_draft(session, tenant_id, channel="email", name="Harvest")
        ready = service.create_draft(session, tenant_id, channel="email", name="Ready")
        variants.save_content(session, tenant_id, ready.id, ready.version, email_content())
        smtp_gateway(session, an_installation(database, plugins, tmp_path), tenant_id, 25)
        return {
            "segment": segment.id,
            "audience": audience.id,
            "group": group.id,
            "template": made.id,
            "draft": draft.id,
            "ready": ready.id,
        }


def at_once(browsers: Iterable[FlaskClient], address: str, form: Any) -> list[TestResponse]:
    """Send a form from every window at the same moment."""
    windows = [(browser, token(browser, "/own/")) for browser in browsers]
    start = Barrier(len(windows))

    def send(window: tuple[FlaskClient, str]) -> TestResponse:
        browser, csrf = window
        # A stream is read by one request; each has one of its own.
        files = {k: (BytesIO(v[1]), v[0]) for k, v in form.items() if isinstance(v, tuple)}
        start.wait()
        return browser.post(address, data={"csrf_token": csrf, **form, **files})

    with ThreadPoolExecutor(len(windows)) as pool:
        return list(pool.map(send, windows))


def count(database: Database, tenant_id: int, model: Any) -> int:
    rows = table(model)
    query = select(func.count()).select_from(rows).where(rows.c.tenant_id == tenant_id)
    with database.tenant_session(tenant_id) as session:
        return int(session.scalar(query) or 0)


MAKES: list[tuple[str, dict[str, Any], Any]] = [
    ("/mailings/new", {"name": "Spring", "channel": "email"}, Mailing),
    ("/mailings/{draft}/copy", {}, Mailing),
    ("/mailings/copy", {"id": "{draft}"}, Mailing),
    ("/mailings/{ready}/test", {"addresses": "eyes@fieldmarket.test"}, Run),
    ("/mailings/{draft}/what", {**SAVING, "do": "save-template", **NAMED}, Template),
    ("/mailings/{draft}/pictures", {"file": ("a.png", PNG)}, StoredFile),
    ("/mailings/{draft}/attachments", {"file": ("a.txt", b"Hello")}, StoredFile),
    ("/templates/{template}/duplicate", {}, Template),
    ("/images/", {"files": ("a.png", PNG)}, StoredFile),
    ("/customers/import/", {"kind": "customers", "file": ("a.csv", PEOPLE)}, Import),
    ("/audiences/import", {"name": "Hive", "file": ("a.csv", PEOPLE)}, Import),
    ("/customers/mailing", {"q": "anna"}, Mailing),
    ("/templates/{template}/use", {}, Mailing),
    ("/templates/starting/letter/use", {}, Mailing),
    ("/mailings/{draft}/what", {"version": "1", "do": "add-variant", "variant": "1"}, Variant),
    ("/segments/new", {"name": "Twice", **CONDITION}, Segment),
    ("/customers/segment", {"q": "anna"}, Segment),
    ("/segments/{segment}/export", {}, Export),
    ("/segments/{segment}/audience", {"name": "Twice", "do": "add"}, TargetAudience),
    ("/audiences/", {"name": "Twice"}, TargetAudience),
    ("/audiences/{audience}/export", {}, Export),
    ("/settings/categories", {"code": "twice", "name": "Twice"}, MailingCategory),
    ("/settings/fields", {"label": "Twice", "code": "twice", "type": "1"}, CustomField),
    ("/settings/watchers/new", {"name": "Twice", "emails": "a@b.test"}, WatcherGroup),
    ("/settings/policies/new", {"name": "Twice", "do": "save"}, Policy),
    ("/settings/api-keys", {"name": "Twice"}, ApiKey),
]
"""Every form that makes something: its address, what is filled in, what is made."""

DELETES: list[tuple[str, Any]] = [
    ("/audiences/{audience}/delete", TargetAudience),
    ("/segments/{segment}/delete", Segment),
    ("/settings/watchers/{group}/delete", WatcherGroup),
    ("/templates/{template}/delete", Template),
]


@pytest.mark.parametrize(("address", "form", "model"), MAKES)
def test_a_form_sent_twice_makes_one_thing(
    database: Database,
    tenant_id: int,
    browsers: tuple[FlaskClient, FlaskClient],
    owned: dict[str, int],
    address: str,
    form: dict[str, Any],
    model: Any,
) -> None:
    before = count(database, tenant_id, model)
    given = {k: owned["draft"] if v == "{draft}" else v for k, v in form.items()}
    answers = at_once(browsers, address.format(**owned), given)
    assert count(database, tenant_id, model) == before + 1
    found = sorted(answer.status_code for answer in answers)
    assert found[0] in (200, 303)
    assert found[1] in (200, 303, 409, 422)
    assert len({answer.location for answer in answers if answer.location}) <= 1


# The database deletes nothing the second time, which is as good; the ORM only remarks on it.
@pytest.mark.filterwarnings("ignore:DELETE statement on table")
@pytest.mark.parametrize(("address", "model"), DELETES)
def test_what_is_deleted_twice_is_gone(
    database: Database,
    tenant_id: int,
    browsers: tuple[FlaskClient, FlaskClient],
    owned: dict[str, int],
    address: str,
    model: Any,
) -> None:
    answers = at_once(browsers, address.format(**owned), {})
    assert {answer.status_code for answer in answers} <= {303, 404, 409}
    assert count(database, tenant_id, model) == 0


@pytest.fixture(scope="module")
def company(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    return founded(database, plugins, tmp_path_factory.mktemp("company"), "Heron")


@pytest.fixture(scope="module")
def window(app: Flask) -> FlaskClient:
    """In which the company's administrator signs in; some forms sign out."""
    return app.test_client()


@pytest.mark.parametrize("asked", [asked for asked in ASKED if asked[0] == "POST"], ids=named)
def test_no_form_makes_more_the_second_time(
    window: FlaskClient, database: Database, company: Company, asked: tuple[str, Rule]
) -> None:
    """Every form there is, filled in alike twice: the second time adds no row anywhere."""
    [owned] = set(asked[1].arguments) - SHARED or [""]
    values = {owned: company.numbers[owned][0]} if owned else {}
    samples = {name: SAMPLES.get(name, "email") for name in asked[1].arguments if name in SHARED}
    sizes = []
    for _time in range(2):
        if window.get("/own/").status_code != 200:
            sign_in(window, company.email)
        ask(window, *asked, samples | values, company)
        rows = contents(database, company)
        sizes.append({name: found[0] for name, found in rows.items()})
    first, second = sizes
    assert all(second[name] <= first.get(name, 0) for name in second)


def test_two_names_at_once(
    database: Database, tenant_id: int, browsers: tuple[FlaskClient, FlaskClient]
) -> None:
    """Two things cannot take one name; whoever is later is told so."""
    with database.tenant_session(tenant_id) as session:
        made = [create_audience(session, tenant_id, name).id for name in ("First", "Second")]
    csrf = [token(browser, "/own/") for browser in browsers]
    start = Barrier(2)

    def rename(place: int) -> int:
        start.wait()
        form = {"csrf_token": csrf[place], "name": "Same"}
        return browsers[place].post(f"/audiences/{made[place]}", data=form).status_code

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(rename, (0, 1)))
    assert found[0] == 303
    assert found[1] in (409, 422)


def test_a_copy_made_later_is_another_one(signed_in: SignIn, owned: dict[str, int]) -> None:
    browser = signed_in(Role.MARKETER)
    address = f"/mailings/{owned['draft']}/copy"
    first = browser.post(address, data={"csrf_token": token(browser, "/own/")}).location
    assert first
    again = browser.post(
        first.replace("/who", "/copy"), data={"csrf_token": token(browser, "/own/")}
    )
    assert again.location not in (None, first)


def test_two_people_make_two_drafts_of_one_name(
    database: Database, tenant_id: int, signed_in: SignIn
) -> None:
    made = set()
    for _person in range(2):
        browser = signed_in(Role.MARKETER)
        form = {"csrf_token": token(browser, "/own/"), "name": "Spring", "channel": "email"}
        made.add(browser.post("/mailings/new", data=form).location)
    assert len(made - {None}) == 2
    assert count(database, tenant_id, Mailing) == 2


def test_what_is_asked_for_otherwise_is_another_draft(
    signed_in: SignIn, owned: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "A_MOMENT", timedelta(minutes=1))
    browser = signed_in(Role.MARKETER)
    form = {"csrf_token": token(browser, "/own/"), "name": "Spring", "channel": "email"}
    asked: list[dict[str, str]] = [
        {},
        {"source": "all"},
        {"source": f"segment:{owned['segment']}"},
        {"source": f"audience:{owned['audience']}"},
        {"date": "2099-03-10"},
    ]
    made = [browser.post("/mailings/new", data=form | more).location for more in asked]
    again = [browser.post("/mailings/new", data=form | more).location for more in asked]
    assert len(set(made)) == len(asked)
    assert again == made


def test_copies_of_mailings_of_one_name_are_as_many(
    database: Database, tenant_id: int, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied tells them apart: here a setting of one, and the content of another."""
    monkeypatch.setattr(service, "A_MOMENT", timedelta(minutes=1))
    with database.tenant_session(tenant_id) as session:
        drafts = [
            service.create_draft(session, tenant_id, channel="email", name="Spring")
            for _draft in range(3)
        ]
        drafts[1].limit_per_minute = 60
        variants.save_content(session, tenant_id, drafts[2].id, 1, email_content())
        ids = [draft.id for draft in drafts]
    browser = signed_in(Role.MARKETER)
    csrf = {"csrf_token": token(browser, "/own/")}
    made = [browser.post(f"/mailings/{number}/copy", data=csrf).location for number in ids]
    assert len(set(made)) == 3
    for _time in range(2):
        browser.post("/mailings/copy", data=csrf | {"id": ids})
    assert count(database, tenant_id, Mailing) == 6, "these were just copied"


def test_everybody_chosen_while_somebody_else_saved(
    database: Database, tenant_id: int, signed_in: SignIn, owned: dict[str, int]
) -> None:
    """The conflict says who gets it in words, also where it is the whole base."""
    with database.tenant_session(tenant_id) as session:
        changes = {"segment_id": owned["segment"]}
        service.update_mailing(session, tenant_id, owned["draft"], 1, changes)
    browser = signed_in(Role.MARKETER)
    form = {"csrf_token": token(browser, "/own/"), "version": 1, "source": "all"}
    answer = browser.post(f"/mailings/{owned['draft']}/who", data=form)
    assert answer.status_code == 409
    assert "All customers" in answer.get_data(as_text=True)
