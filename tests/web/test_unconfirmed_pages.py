"""The report's part about messages of unknown outcome, and what can be done with them there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.delivery.models import MessageState, Run, RunBlock, RunStatus
from ledger_rows import LedgerRun, add_customers, add_messages, add_run
from pages import SignIn, token


@pytest.fixture
def run(database: Database, tenant_id: int) -> LedgerRun:
    """Five accepted, one of them sent twice, and three of which nobody knows."""
    run = add_run(database, tenant_id, variants=[{"number": 1, "content": {}}])
    customers = add_customers(database, tenant_id, 8)
    add_messages(database, run, customers[:4], block=0)
    add_messages(database, run, customers[4:5], block=0, detail="resent")
    lost = {"state": MessageState.UNCONFIRMED, "accepted_at": None, "block": 0}
    add_messages(database, run, customers[5:], **lost)
    with database.tenant_session(tenant_id) as session:
        found = session.get(Run, (tenant_id, run.run_id))
        assert found is not None
        found.expires_at = datetime.now(UTC) + timedelta(hours=1)
    return run


def words_of(browser: FlaskClient, run: LedgerRun) -> str:
    page = browser.get(f"/mailings/{run.mailing_id}/report").get_data(as_text=True)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\xa0", " ")


def post(browser: FlaskClient, run: LedgerRun, what: str) -> int:
    address = f"/mailings/{run.mailing_id}/unconfirmed/{what}"
    report = f"/mailings/{run.mailing_id}/report"
    return browser.post(address, data={"csrf_token": token(browser, report)}).status_code


def test_they_are_sent_again_and_that_is_taken_back(
    signed_in: SignIn, database: Database, tenant_id: int, run: LedgerRun
) -> None:
    browser = signed_in()
    assert "Unconfirmed 3 Possibly twice 1 Send again" in words_of(browser, run)
    assert post(browser, run, "resend") == 303
    words = words_of(browser, run)
    assert "Possibly twice 1 Will be sent again 3 Leave as it is" in words
    assert "3 messages are sent again." in words
    with database.tenant_session(tenant_id) as session:
        found = session.get(Run, (tenant_id, run.run_id))
        block = session.get(RunBlock, (tenant_id, run.run_id, 1))
        assert found is not None
        assert found.status == RunStatus.SENDING
        assert block is not None
        assert block.due_at > datetime.now(UTC) + timedelta(seconds=30), "it can be undone first"
    assert post(browser, run, "leave") == 303
    words = words_of(browser, run)
    assert "Unconfirmed 3 Possibly twice 1 Send again" in words
    assert "Will be sent again" not in words


def test_behind_the_number_are_those_who_may_have_got_it_twice(
    signed_in: SignIn, run: LedgerRun
) -> None:
    page = signed_in().get(f"/mailings/{run.mailing_id}/customers?outcome=resent")
    assert page.text.count("@shop.test") or page.text.count("Ann")
    assert "Possibly twice" in page.text


def test_who_may_not_start_mailings_may_not_send_again(signed_in: SignIn, run: LedgerRun) -> None:
    browser = signed_in(Role.ANALYST)
    assert "Unconfirmed 3" in words_of(browser, run)
    assert "Send again" not in words_of(browser, run)
    assert post(browser, run, "resend") == 403


def test_after_the_lifetime_nothing_is_offered(
    signed_in: SignIn, database: Database, tenant_id: int, run: LedgerRun
) -> None:
    with database.tenant_session(tenant_id) as session:
        found = session.get(Run, (tenant_id, run.run_id))
        assert found is not None
        found.expires_at = datetime.now(UTC)
    browser = signed_in()
    assert "Send again" not in words_of(browser, run)
    assert post(browser, run, "resend") == 409
