"""Receipts over SMPP come in by a session that is always there, and are answered once written."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from time import monotonic
from typing import Any

import pytest

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.types import DeliveryEvent, EventType
from envoi_provider_smpp.pdu import Address, Command, Pdu, ShortMessage, Status, cstring
from envoi_provider_smpp.receiver import receive
from envoi_simulators.smsc import Smsc, Taken
from envoi_simulators.smsc_receipts import Receipt, Shape, decimal, hexadecimal
from processes import wait_until
from smsc import smpp_account, smpp_settings, texts

SHAPES = [
    Receipt(),
    Receipt(state="UNDELIV", error="034"),
    Receipt(state="EXPIRED", shape=Shape.BARE),
    Receipt(state="REJECTD", shape=Shape.SPOKEN, error="no such subscriber"),
    Receipt(shape=Shape.TLV),
    Receipt(shape=Shape.UNMARKED),
    Receipt(is_early=True),
    Receipt(times=2),
    Receipt(state="LIMBO"),
]
FAILED = {"UNDELIV", "EXPIRED", "REJECTD"}


class Inbox:
    """What was reported, by any thread; `away` is how many reports find nobody at home first."""

    def __init__(self, away: int = 0) -> None:
        self.events: list[DeliveryEvent] = []
        self._away = away
        self._lock = threading.Lock()

    def report(self, event: DeliveryEvent, raw: bytes) -> None:
        assert raw
        with self._lock:
            if self._away:
                self._away -= 1
                raise TemporaryProviderError("The database is away. Send it again.")
            self.events.append(event)


@contextmanager
def receiving(smsc: Smsc, inbox: Inbox, **values: Any) -> Iterator[None]:
    """Hold the session that receives, as the core does."""
    stop = threading.Event()
    settings = smpp_settings(smsc.port, **values)
    thread = threading.Thread(target=receive, args=(settings, inbox.report, stop.is_set))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def by_turns(receipts: Sequence[Receipt]) -> Callable[[Taken], Sequence[Receipt]]:
    """One receipt for each message, in turn."""
    following = cycle(receipts)
    return lambda taken: [next(following)]


def kind_of(receipt: Receipt) -> EventType:
    if receipt.state in FAILED:
        return EventType.FAILED
    return EventType.DELIVERED if receipt.state == "DELIVRD" else EventType.UNKNOWN


def test_receipts_of_every_shape_are_matched_to_their_messages() -> None:
    count = 20 * len(SHAPES)
    inbox = Inbox()
    with Smsc(receipts=by_turns(SHAPES)) as smsc, receiving(smsc, inbox):
        connection = smpp_account(smsc.port).connect()
        results = connection.send_batch(texts(count))
        connection.close()
        wait_until(lambda: len(inbox.events) == count + count // len(SHAPES), what="the receipts")
        wait_until(lambda: not smsc.undelivered, what="the answers")
    told = {event.reference: event.type for event in inbox.events}
    expected = {r.provider_id: kind_of(s) for r, s in zip(results, cycle(SHAPES), strict=False)}
    assert told == expected
    twice = [n for n in Counter(event.reference for event in inbox.events).values() if n > 1]
    assert twice == [2] * (count // len(SHAPES))
    assert {event.reason for event in inbox.events} == {"", "no such subscriber"}


@pytest.mark.parametrize(("decimal_ids", "number"), [(False, decimal), (True, hexadecimal)])
def test_numbers_come_back_as_the_centre_likes(
    decimal_ids: bool, number: Callable[[str], str]
) -> None:
    inbox = Inbox()
    receipts = by_turns([Receipt(number=number)])
    with Smsc(receipts=receipts, decimal_ids=decimal_ids) as smsc, receiving(smsc, inbox):
        connection = smpp_account(smsc.port).connect()
        [result] = connection.send_batch(texts(1))
        connection.close()
        wait_until(lambda: bool(inbox.events), what="the receipt")
    assert inbox.events[0].reference == number(result.provider_id) != result.provider_id


def test_what_cannot_be_written_is_delivered_again() -> None:
    inbox = Inbox(away=3)
    with Smsc(receipts=by_turns([Receipt()])) as smsc, receiving(smsc, inbox):
        connection = smpp_account(smsc.port).connect()
        connection.send_batch(texts(5))
        connection.close()
        wait_until(lambda: len(inbox.events) == 5, what="the receipts")
        wait_until(lambda: not smsc.undelivered, what="the answers")


def test_receipts_wait_for_a_session_and_it_is_there_again_after_a_cut() -> None:
    inbox = Inbox()
    with Smsc(receipts=by_turns([Receipt()])) as smsc:
        connection = smpp_account(smsc.port).connect()
        connection.send_batch(texts(50))
        with receiving(smsc, inbox):
            wait_until(lambda: len(inbox.events) >= 50, what="the receipts that waited")
            for _ in range(3):
                began = monotonic()
                binds = len(smsc.binds)
                smsc.cut()
                wait_until(lambda b=binds: len(smsc.binds) > b, what="the session")  # type: ignore[misc]
                assert monotonic() - began < 10
            connection.send_batch(texts(50, first=50))
            wait_until(lambda: len({e.reference for e in inbox.events}) == 100, what="the others")
        connection.close()
        wait_until(lambda: not smsc.undelivered, what="the answers")


def test_a_transceiver_receives_by_the_session_that_sends() -> None:
    inbox = Inbox()
    with Smsc(receipts=by_turns([Receipt()])) as smsc:
        connection = smpp_account(smsc.port, binding="transceiver").connect()
        connection.deliver_to(inbox.report)
        connection.send_batch(texts(20))
        wait_until(lambda: len(inbox.events) == 20, what="the receipts")
        connection.close()
        assert [command for _, command in smsc.binds] == [Command.BIND_TRANSCEIVER]


def test_nobody_asked_for_receipts_yet_so_the_centre_keeps_them() -> None:
    inbox = Inbox()
    with Smsc(receipts=by_turns([Receipt()])) as smsc:
        connection = smpp_account(smsc.port, binding="transceiver").connect()
        connection.send_batch(texts(3))
        connection.deliver_to(inbox.report)
        wait_until(lambda: len(inbox.events) == 3, what="the receipts")
        connection.close()


def test_what_cannot_be_read_is_kept_and_not_sent_again() -> None:
    inbox = Inbox()
    answer = ShortMessage(source=Address("79160000001", 1, 1), destination=Address("1234", 3, 0))
    with Smsc() as smsc, receiving(smsc, inbox, binding="transceiver"):
        smsc.deliver(b"\0\1")
        smsc.deliver(answer.encode())
        wait_until(lambda: len(inbox.events) == 2, what="both")
        wait_until(lambda: not smsc.undelivered, what="the answers")
    assert {event.type for event in inbox.events} == {EventType.UNKNOWN}
    assert any("cut off" in event.raw or "without end" in event.raw for event in inbox.events)


@pytest.mark.parametrize(
    ("accounts", "status", "error"),
    [
        ({"envoi": "other"}, Status.ESME_ROK, PermanentProviderError),
        (None, Status.ESME_RSYSERR, TemporaryProviderError),
    ],
)
def test_who_is_not_let_in_says_so(
    accounts: dict[str, str] | None, status: Status, error: type[Exception]
) -> None:
    with Smsc(accounts=accounts) as smsc:
        smsc.faults.bind_status = status
        with pytest.raises(error, match="ESME_R"):
            receive(smpp_settings(smsc.port), Inbox().report, lambda: False)


def test_what_comes_together_with_the_answer_to_the_bind_is_not_lost() -> None:
    inbox = Inbox()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_answer_and_deliver_at_once, args=(server,))
        thread.start()
        stop = threading.Event()
        settings = smpp_settings(server.getsockname()[1], binding="transceiver")
        receiver = threading.Thread(target=receive, args=(settings, inbox.report, stop.is_set))
        receiver.start()
        wait_until(lambda: len(inbox.events) == 1, what="the receipt")
        stop.set()
        receiver.join()
        thread.join()
    assert inbox.events[0].reference == "7"


def _answer_and_deliver_at_once(server: socket.socket) -> None:
    session, _ = server.accept()
    with session:
        session.recv(1_000)
        phone, shop = Address("79160000001", 1, 1), Address("1234", 3, 0)
        receipt = ShortMessage(source=phone, destination=shop, text=b"id:7 stat:DELIVRD")
        answer = Pdu(Command.BIND_TRANSCEIVER.answer, 1, body=cstring("centre"))
        session.sendall(
            answer.encode() + Pdu(Command.DELIVER_SM, 1, body=receipt.encode()).encode()
        )
        while session.recv(1_000):
            pass


def test_a_report_that_fails_is_no_secret() -> None:
    def report(event: DeliveryEvent, raw: bytes) -> None:
        raise KeyError("nobody foresaw this")

    with Smsc(receipts=by_turns([Receipt()])) as smsc:
        connection = smpp_account(smsc.port).connect()
        connection.send_batch(texts(1))
        connection.close()
        with pytest.raises(KeyError, match="nobody foresaw"):
            receive(smpp_settings(smsc.port), report, lambda: False)
        wait_until(lambda: smsc.undelivered == 1, what="the centre to have the receipt again")
