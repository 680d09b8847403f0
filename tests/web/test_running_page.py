"""The page of a running mailing: how far, how fast, what went wrong, who confirmed it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account
from envoi.db import Database
from envoi.delivery.models import Gateway, MessageState, Run, RunStatus
from envoi.delivery.states import RESENT
from envoi.mailings.models import Mailing
from envoi.tenants.service import create_tenant
from ledger_rows import LedgerRun, add_customers, add_messages, add_run
from pages import SignIn

Changed = Callable[..., LedgerRun]


def minutes_ago(minutes: int) -> datetime:
    """A time by the clock of the test, not of the file: the page shows the last twelve minutes."""
    return datetime.now(UTC) - timedelta(minutes=minutes)


@pytest.fixture
def run_of(database: Database, tenant_id: int) -> Changed:
    """Makes a run of ten minutes that is being sent, with other values if wished."""

    def make(frozen: dict[str, Any] | None = None, **values: Any) -> LedgerRun:
        run = add_run(database, tenant_id, launched_at=minutes_ago(10), **frozen or {})
        with database.tenant_session(tenant_id) as session:
            gateway = Gateway(
                tenant_id=tenant_id, channel="email", provider="smtp", name="Relay", secrets=b""
            )
            session.add(gateway)
            session.flush()
            found = session.get(Run, (tenant_id, run.run_id))
            assert found is not None
            found.status, found.finished_at = RunStatus.SENDING, None
            found.gateway_id, found.collected_at = gateway.id, found.created_at
            for name, value in values.items():
                setattr(found, name, value)
        return run

    return make


def words_of(browser: FlaskClient, run: LedgerRun) -> str:
    page = browser.get(f"/mailings/{run.mailing_id}/progress").get_data(as_text=True)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).replace("\xa0", " ")


def test_speed_is_shown_against_the_limit(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run = run_of({"limit_per_minute": 40})
    customers = add_customers(database, tenant_id, 60)
    for minutes, mine in ((3, customers[:30]), (2, customers[30:55])):
        add_messages(database, run, mine, accepted_at=minutes_ago(minutes))
    add_messages(database, run, customers[55:], accepted_at=datetime.now(UTC))
    words = words_of(signed_in(), run)
    assert "Speed now 5 a minute limit 40" in words
    assert "at most 30" in signed_in().get(f"/mailings/{run.mailing_id}/progress").text
    assert "Delivered so far 60 100.0 % of sent" in words
    assert "Gateway Working Relay" in words


def test_a_gateway_that_gives_no_answer_is_said_to_give_none(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run = run_of()
    first, second = add_customers(database, tenant_id, 2)
    add_messages(database, run, [first], accepted_at=minutes_ago(9))
    add_messages(database, run, [second], state=MessageState.CLAIMED, accepted_at=None)
    assert "Gateway Not answering Relay" in words_of(signed_in(), run)


def test_what_went_wrong_is_told_in_the_gateways_own_words(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run, customers = run_of(), add_customers(database, tenant_id, 6)
    refused = {"state": MessageState.FAILED, "code": 550, "accepted_at": None}
    add_messages(database, run, customers[:3], detail="550 5.1.1 <no> such user", **refused)
    lost = {"state": MessageState.UNCONFIRMED, "accepted_at": None}
    add_messages(database, run, customers[3:4], **lost)
    add_messages(database, run, customers[4:])
    page = signed_in().get(f"/mailings/{run.mailing_id}/progress").get_data(as_text=True)
    assert "550 5.1.1 &lt;no&gt; such user" in page
    assert f"/mailings/{run.mailing_id}/customers?outcome=failed" in page
    words = words_of(signed_in(), run)
    assert "3 failed, 1 unconfirmed" in words
    assert "Not tried again 3" in words
    assert "now held 1" in words


def test_the_course_names_who_confirmed_it(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run = run_of()
    email = f"bo{run.run_id}@shop.test"
    account = create_account(database, email=email, password="correct horse battery", name="Bo Li")
    with database.tenant_session(tenant_id) as session:
        mailing = session.get(Mailing, (tenant_id, run.mailing_id))
        assert mailing is not None
        mailing.confirmed_by, mailing.confirmed_count = account, 9
        mailing.confirmed_at = datetime.now(UTC)
    words = words_of(signed_in(), run)
    assert "confirmed by Bo Li, 9 recipients" in words
    assert "through Relay" in words


def test_a_pause_says_why_and_since_when(signed_in: SignIn, run_of: Changed) -> None:
    reason = "The gateway refused 120 messages in a row."
    words = words_of(
        signed_in(),
        run_of(status=RunStatus.PAUSED, paused_at=datetime.now(UTC), pause_reason=reason),
    )
    assert f"{reason} Resume goes on with what has not left." in words
    assert "Paused since" in words


def test_while_it_is_collected_nothing_has_left(signed_in: SignIn, run_of: Changed) -> None:
    words = words_of(signed_in(), run_of(status=RunStatus.COLLECTING, collected_at=None))
    assert "Writing down who gets it" in words
    assert "Nothing has left yet." in words


def test_lists_are_linked_for_those_only_who_may_see_customers(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run = run_of()
    refused = {"state": MessageState.FAILED, "code": 550, "accepted_at": None}
    add_messages(database, run, add_customers(database, tenant_id, 1), **refused)
    address = f"/mailings/{run.mailing_id}/progress"
    assert "/customers?" in signed_in(Role.MARKETER).get(address).text
    assert "/customers?" not in signed_in(Role.ANALYST).get(address).text


def test_another_companys_run_is_not_there(signed_in: SignIn, database: Database) -> None:
    other = create_tenant(database, slug=f"o{uuid4().hex[:12]}", name="Other").id
    theirs = add_run(database, other)
    assert signed_in().get(f"/mailings/{theirs.mailing_id}/progress").status_code == 404


def test_what_left_with_an_outcome_nobody_knows_and_waits_is_told(
    signed_in: SignIn, database: Database, tenant_id: int, run_of: Changed
) -> None:
    run = run_of()
    waiting = {"state": MessageState.READY, "detail": RESENT, "accepted_at": None}
    add_messages(database, run, add_customers(database, tenant_id, 3), **waiting)
    words = words_of(signed_in(), run)
    assert (
        "The connection broke after the message may have been taken – Will be sent again 3" in words
    )


@pytest.mark.parametrize(
    ("role", "told"),
    [
        (Role.ADMINISTRATOR, "See the gateway"),
        (Role.ANALYST, "An administrator finds its answer in Settings, Gateways."),
    ],
)
def test_a_gateway_that_does_not_answer_is_named_with_the_way_to_it(
    signed_in: SignIn, run_of: Changed, role: Role, told: str
) -> None:
    run = run_of(status=RunStatus.PAUSED, paused_at=datetime.now(UTC), waits_for_gateway=True)
    words = words_of(signed_in(role), run)
    assert "Gateway Not answering Relay" in words
    assert told in words
