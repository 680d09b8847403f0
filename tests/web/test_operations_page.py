"""The operations page: what runs now, of one's own company and of the processes behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.db import Database, table
from envoi.delivery.blocks import BlockKey
from envoi.delivery.models import (
    BlockState,
    Instance,
    MessageState,
    Run,
    RunBlock,
    RunStatus,
    Sender,
)
from envoi.delivery.restored import settle_in
from envoi.delivery.run_traffic import note_outcomes
from envoi.installation import Installation
from envoi.jobs import Work, announce
from envoi.operations.chores import GIVE_HINTS, RECONCILE, note_chore
from envoi.plugins import Plugins
from envoi.tenants.service import create_tenant
from factories.delivery import smtp_gateway
from ledger_rows import NOW, LedgerRun, add_run
from pages import PASSWORD, TEST_SETTINGS, SignIn, sign_in

OPERATIONS = "/settings/operations"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


@pytest.fixture
def run(database: Database, plugins: Plugins, tenant_id: int) -> Iterator[LedgerRun]:
    """A run of which a block waits and another one is with a sender."""
    found = add_run(database, tenant_id)
    with database.system_session() as session:
        sender = Sender(host="mill-7", pid=4711, recorder="nowhere.rec")
        session.add(sender)
    with database.tenant_session(tenant_id) as session:
        smtp_gateway(session, Installation(TEST_SETTINGS, database, plugins), tenant_id, 25)
        c = table(Run).c
        mine = (c.tenant_id == tenant_id, c.id == found.run_id)
        session.execute(
            table(Run).update().where(*mine).values(status=RunStatus.SENDING, finished_at=None)
        )
        for number, (state, size) in enumerate(
            ((BlockState.READY, 1234), (BlockState.CLAIMED, 77))
        ):
            block = RunBlock(
                tenant_id=tenant_id,
                run_id=found.run_id,
                number=number,
                launched_on=found.launched_on,
                state=state,
                size=size,
                due_at=NOW,
                sender_id=sender.id if state is BlockState.CLAIMED else None,
            )
            session.add(block)
        key = BlockKey(tenant_id, found.run_id, 1, found.launched_on)
        states = [MessageState.ACCEPTED] * 120 + [MessageState.UNCONFIRMED] * 3
        assert note_outcomes(session, key, states) == "email"
        announce(session, tenant_id, Work.SEND, found.run_id)
    yield found
    with database.system_session() as session:
        session.get_one(Sender, sender.id).ended_at = NOW


@pytest.fixture
def restored(database: Database) -> Iterator[None]:
    """The database takes itself for a copy of another one."""
    with database.engine.begin() as connection:
        connection.execute(table(Instance).update().values(identity="elsewhere"))
    yield
    settle_in(database)


def _seen(browser: FlaskClient) -> str:
    page = unescape(browser.get(OPERATIONS).get_data(as_text=True))
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_what_is_being_sent(browser: FlaskClient, database: Database, run: LedgerRun) -> None:
    for chore in (GIVE_HINTS, RECONCILE):
        note_chore(database, chore, 0.01)
    seen = _seen(browser)
    for said in ("1,234", " 77 ", "2.0/s", " 120 ", "mill-7", "4711", "Scheduler Works"):
        assert said in seen
    assert "Sending 1 " in seen


def test_another_company_sees_the_processes_alone(
    app: Flask, database: Database, run: LedgerRun
) -> None:
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fernhill").id
    email = f"{uuid4().hex[:12]}@fernhill.example"
    account = create_account(database, email=email, password=PASSWORD, name="Ben", language="en")
    set_role(database, tenant_id=other, account_id=account, role=Role.ADMINISTRATOR)
    browser = app.test_client()
    assert sign_in(browser, email) == 302
    seen = _seen(browser)
    assert "mill-7" in seen
    for secret in ("Coffee week", "1,234", " 77 ", "2.0/s", " 120 "):
        assert secret not in seen


def test_a_poll_gets_the_figures_alone(browser: FlaskClient, run: LedgerRun) -> None:
    answer = browser.get(OPERATIONS, headers={"HX-Request": "true", "HX-Target": "live"})
    text = answer.get_data(as_text=True)
    assert text.lstrip().startswith('<div id="live"')
    assert "<html" not in text


def test_a_poll_never_reads_the_ledger(
    browser: FlaskClient, database: Database, run: LedgerRun
) -> None:
    asked: list[str] = []

    def listen(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    event.listen(database.engine, "before_cursor_execute", listen)
    try:
        browser.get(OPERATIONS)
    finally:
        event.remove(database.engine, "before_cursor_execute", listen)
    assert any("run_block" in statement for statement in asked)
    assert [s for s in asked if re.search(r"\b(?:message|message_event)\b", s)] == []


def test_administrators_only(signed_in: SignIn) -> None:
    assert signed_in(Role.SENIOR_MARKETER).get(OPERATIONS).status_code == 403


def test_without_anything(browser: FlaskClient) -> None:
    seen = _seen(browser)
    assert "Nothing is being sent" in seen
    assert "There is no gateway yet." in seen


def test_a_restored_copy_says_that_it_sends_nothing_and_what_to_do(
    browser: FlaskClient, run: LedgerRun, restored: None
) -> None:
    for page in (OPERATIONS, f"/mailings/{run.mailing_id}/progress"):
        text = browser.get(page).get_data(as_text=True)
        assert "restored from a backup" in text
        assert "envoi mailing resume-after-restore" in text


def test_the_database_that_sends_says_nothing_of_it(browser: FlaskClient, run: LedgerRun) -> None:
    for page in (OPERATIONS, f"/mailings/{run.mailing_id}/progress"):
        assert "restored from a backup" not in browser.get(page).get_data(as_text=True)
