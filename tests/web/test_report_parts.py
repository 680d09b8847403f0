"""What the report's pages show besides the verdict: comparison, heat map, readers, period."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, text
from werkzeug.test import TestResponse

from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.delivery.models import MessageState
from envoi.mailings.kept import LARGE_RUN, count_report
from envoi.plugins import Plugins
from envoi.receipts.attribution import attribute
from envoi.tenants.service import create_tenant
from envoi.tracking.models import EventCounter, EventKind, MessageEvent
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_receipt, add_run
from pages import SignIn

LAUNCHED = (NOW - timedelta(days=20)).replace(hour=10, minute=0, second=0)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
PROXY = "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"
BODY = '<p><a href="https://shop.test/a">Tea</a> <a href="https://shop.test/b">Nuts</a></p>'
ONE = [
    {
        "number": 1,
        "share": 100,
        "content": {"subject": "Tea", "body_format": "html", "body": BODY},
    }
]


@pytest.fixture(scope="module")
def tenant_id(database: Database) -> int:
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fieldmarket").id


@pytest.fixture(scope="module")
def run(database: Database, tenant_id: int) -> LedgerRun:
    """40 recipients: 8 clicked the first link, 2 the second; 6 read behind Gmail's proxy."""
    links = {0: "https://shop.test/a", 1: "https://shop.test/b"}
    run = add_run(database, tenant_id, launched_at=LAUNCHED, variants=ONE, links=links)
    customers = add_customers(database, tenant_id, 40)
    add_messages(database, run, customers[:10], opened_at=LAUNCHED, clicked_at=LAUNCHED)
    add_messages(database, run, customers[10:35])
    add_messages(database, run, customers[35:], bounced_at=LAUNCHED)
    base = {"tenant_id": tenant_id, "run_id": run.run_id, "launched_on": run.launched_on}
    hits = [
        base
        | {
            "customer_id": customer,
            "at": LAUNCHED + timedelta(hours=1),
            "step": 1,
            "kind": int(EventKind.CLICK),
            "variant": 1,
            "link": int(n >= 8),
            "agent": PROXY if n < 6 else PHONE,
        }
        for n, customer in enumerate(customers[:10])
    ]
    opens = [
        {
            "tenant_id": tenant_id,
            "run_id": run.run_id,
            "variant": 1,
            "kind": int(EventKind.OPEN),
            "machine": False,
            "hour": LAUNCHED + timedelta(days=day),
            "hits": hits_then,
        }
        for day, hits_then in ((0, 7), (2, 5))
    ]
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(insert(table(MessageEvent)), hits)
        connection.execute(insert(table(EventCounter)), opens)
    for day, customer in ((1, customers[0]), (2, customers[1])):
        add_receipt(database, tenant_id, customer, LAUNCHED + timedelta(days=day))
    attribute(database, tenant_id, run.run_id)
    return run


@pytest.fixture(scope="module")
def other(database: Database, tenant_id: int) -> LedgerRun:
    """A second mailing, with a control group."""
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    return run


def words_of(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)).replace("\xa0", " ")


def rows_of(browser: FlaskClient, address: str) -> list[list[str]]:
    answer = browser.get(address)
    assert answer.status_code == 200
    return list(csv.reader(StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))


def test_mailings_are_compared(signed_in: SignIn, run: LedgerRun, other: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    query = f"id={run.mailing_id}&id={other.mailing_id}"
    words = words_of(browser.get(f"/mailings/compare?{query}"))
    assert "Customers 40 80" in words
    assert "Control group 0 40" in words
    assert "Delivered of sent 87.5 % 35 100.0 % 40" in words
    assert "No control group Not significant" in words
    rows = rows_of(browser, f"/mailings/compare.csv?{query}")
    found = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert [row["Delivered"] for row in found] == ["35", "40"]
    assert [row["Control group"] for row in found] == ["0", "40"]


def test_intervals_without_a_verdict_while_purchases_still_count(
    signed_in: SignIn, database: Database, tenant_id: int
) -> None:
    run = add_run(database, tenant_id, launched_at=NOW - timedelta(days=2))
    customers = add_customers(database, tenant_id, 80)
    add_messages(database, run, customers[:40])
    add_messages(database, run, customers[40:], state=MessageState.CONTROL)
    for customer in (*customers[:9], *customers[40:43]):
        add_receipt(database, tenant_id, customer, NOW - timedelta(days=1))
    words = words_of(signed_in().get(f"/mailings/{run.mailing_id}/report"))
    assert "+15.00 pp" in words
    assert "p = " not in words


@pytest.mark.parametrize("query", ["", "id=nonsense", f"id={2**70}", "id=0&id=0"])
def test_what_cannot_be_compared_says_how_to_choose(signed_in: SignIn, query: str) -> None:
    words = words_of(signed_in().get(f"/mailings/compare?{query}"))
    assert "Choose two to five mailings" in words


def test_mailings_of_others_and_too_many_are_left_out(
    signed_in: SignIn, database: Database, run: LedgerRun, other: LedgerRun
) -> None:
    stranger = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Other").id
    theirs = add_run(database, stranger)
    query = f"id={run.mailing_id}&id={other.mailing_id}&id={theirs.mailing_id}"
    page = signed_in().get(f"/mailings/compare?{query}&id=901&id=902&id=903")
    assert words_of(page).count("Coffee week") == 2
    assert "At most 5 mailings are compared" in words_of(page)


def test_who_may_not_see_reports_compares_nothing(signed_in: SignIn, run: LedgerRun) -> None:
    operator = signed_in(Role.OPERATOR)
    for address in ("compare", "compare.csv", f"{run.mailing_id}/report/links"):
        assert operator.get(f"/mailings/{address}?id={run.mailing_id}").status_code == 403
    assert "/mailings/compare" not in operator.get("/mailings/").text
    assert 'formaction="/mailings/compare"' in signed_in(Role.ANALYST).get("/mailings/").text


def test_each_link_of_the_message_bears_its_share(signed_in: SignIn, run: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    words = words_of(browser.get(f"/mailings/{run.mailing_id}/report/links"))
    assert "1. https://shop.test/a 8 8 80.0 %" in words
    frame = browser.get(f"/mailings/{run.mailing_id}/report/message?variant=1")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert words_of(frame).split("Tea")[0].endswith("80.0 % ")
    assert "20.0 % Nuts" in words_of(frame)
    assert browser.get(f"/mailings/{run.mailing_id}/report/links?variant=2").status_code == 404


def test_readers_add_up_by_device_and_by_program(signed_in: SignIn, run: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    words = words_of(browser.get(f"/mailings/{run.mailing_id}/report"))
    assert "Not told by the mail program 6 60.0 %" in words
    assert "Phone 4 40.0 %" in words
    rows = rows_of(browser, f"/mailings/{run.mailing_id}/report/figures.csv?of=readers")
    assert rows[1:] == [
        ["Gmail", "Not told by the mail program", "6"],
        ["Apple Mail", "Phone", "4"],
    ]


def test_domains_have_the_fate_of_their_messages(signed_in: SignIn, run: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    rows = rows_of(browser, f"/mailings/{run.mailing_id}/report/figures.csv?of=domains")
    assert rows[1:] == [["shop.test", "40", "35", "5", "10", "10"]]
    assert "shop.test 40 35 12.5 % 5" in words_of(browser.get(f"/mailings/{run.mailing_id}/report"))


def test_the_charts_show_the_chosen_days(signed_in: SignIn, run: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    first, last = (LAUNCHED + timedelta(days=n) for n in (1, 2))
    days = f"day_from={first:%Y-%m-%d}&day_to={last:%Y-%m-%d}"
    address = f"/mailings/{run.mailing_id}/report"
    assert "5 opens" in words_of(browser.get(f"{address}?{days}"))
    assert "12 opens" in words_of(browser.get(address))
    rows = rows_of(browser, f"{address}/figures.csv?of=days&{days}")
    assert [row[:2] for row in rows[1:]] == [
        [f"{first:%Y-%m-%d}", "1"],
        [f"{last:%Y-%m-%d}", "1"],
    ]
    assert days.replace("&", "&amp;") in browser.get(f"{address}?{days}").text


@pytest.mark.parametrize("days", ["day_from=soon", "day_to=0000-00-00", "day_from=9999-01-01"])
def test_days_that_are_none_show_everything(signed_in: SignIn, run: LedgerRun, days: str) -> None:
    words = words_of(signed_in().get(f"/mailings/{run.mailing_id}/report?{days}"))
    assert "12 opens" in words


def test_a_large_mailing_is_shown_at_once_and_in_full_when_it_is_counted(
    signed_in: SignIn, database: Database, plugins: Plugins, tenant_id: int
) -> None:
    run = add_run(database, tenant_id, launched_at=LAUNCHED)
    add_messages(database, run, add_customers(database, tenant_id, 3))
    make_large(database, run)
    browser, address = signed_in(Role.ANALYST), f"/mailings/{run.mailing_id}/report"
    words = words_of(browser.get(address))
    assert "The report is being counted." in words
    assert f"Customers {LARGE_RUN:,}" in words
    asking = {"HX-Request": "true", "HX-Target": "counting"}
    assert "HX-Refresh" not in browser.get(address, headers=asking).headers
    assert browser.get(f"{address}/figures.csv").status_code == 303
    assert browser.get(f"{address}/links").status_code == 303
    compared = words_of(browser.get(f"/mailings/compare?id={run.mailing_id}"))
    assert "Still being counted, look again in a moment: Coffee week" in compared
    count_report(database, plugins, tenant_id, run.run_id)
    assert browser.get(address, headers=asking).headers["HX-Refresh"] == "true"
    assert "Mailing efficiency" in words_of(browser.get(address))


def make_large(database: Database, run: LedgerRun) -> None:
    """Say in the run's volume that it has very many customers."""
    sizes = dict.fromkeys(("eligible", "control", "recipients", "deferred"), 0)
    lists: dict[str, object] = {name: [] for name in ("lines", "strata", "variants")}
    volume = lists | sizes | {"segment": LARGE_RUN, "computed_at": NOW.isoformat()}
    with database.tenant_connection(run.tenant_id) as connection:
        connection.execute(
            text("UPDATE run SET volume = CAST(:v AS jsonb) WHERE tenant_id = :t AND id = :r"),
            {"v": json.dumps(volume), "t": run.tenant_id, "r": run.run_id},
        )
