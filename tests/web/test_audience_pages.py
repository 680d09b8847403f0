"""Pages of target audiences, exports and versions: what they do, for whom, hostile names."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from envoi.accounts.permissions import Role
from envoi.customers.import_run import run_import
from envoi.db import Database
from envoi.exports.service import run_export
from envoi.installation import Installation
from envoi.jobs import Work
from envoi.plugins import Plugins
from envoi.segments.figures import refresh_figures
from envoi.segments.models import Segment
from envoi.segments.service import create_segment
from envoi.target_audiences.pending import change_pending
from factories.customers import index_customers, make_customers, make_receipts
from pages import TEST_SETTINGS, SignIn, token

HOSTILE = "<script>alert(1)</script>{{7*7}}"


def berlin(value: str = "berlin") -> dict[str, Any]:
    settings = {"criterion": "city", "operator": "is", "value": value}
    return {"all": [{"source": "attribute", "settings": settings}]}


@pytest.fixture
def segment(database: Database, tenant_id: int, plugins: Plugins) -> Segment:
    """The ten Berliners of forty customers."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40)
        index_customers(session.connection(), tenant_id)
        make_receipts(session, tenant_id, each=2)
        return create_segment(session, tenant_id, name=HOSTILE, tree=berlin(), plugins=plugins)


@pytest.fixture
def site(database: Database, plugins: Plugins) -> Installation:
    """What the workers of the tested application work with."""
    return Installation(TEST_SETTINGS, database, plugins)


def post(browser: FlaskClient, address: str, **fields: Any) -> tuple[int, str, str]:
    """Send a form; return status, text, location."""
    given = {**fields, "csrf_token": token(browser, "/own/")}
    answer = browser.post(address, data=given)
    return answer.status_code, answer.get_data(as_text=True), answer.headers.get("Location", "")


def shown(browser: FlaskClient, address: str) -> str:
    answer = browser.get(address)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200, page
    assert "<script>alert" not in page
    return page


def test_customers_of_a_segment_and_of_an_audience_come_in_pages(
    signed_in: SignIn,
    segment: Segment,
    database: Database,
    tenant_id: int,
    worked: Callable[[], None],
) -> None:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 40, first=41)
        index_customers(session.connection(), tenant_id)
    browser = signed_in()
    _, _, audience = post(browser, f"/segments/{segment.id}/audience", do="add", name="Berlin")
    worked()
    for address in (f"/segments/{segment.id}/customers", audience):
        page = shown(browser, f"{address}?size=10")
        assert (page.count('class="ev-row-sub">C-'), "20 customers" in page) == (10, True)
        assert re.search(r"<option selected>\s*10\s*<", page)
        further = re.search(r'href="([^"]+)" rel="next"', page)
        assert further
        assert "size=10" in further[1]
        assert shown(browser, address).count('class="ev-row-sub">C-') == 20
        assert "1 match" in shown(browser, f"{address}?q=c-40")


def due(database: Database, tenant_id: int, kind: str) -> list[int]:
    query = text("SELECT ref FROM due_work WHERE tenant_id = :t AND kind = :kind")
    with database.system_session() as session:
        return list(session.scalars(query, {"t": tenant_id, "kind": kind}))


def test_a_segment_goes_into_a_new_audience_and_out_again(
    signed_in: SignIn, segment: Segment, worked: Callable[[], None]
) -> None:
    browser = signed_in(Role.MARKETER)
    assert "No target audiences yet" in shown(browser, "/audiences/")
    address = f"/segments/{segment.id}/audience"
    assert post(browser, address, do="add")[0] == 422
    status, _, where = post(browser, address, do="add", name=HOSTILE)
    assert status == 303
    assert "are being added or removed" in shown(browser, where)
    worked()
    page = shown(browser, where)
    assert "are being added or removed" not in page
    assert page.count('class="ev-row-sub">C-') == 10
    assert "c•••@mail" in page
    audience_id = where.rsplit("/", 1)[1]
    assert ">10<" in shown(browser, "/audiences/")
    assert "C-40" in shown(browser, f"{where}?q=c-40")
    assert "Nobody is found" in shown(browser, f"{where}?q=c-39")
    status, _, _ = post(browser, address, do="remove", audience_id=audience_id)
    assert status == 303
    worked()
    assert "Nobody is in it yet" in shown(browser, where)


@pytest.fixture
def worked(database: Database, plugins: Plugins, tenant_id: int) -> Callable[[], None]:
    """Do what waits for a worker."""

    def work() -> None:
        for audience_id in due(database, tenant_id, Work.AUDIENCE):
            change_pending(database, plugins, tenant_id, audience_id)

    return work


def test_an_audience_is_made_renamed_changed_and_deleted(
    signed_in: SignIn, segment: Segment, worked: Callable[[], None]
) -> None:
    browser = signed_in()
    status, _, where = post(browser, "/audiences/", name="Regulars")
    assert status == 303
    status, page, _ = post(browser, "/audiences/", name="Regulars")
    assert (status, "There is a target audience of this name" in page) == (422, True)
    assert 'value="Regulars"' in page
    assert post(browser, where, name="Friends")[0] == 303
    assert post(browser, where, name="")[0] == 422
    assert post(browser, f"{where}/segment", do="add")[0] == 422
    assert post(browser, f"{where}/segment", do="add", segment_id=segment.id)[0] == 303
    worked()
    page = shown(browser, where)
    assert "Friends" in page
    customer = re.search(r'name="customer_id" value="(\d+)"', page)
    assert customer
    assert post(browser, f"{where}/remove", customer_id=customer[1])[0] == 303
    assert ", set " in shown(browser, where)
    assert "9 customers" in shown(browser, where)
    assert post(browser, f"{where}/delete")[0] == 303
    assert browser.get(where).status_code == 404


def test_a_change_that_cannot_be_made_is_told_until_another_is_asked_for(
    signed_in: SignIn,
    database: Database,
    tenant_id: int,
    plugins: Plugins,
    segment: Segment,
    worked: Callable[[], None],
) -> None:
    with database.tenant_session(tenant_id) as session:
        inner = create_segment(session, tenant_id, name="Inner", tree=berlin(), plugins=plugins)
        tree = {"all": [{"source": "segment", "settings": {"segment": inner.id}}]}
        outer = create_segment(session, tenant_id, name="Outer", tree=tree, plugins=plugins)
    browser = signed_in()
    _, _, where = post(browser, "/audiences/", name="Regulars")
    assert post(browser, f"{where}/segment", do="add", segment_id=outer.id)[0] == 303
    assert "Customers are being added or removed" in shown(browser, where)
    with database.tenant_session(tenant_id) as session:
        session.delete(session.merge(inner))
    worked()
    page = shown(browser, where)
    assert "The last change was not made; nobody was added or removed by it." in page
    assert "Customers are being added or removed" not in page
    assert "Последнее изменение не выполнено" in shown(signed_in(language="ru"), where)
    assert post(browser, f"{where}/segment", do="add", segment_id=segment.id)[0] == 303
    assert "The last change was not made" not in shown(browser, where)
    worked()
    page = shown(browser, where)
    assert "The last change was not made" not in page
    assert "10 customers" in page


def test_a_file_is_imported_with_its_result(
    signed_in: SignIn, segment: Segment, site: Installation, tenant_id: int
) -> None:
    browser = signed_in(Role.MARKETER)
    for fields in ({"mode": "one"}, {"mode": "each"}):
        assert post(browser, "/audiences/import", **fields)[0] == 422
    file = (io.BytesIO(b"C-1;\nC-2;\nnobody;\nC-1;\n"), "list.csv")
    status, _, where = post(browser, "/audiences/import", mode="one", name=HOSTILE, file=file)
    assert status == 303
    assert "You may leave this page" in shown(browser, where)
    run_import(site, tenant_id, int(where.rsplit("/", 1)[1]))
    page = shown(browser, where)
    assert "Result line by line" in page
    assert "Line 4: There is no customer with the number &#39;nobody&#39;." in page
    with browser.get(f"{where}/result.csv") as answer:
        assert "nobody" in answer.get_data(as_text=True)
    assert ">2<" in shown(browser, "/audiences/")


def test_customers_are_exported_once_for_oneself(
    signed_in: SignIn, segment: Segment, site: Installation, database: Database, tenant_id: int
) -> None:
    browser = signed_in(Role.SENIOR_MARKETER)
    for _ in range(2):
        assert post(browser, f"/segments/{segment.id}/export")[0] == 303
    [export_id] = due(database, tenant_id, "export_file")
    assert "Waiting" in shown(browser, "/exports/")
    run_export(site, tenant_id, export_id)
    page = shown(browser, "/exports/")
    link = re.search(r'href="(/exports/\d+/file\.csv)"', page)
    assert link
    with browser.get(link[1]) as answer:
        data = answer.get_data()
        assert answer.headers["Content-Disposition"].startswith("attachment")
    assert data.startswith(b"\xef\xbb\xbfexternal_id,")
    assert data.count(b"\n") == 11
    another = signed_in(Role.ADMINISTRATOR)
    assert another.get(link[1]).status_code == 404
    assert "No exports yet" in shown(another, "/exports/")
    assert signed_in(Role.MARKETER).get("/exports/").status_code == 403


def test_figures_are_counted_and_sorted(
    signed_in: SignIn,
    segment: Segment,
    plugins: Plugins,
    database: Database,
    tenant_id: int,
) -> None:
    with database.tenant_session(tenant_id) as session:
        other = create_segment(
            session, tenant_id, name="Nobody", tree=berlin("nowhere"), plugins=plugins
        )
        session.execute(text("DELETE FROM due_work WHERE tenant_id = :t"), {"t": tenant_id})
    browser = signed_in(Role.ANALYST)
    assert "being counted" in shown(browser, "/segments/")
    assert sorted(due(database, tenant_id, "segment_figures")) == [segment.id, other.id]
    for number in (segment.id, other.id):
        refresh_figures(database, plugins, tenant_id, number)
    page = shown(browser, "/segments/?sort=-total")
    assert "being counted" not in page
    assert page.index(f"/segments/{segment.id}") < page.index(f"/segments/{other.id}")
    assert "25.0\u00a0%" in page
    assert due(database, tenant_id, "segment_figures") == []
    assert "No segment matches" in shown(browser, "/segments/?q=other")
    assert post(browser, "/segments/figures", segment_ids=[segment.id, 10**9])[0] == 303
    assert due(database, tenant_id, "segment_figures") == [segment.id]
    card = shown(browser, f"/segments/{segment.id}/figures")
    assert "Good recipients by channel" in card
    assert "hx-get" not in card


def test_versions_are_shown_and_restored(
    signed_in: SignIn, segment: Segment, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    form = {
        "version": 1,
        "name": "Kazan",
        "do": "json",
        "json": '{"all": [{"source": "attribute", "settings":'
        ' {"criterion": "city", "operator": "is", "value": "kazan"}}]}',
    }
    assert post(browser, f"/segments/{segment.id}", **form)[0] == 303
    address = f"/segments/{segment.id}/versions"
    page = shown(browser, address)
    assert "Added: City is kazan" in page
    assert "Removed: City is berlin" in page
    assert "Renamed; before: &lt;script&gt;" in page
    assert page.count("Restore version") == 1
    assert post(browser, address, number=1, version=1)[0] == 409
    assert post(browser, address, number=1, version=2)[0] == 303
    assert "Version 3" in shown(browser, address)
    analyst = signed_in(Role.ANALYST)
    assert "Restore version" not in shown(analyst, address)
    assert post(analyst, address, number=1, version=3)[0] == 403


def test_the_customers_of_a_segment(signed_in: SignIn, segment: Segment) -> None:
    browser = signed_in(Role.MARKETER)
    address = f"/segments/{segment.id}/customers"
    page = shown(browser, address)
    assert page.count('class="ev-row-sub">C-') == 10
    assert "c-4@" not in page
    assert "c-4@" in shown(signed_in(), address)
    assert "Nobody is found" in shown(browser, f"{address}?q=c-39")
    assert signed_in(Role.ANALYST).get(address).status_code == 403


def test_a_mailing_is_created_from_a_segment(signed_in: SignIn, segment: Segment) -> None:
    browser = signed_in(Role.MARKETER)
    page = shown(browser, f"/segments/{segment.id}")
    assert 'name="channel" value="email"' in page
    status, _, where = post(
        browser, "/mailings/new", channel="email", segment_id=segment.id, name="Autumn"
    )
    assert status == 303
    assert "&lt;script&gt;alert(1)" in shown(browser, where)


def test_a_segment_sent_twice_is_made_once(signed_in: SignIn, segment: Segment) -> None:
    browser = signed_in()
    form = {"name": "Twice", "do": "json", "json": '{"all": [{"source": "all_customers"}]}'}
    first, second = (post(browser, "/segments/new", **form) for _ in range(2))
    assert (first[0], second[0], first[2]) == (303, 303, second[2])


def test_roles(signed_in: SignIn, segment: Segment) -> None:
    _, _, where = post(signed_in(), f"/segments/{segment.id}/audience", do="add", name="Few")
    analyst = signed_in(Role.ANALYST)
    page = shown(analyst, where)
    assert "Your role does not show customers" in page
    assert "C-40" not in page
    for address in (where, f"{where}/delete", f"{where}/remove", "/audiences/"):
        assert post(analyst, address, name="x")[0] == 403
    designer = signed_in(Role.DESIGNER)
    assert designer.get("/audiences/").status_code == 403
