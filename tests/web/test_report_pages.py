"""The report's pages, by the worked example and by what each role may see."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.tenants.service import create_tenant
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_run
from pages import SignIn
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
    assert "So far no effect on buying can be told from chance" in words
    assert "Not significant" in words


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
    answer = signed_in().get(f"/mailings/{worked.mailing_id}/report/days.csv")
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
    for part in ("report", "report/days.csv", "customers"):
        assert browser.get(f"/mailings/{theirs.mailing_id}/{part}").status_code == 404


def test_in_russian_with_machines_and_amounts(signed_in: SignIn, worked: LedgerRun) -> None:
    words = open_report(signed_in(language="ru"), worked, "?machines=1&measure=amount")
    assert "Получатели покупали чаще, чем контрольная группа" in words
    assert "Not significant" not in words
