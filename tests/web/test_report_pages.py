"""The report's pages, by the worked example and by what each role may see."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from io import StringIO
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from sqlmodel import col
from werkzeug.test import TestResponse

from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.delivery.models import MessageState, Run, RunStatus
from envoi.exports.kinds import EXPORT_KINDS, ExportContext
from envoi.exports.models import Export
from envoi.jobs import Work, is_announced
from envoi.plugins import Plugins, load_plugins
from envoi.target_audiences.pending import change_pending
from envoi.target_audiences.service import create_audience, get_audience
from envoi.tenants.service import create_tenant
from envoi.tracking.models import EventCounter, EventKind, MessageEvent
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_run
from pages import SignIn, token
from worked_example import worked_example

LAUNCHED = NOW - timedelta(days=15)


@pytest.fixture(scope="module")
def tenant_id(database: Database) -> int:
    """One company for all tests here, because the worked example is large."""
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fieldmarket").id


@pytest.fixture(scope="module", autouse=True)
def worked(database: Database, tenant_id: int) -> LedgerRun:
    """The worked example, there first whichever test a worker begins with."""
    return worked_example(database, tenant_id, LAUNCHED)


def text_of(answer: TestResponse, status: int = 200) -> str:
    """The page's words without its tags."""
    page = answer.get_data(as_text=True)
    assert answer.status_code == status, page
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\xa0", " ")


def open_report(browser: FlaskClient, run: LedgerRun, query: str = "") -> str:
    return text_of(browser.get(f"/mailings/{run.mailing_id}/report{query}"))


def test_the_worked_example_in_words(signed_in: SignIn, worked: LedgerRun) -> None:
    words = open_report(signed_in(Role.ANALYST), worked)
    for sentence in (
        "Recipients bought more often than the control group: 24.7 % against 21.4 %.",
        "That is 3.2 percentage points more, and with 95 % confidence between 0.6 and 5.9.",
        "Sent, 33 failed",
        "Good recipients 14,255",
        "Control group, 7 % − 998",
        "5,612 43.1 % of delivered",
        "9,840 times",
        "+3.21 pp",
        "+0.56 … +5.86",
        "p = 0.023",
        "Refused by the gateway",
        "Lift is not attribution",
    ):
        assert sentence in words


def test_the_page_keeps_the_strict_policy(signed_in: SignIn, worked: LedgerRun) -> None:
    page = signed_in().get(f"/mailings/{worked.mailing_id}/report").get_data(as_text=True)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script>", page)


def test_while_the_window_is_open_it_says_so_far(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    run = add_run(database, tenant_id, launched_at=NOW - timedelta(days=2))
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    words = open_report(signed_in(), run)
    assert "So far 0.0 % of recipients and 0.0 % of the control group have bought." in words
    assert "told when the time for purchases is over" in words
    assert "ignificant" not in words
    assert "p = " not in words


def test_without_a_control_group_no_effect_is_claimed(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    add_messages(database, run, add_customers(database, tenant_id, 40))
    words = open_report(signed_in(), run)
    assert "cannot be told: there was no control group" in words
    assert "Significant" not in words


def test_every_link_of_the_report_opens(signed_in: SignIn, worked: LedgerRun) -> None:
    browser = signed_in()
    page = browser.get(f"/mailings/{worked.mailing_id}/report").get_data(as_text=True)
    links = set(re.findall(r'href="(/mailings/\d+/customers\?[^"]+)"', page))
    assert len(links) > 8
    for link in links:
        assert text_of(browser.get(link.replace("&amp;", "&")))


def test_pages_of_customers_follow_each_other(signed_in: SignIn, worked: LedgerRun) -> None:
    browser, seen = signed_in(), set[str]()
    url = f"/mailings/{worked.mailing_id}/customers?outcome=address_issue"
    while url:
        page = browser.get(url).get_data(as_text=True)
        seen |= set(re.findall(r'<span class="ev-row-sub">(C\d+)</span>', page))
        after = re.search(r'href="([^"]+after=\d+[^"]*)"[^>]*rel="next"', page)
        url = after[1].replace("&amp;", "&") if after else ""
    assert len(seen) == 71
    assert browser.get(f"/mailings/{worked.mailing_id}/customers?outcome=all").status_code == 404


def test_the_days_as_a_file(signed_in: SignIn, worked: LedgerRun) -> None:
    answer = signed_in().get(f"/mailings/{worked.mailing_id}/report/figures.csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.reader(StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
    assert rows[0] == ["Day", "Receipts", "Amount, EUR"]
    assert sum(int(row[1]) for row in rows[1:]) == 3_268
    assert len(rows) == 16


def test_roles(signed_in: SignIn, worked: LedgerRun) -> None:
    analyst, operator = signed_in(Role.ANALYST), signed_in(Role.OPERATOR)
    report, customers = (
        f"/mailings/{worked.mailing_id}/{part}" for part in ("report", "customers")
    )
    assert "/customers?" not in analyst.get(report).get_data(as_text=True)
    assert analyst.get(customers).status_code == 403
    assert operator.get(report).status_code == 403


def test_another_companys_report_is_not_there(
    signed_in: SignIn, database: Database, worked: LedgerRun
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Other").id
    theirs = add_run(database, other)
    browser = signed_in()
    for part in ("report", "report/figures.csv", "customers"):
        assert browser.get(f"/mailings/{theirs.mailing_id}/{part}").status_code == 404


def test_in_russian_with_machines_and_amounts(signed_in: SignIn, worked: LedgerRun) -> None:
    words = open_report(signed_in(language="ru"), worked, "?machines=1&measure=amount")
    assert "Получатели покупали чаще, чем контрольная группа" in words
    assert "Not significant" not in words


TWO = [
    {"number": 1, "share": 50, "content": {"subject": "=cmd {{ client.properties.first_name }}"}},
    {"number": 2, "share": 50, "content": {"subject": "Coffee week"}},
]


@pytest.fixture(scope="module")
def compared(database: Database, tenant_id: int) -> LedgerRun:
    """Two variants of which the first is clicked more, with links, hours and no control group."""
    links = {1: "https://shop.test/coffee", 2: "=HYPERLINK(evil)"}
    run = add_run(database, tenant_id, launched_at=LAUNCHED, variants=TWO, links=links)
    customers = add_customers(database, tenant_id, 200)
    for variant, mine, clicked in ((1, customers[:100], 30), (2, customers[100:], 8)):
        read = {"opened_at": LAUNCHED, "clicked_at": LAUNCHED, "variant": variant}
        add_messages(database, run, mine[:clicked], **read)
        add_messages(database, run, mine[clicked:], variant=variant)
    add_clicks(database, run, customers[:30])
    return run


def add_clicks(database: Database, run: LedgerRun, customers: list[int]) -> None:
    """Everybody follows the first link twice and a machine once; opens are at nine, UTC."""
    click = {
        "tenant_id": run.tenant_id,
        "run_id": run.run_id,
        "launched_on": run.launched_on,
        "step": 1,
        "kind": int(EventKind.CLICK),
        "variant": 1,
        "link": 1,
    }
    rows = [
        click | {"customer_id": c, "at": LAUNCHED + timedelta(seconds=n), "machine": n == 2}
        for c in customers
        for n in range(3)
    ]
    nine = LAUNCHED.replace(hour=9, minute=0, second=0)
    opens = {"variant": 1, "kind": int(EventKind.OPEN), "machine": False, "hits": 44}
    mine = {"tenant_id": run.tenant_id, "run_id": run.run_id, "hour": nine}
    with database.tenant_connection(run.tenant_id) as connection:
        connection.execute(insert(table(MessageEvent)), rows)
        connection.execute(insert(table(EventCounter)), [mine | opens])


def file_of(browser: FlaskClient, run: LedgerRun, query: str) -> list[list[str]]:
    answer = browser.get(f"/mailings/{run.mailing_id}/report/figures.csv?{query}")
    assert answer.status_code == 200
    return list(csv.reader(StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))


def test_variants_are_compared(signed_in: SignIn, compared: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    words = open_report(browser, compared)
    assert "A was clicked more often than B: 22.0 percentage points" in words
    assert "30.0 % 30" in words
    rows = file_of(browser, compared, "of=variants")
    assert rows[1][:2] == ["A", "'=cmd {{ client.properties.first_name }}"]
    assert [row[5] for row in rows[1:]] == ["30", "8"]


def test_links_are_counted_by_customers_and_by_clicks(
    signed_in: SignIn, compared: LedgerRun
) -> None:
    browser = signed_in(Role.ANALYST)
    assert "https://shop.test/coffee" in open_report(browser, compared)
    people = file_of(browser, compared, "of=links")
    assert people[1:] == [["https://shop.test/coffee", "30", "60"], ["'=HYPERLINK(evil)", "0", "0"]]
    assert file_of(browser, compared, "of=links&machines=1")[1][1:] == ["30", "90"]


def test_opens_by_hour_are_of_the_companys_day(signed_in: SignIn, compared: LedgerRun) -> None:
    rows = file_of(signed_in(Role.ANALYST), compared, "of=hours")
    assert len(rows) == 25
    busy = [hour for hour, opens in rows[1:] if opens != "0"]
    nine = LAUNCHED.replace(hour=9).astimezone(ZoneInfo("Europe/Berlin"))
    assert busy == [f"{nine.hour:02d}:00"]


def test_every_figure_is_a_file_for_those_who_may(signed_in: SignIn, worked: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    assert file_of(browser, worked, "of=funnel")[1] == ["Recipients", "13257"]
    assert file_of(browser, worked, "of=groups")[2][:3] == ["Control group", "998", "214"]
    address = f"/mailings/{worked.mailing_id}/report/figures.csv"
    assert browser.get(f"{address}?of=everything").status_code == 404
    assert signed_in(Role.OPERATOR).get(address).status_code == 403


def test_a_chosen_control_group_is_named_and_doubted(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        audience = create_audience(session, tenant_id, f"Staff {uuid4().hex[:6]}")
    run = add_run(database, tenant_id, launched_at=LAUNCHED, control_audience_id=audience.id)
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    words = open_report(signed_in(), run)
    assert f"Control group: {audience.name}" in words
    assert "It was chosen, not drawn by chance" in words


def test_while_it_is_sent_the_figures_are_so_far(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    run = add_run(database, tenant_id)
    add_messages(database, run, add_customers(database, tenant_id, 3))
    with database.tenant_session(tenant_id) as session:
        ended = session.get(Run, (tenant_id, run.run_id))
        assert ended is not None
        ended.status, ended.finished_at = RunStatus.SENDING, None
    words = open_report(signed_in(), run)
    assert "Sending since" in words
    assert "Figures so far" in words


def test_everybody_behind_a_number_goes_into_an_audience_once(
    signed_in: SignIn, database: Database, plugins: Plugins, tenant_id: int, compared: LedgerRun
) -> None:
    with database.tenant_session(tenant_id) as session:
        audience = create_audience(session, tenant_id, f"Clicked {uuid4().hex[:6]}")
    browser = signed_in(Role.MARKETER)
    address = f"/mailings/{compared.mailing_id}/customers"
    form = {"outcome": "clicked", "audience_id": audience.id, "csrf_token": token(browser, "/own/")}
    for _twice in range(2):
        answer = browser.post(f"{address}/audience", data=form)
        assert (answer.status_code, answer.location) == (303, f"/audiences/{audience.id}")
    assert "Customers are being added or removed" in text_of(browser.get(answer.location))
    with database.tenant_session(tenant_id) as session:
        waiting = get_audience(session, tenant_id, audience.id)
        assert (waiting.size, len(waiting.pending)) == (0, 1)
        assert is_announced(session, tenant_id, Work.AUDIENCE, audience.id)
    change_pending(database, plugins, tenant_id, audience.id)
    with database.tenant_session(tenant_id) as session:
        assert get_audience(session, tenant_id, audience.id).size == 38
    refused = browser.post(f"{address}/audience", data=form | {"outcome": "anybody"})
    assert refused.status_code == 404
    analyst = signed_in(Role.ANALYST)
    theirs = form | {"csrf_token": token(analyst, "/own/")}
    assert analyst.post(f"{address}/audience", data=theirs).status_code == 403


def test_an_audience_of_another_company_gets_nobody(
    signed_in: SignIn, database: Database, compared: LedgerRun
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Other").id
    with database.tenant_session(other) as session:
        theirs = create_audience(session, other, "Theirs").id
    their_run = add_run(database, other)
    browser = signed_in(Role.MARKETER)
    form = {"outcome": "clicked", "audience_id": theirs, "csrf_token": token(browser, "/own/")}
    for mailing_id in (compared.mailing_id, their_run.mailing_id):
        for action in ("audience", "export"):
            if (mailing_id, action) == (compared.mailing_id, "export"):
                continue
            answer = browser.post(f"/mailings/{mailing_id}/customers/{action}", data=form)
            assert answer.status_code in (403, 404)
    with database.tenant_session(other) as session:
        untouched = get_audience(session, other, theirs)
        assert (untouched.size, untouched.pending) == (0, [])


def test_everybody_behind_a_number_is_exported_in_the_background(
    signed_in: SignIn, database: Database, tenant_id: int, compared: LedgerRun
) -> None:
    browser = signed_in(Role.ADMINISTRATOR)
    form = {"outcome": "clicked", "csrf_token": token(browser, "/own/")}
    answer = browser.post(f"/mailings/{compared.mailing_id}/customers/export", data=form)
    assert answer.status_code == 303
    assert "Customers of a mailing" in text_of(browser.get("/exports/"))
    with database.tenant_session(tenant_id) as session:
        asked = {"mailing": compared.mailing_id, "outcome": "clicked", "contacts": True}
        made = session.scalars(select(Export).where(col(Export.params) == asked)).one()
        rows = EXPORT_KINDS[made.kind](context_of(session, tenant_id, asked)).query
        found = session.execute(rows).mappings().all()
    assert len(found) == 38
    assert {row["state"] for row in found} == {"accepted"}


def context_of(session: Session, tenant_id: int, params: dict[str, object]) -> ExportContext:
    """What a worker would make the rows from."""
    plugins = load_plugins()
    return ExportContext(
        session=session, tenant_id=tenant_id, params=params, plugins=plugins, now=NOW
    )


@pytest.mark.parametrize("size", [10, 25, 50, 100])
def test_as_many_rows_as_were_asked_for(signed_in: SignIn, compared: LedgerRun, size: int) -> None:
    address = f"/mailings/{compared.mailing_id}/customers?outcome=delivered&size={size}"
    page = signed_in().get(address).get_data(as_text=True)
    assert page.count('<span class="ev-row-sub">L') == size


def test_an_sms_is_delivered_and_clicked_and_never_opened(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    people = add_customers(database, tenant_id, 4)
    run = add_run(database, tenant_id, launched_at=LAUNCHED, channel="sms")
    delivered, clicked = {"delivered_at": NOW}, {"clicked_at": NOW, "opened_at": NOW}
    add_messages(database, run, people[:3], **delivered)
    add_messages(database, run, people[3:], **delivered | clicked)
    words = open_report(signed_in(Role.ANALYST), run)
    for sentence in (
        "SMS",
        "Delivered 100.0 % 4 of 4",
        "Clicked by people 25.0 % 1 of 4",
        "within 14 days of delivery",
        "Attributed receipts followed a delivered message",
    ):
        assert sentence in words
    for word in ("Opened", "Opens by hour", "mail programs", "Domains of recipients"):
        assert word not in words
