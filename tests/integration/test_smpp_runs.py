"""Whole runs over SMPP: limits, cuts and receipts end in a ledger that tells the truth."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy import select

from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, MessageState, Run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.feedback.receivers import Receivers
from envoi.feedback.reports import match_waiting
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi_provider_smpp.pdu import Command, Status
from envoi_simulators.smsc import Smsc, Taken
from envoi_simulators.smsc_receipts import Receipt
from factories.delivery import a_run, an_installation, is_sent
from processes import wait_until
from smsc import arrivals

TEXT = {"text": "Hello {{ client.properties.first_name }}, your points expire on Friday."}
LONG = {"text": "Hello {{ client.properties.first_name }}. " + "Your points expire. " * 15}


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def smpp_run(
    installation: Installation, tenant_id: int, smsc: Smsc, people: int, text: dict[str, str] = TEXT
) -> Run:
    """A run of SMS through a centre on this machine."""
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "envoi", "password": "secret"}
    with installation.database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="sms",
            provider="smpp",
            name="centre",
            values=account,
        )
        values = {"content": text, "channel": "sms", "resends_unconfirmed": False}
        return a_run(session, tenant_id, gateway.id, people, **values)  # type: ignore[arg-type]


def send_all(installation: Installation, run: Run, threads: int = 1) -> None:
    """Send until nothing is left, as workers do that are woken again and again."""

    def work(engine: Engine) -> None:
        while not is_sent(installation.database, run):
            if not engine.send_run(run.tenant_id, run.id, lambda: False):
                sleep(0.1)

    with SenderSession(installation.database, installation.settings.data_dir, threads) as sender:
        engine = Engine(installation, sender)
        workers = [threading.Thread(target=work, args=(engine,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        engine.connections.close_idle(0)


@contextmanager
def receivers(installation: Installation) -> Iterator[None]:
    """The process that receives reports, as a thread."""
    stopping = threading.Event()
    thread = threading.Thread(target=Receivers(installation).run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def messages(database: Database, run: Run) -> list[Message]:
    c = table(Message).c
    query = select(Message).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        return list(session.scalars(query))


def delivered(taken: Taken) -> list[Receipt]:
    return [Receipt()]


def test_what_a_centre_throttles_goes_again_and_hardly_anything_is_throttled_later(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with Smsc() as smsc:
        smsc.faults.per_second = 60
        run = smpp_run(installation, tenant_id, smsc, 300)
        began = monotonic()
        send_all(installation, run, threads=2)
        assert Counter(m.state for m in messages(database, run)) == {MessageState.ACCEPTED: 300}
        assert set(arrivals(smsc).values()) == {1}
        assert len(smsc.taken) == 300
        later = [status for at, status in smsc.statuses if at - began > 3]
    assert later.count(Status.ESME_RTHROTTLED) < 0.05 * len(later)


def test_twenty_cuts_make_no_duplicate_and_receipts_tell_what_was_unknown(
    installation: Installation,
    database: Database,
    tenant_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("envoi.feedback.reports.RECORDED", timedelta(0))
    with Smsc(receipts=delivered) as smsc, receivers(installation):
        smsc.faults.cut_at = set(range(25, 525, 25))
        smsc.faults.answer_seconds = 0.005
        run = smpp_run(installation, tenant_id, smsc, 550)
        wait_until(lambda: receiver_binds(smsc) > 0, what="the session for receipts", seconds=60)
        send_all(installation, run)
        wait_until(lambda: not smsc.undelivered, what="the receipts", seconds=30)
        before = Counter(m.state for m in messages(database, run))
        match_waiting(database, tenant_id, run.gateway_id or 0)
        assert set(arrivals(smsc).values()) == {1}
        assert before[MessageState.ACCEPTED] + before[MessageState.UNCONFIRMED] == 550
        assert 20 <= before[MessageState.UNCONFIRMED] <= 200
        told = [m for m in messages(database, run) if m.delivered_at]
        assert len(told) >= 0.95 * len(smsc.taken)


def receiver_binds(smsc: Smsc) -> int:
    return sum(command == Command.BIND_RECEIVER for _, command in smsc.binds)


def test_a_text_of_several_parts_is_delivered_when_all_of_them_are(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    def all_but_the_second_phones_last(taken: Taken) -> list[Receipt]:
        is_kept = taken.address.endswith("2") and taken.part[2] == taken.part[1]
        return [] if is_kept else [Receipt()]

    with Smsc(receipts=all_but_the_second_phones_last) as smsc, receivers(installation):
        run = smpp_run(installation, tenant_id, smsc, 3, LONG)
        send_all(installation, run)
        wait_until(lambda: receiver_binds(smsc) > 0, what="the session for receipts", seconds=60)
        wait_until(lambda: not smsc.undelivered, what="the receipts", seconds=30)
        assert len(smsc.taken) == 9
        match_waiting(database, tenant_id, run.gateway_id or 0)
        found = [m.delivered_at is not None for m in messages(database, run)]
        assert sorted(found) == [False, True, True]
