"""Reports that come while a message is being handed over, or waits to be sent again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError

from chains import Chain, a_cascade, phone, send, step
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunBlock
from envoi.delivery.unconfirmed import resend
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.feedback.reporting import reporter
from envoi.installation import Installation
from envoi.jobs import Work, announce
from envoi.plugins import Plugins
from envoi.tracking.tokens import MessageRef, signer_of
from envoi.types import DeliveryEvent, EventType, Outgoing, SendResult, SendStatus
from factories.customers import make_customers
from factories.delivery import an_installation, is_sent
from factories.scripted import Script, accepted, send_through, sms_run, with_provider

PATIENCE = 20.0


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, script: Script
) -> Installation:
    return an_installation(database, with_provider(plugins, script), tmp_path)


def rows(database: Database, run: Run) -> list[Message]:
    c = table(Message).c
    query = select(Message).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        return list(session.scalars(query.order_by(c.customer_id, c.step)))


@pytest.mark.parametrize("kind", [EventType.DELIVERED, EventType.FAILED, EventType.READ])
def test_a_report_that_overtakes_a_lost_answer_tells_that_the_message_was_taken(
    installation: Installation, database: Database, tenant_id: int, script: Script, kind: EventType
) -> None:
    report = reporter(database, signer_of(installation.settings), tenant_id, 0)

    def answer(message: Outgoing) -> SendResult:
        now = datetime.now(UTC)
        report(DeliveryEvent(type=kind, occurred_at=now, message_key=message.key), b"early")
        return SendResult(status=SendStatus.UNKNOWN, raw="the connection broke")

    script.answer = answer
    run = sms_run(installation, tenant_id, 3)
    send_through(installation, run)
    assert [row.state for row in rows(database, run)] == [MessageState.ACCEPTED] * 3
    assert len(script.calls) == 3, "none of them leaves again"
    assert is_sent(database, run)


def test_what_waits_to_be_sent_again_stays_once_it_is_reported(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    script.answer = lambda _: SendResult(status=SendStatus.UNKNOWN)
    run = sms_run(installation, tenant_id, 3, resends_unconfirmed=False)
    send_through(installation, run)
    with database.tenant_session(tenant_id) as session:
        assert resend(session, tenant_id, run.id, datetime.now(UTC)) == 3
    lucky = rows(database, run)[1]
    tell(database, run, lucky.customer_id, EventType.DELIVERED)
    script.answer = accepted
    send_through(installation, run)
    assert len(script.calls) == 3 + 2
    found = rows(database, run)
    assert {row.state for row in found} == {MessageState.ACCEPTED}
    assert [row.attempt for row in found if row.customer_id == lucky.customer_id] == [1]
    assert is_sent(database, run)


def tell(database: Database, run: Run, customer_id: int, kind: EventType) -> None:
    ref = MessageRef(run.tenant_id, run.id, customer_id, run.launched_on, 1, 1)
    event = DeliveryEvent(type=kind, occurred_at=datetime.now(UTC))
    with database.tenant_session(run.tenant_id) as session:
        apply(session, ref, event, Door.WEBHOOK)


# Nobody waits for whom waits for them


class Beside(threading.Thread):
    """Does something beside the test, and keeps what it failed with."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._work = work
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except OperationalError as error:
            self.error = error


def wait_until_one_waits(database: Database) -> None:
    """Return when a session of this database waits for another one's lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until = monotonic() + PATIENCE
    while monotonic() < until:
        with database.system_session() as session:
            if session.scalar(query):
                return
        sleep(0.02)
    raise AssertionError("nobody waits")


def test_a_report_waits_for_a_sender_that_records_its_block(
    site: Installation, database: Database, tenant_id: int, chain: Chain
) -> None:
    """Both take the block before the message."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1, phones=True)
    chain.answers["chat", phone(1)] = SendStatus.UNKNOWN
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    number = rows(database, run)[0].customer_id
    block, m = table(RunBlock).c, table(Message)
    theirs = (block.tenant_id == tenant_id, block.run_id == run.id)
    mine = (m.c.tenant_id == tenant_id, m.c.run_id == run.id, m.c.launched_on == run.launched_on)
    reporting = Beside(lambda: tell(database, run, number, EventType.FAILED))
    with database.tenant_session(tenant_id) as session:
        session.execute(select(block.number).where(*theirs).with_for_update())
        reporting.start()
        wait_until_one_waits(database)
        session.execute(update(m).where(*mine).values(detail="recorded"))
    reporting.join()
    assert reporting.error is None
    found = rows(database, run)[0]
    assert (found.state, found.detail) == (MessageState.ACCEPTED, "recorded")
    assert found.bounced_at is not None


def test_a_sender_waits_for_who_moves_on(
    site: Installation, database: Database, tenant_id: int, chain: Chain
) -> None:
    """Both announce the cascade's work before the senders'."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, phones=True)
    chain.answers["chat", phone(2)] = SendStatus.THROTTLED
    run = a_cascade(site, tenant_id, "chat", step("text"))
    sending = Beside(lambda: send(site, run))
    with database.tenant_session(tenant_id) as session:
        announce(session, tenant_id, Work.CASCADE, run.id)
        sending.start()
        wait_until_one_waits(database)
        # Sooner than a deadlock is noticed, which a sender would get over.
        session.execute(text("SET LOCAL lock_timeout = '500ms'"))
        announce(session, tenant_id, Work.SEND, run.id)
    sending.join()
    assert sending.error is None
    assert chain.got("chat") == {phone(1): 1}
    found = {row.state for row in rows(database, run)}
    assert found == {MessageState.ACCEPTED, MessageState.READY}
