"""Messages over SMPP: what breaks, refuses, slows down or falls silent leaves a true account."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.types import BatchConnection, Outgoing, ReportingConnection, SendResult, SendStatus
from envoi_provider_smpp.pdu import UDH, Command, Status, Tag
from envoi_simulators.smsc import Smsc
from processes import wait_until
from smsc import addresses, arrivals, smpp_account, texts

RUSSIAN = "Ваши баллы сгорят в пятницу. " * 6
LATIN = "Your points expire on Friday; {come} and spend them. " * 6


@pytest.fixture
def smsc() -> Iterator[Smsc]:
    with Smsc() as centre:
        yield centre


def send_until_taken(
    connection: BatchConnection, messages: list[Outgoing]
) -> dict[str, SendResult]:
    """Hand over as the core does: what was throttled goes again, nothing else does."""
    told: dict[str, SendResult] = {}
    while left := [message for message in messages if message.key not in told]:
        batch = left[: connection.batch_size]
        results = connection.send_batch(batch)
        for message, result in zip(batch, results, strict=True):
            if result.status is not SendStatus.THROTTLED:
                told[message.key] = result
    return told


def test_a_batch_goes_through_a_window(smsc: Smsc) -> None:
    connection = smpp_account(smsc.port, window=7).connect()
    smsc.faults.window, smsc.faults.answer_seconds = 7, 0.01
    messages = texts(100)
    results = connection.send_batch(messages)
    connection.close()
    assert [result.status for result in results] == [SendStatus.ACCEPTED] * 100
    assert [result.provider_id for result in results] == [t.message_id for t in smsc.taken]
    assert {status for _, status in smsc.statuses} == {0}
    assert [taken.address for taken in smsc.taken] == [m.address for m in messages]


def test_the_connection_is_of_the_kinds_that_the_core_asks_for(smsc: Smsc) -> None:
    connection = smpp_account(smsc.port).connect()
    assert isinstance(connection, BatchConnection)
    assert isinstance(connection, ReportingConnection)
    assert connection.batch_size == 500
    connection.close()


def test_a_message_says_what_it_should(smsc: Smsc) -> None:
    account = smpp_account(
        smsc.port, service_type="CMT", number_messages=True, system_type="LOYALTY"
    )
    connection = account.connect()
    [message] = texts(1, "Coffee for 3 €")
    connection.send(replace(message, lifetime_seconds=100_000))
    connection.send(replace(message, sender="1234"))
    connection.send(replace(message, sender="+74950000000"))
    connection.send(replace(message, sender=""))
    connection.close()
    first, second, third, fourth = (taken.message for taken in smsc.taken)
    assert (first.source, first.destination) == (("Fieldmarket", 5, 0), ("79160000000", 1, 1))
    assert fourth.source == ("", 0, 0)
    assert (second.source, third.source) == (("1234", 3, 0), ("74950000000", 1, 1))
    assert (first.service_type, first.registered_delivery) == ("CMT", 1)
    assert (first.validity, second.validity) == ("000001034640000R", "")
    assert len(first.tlvs[Tag.USER_MESSAGE_REFERENCE]) == 2
    assert smsc.taken[0].text == "Coffee for 3 €"


@pytest.mark.parametrize("text", [LATIN, RUSSIAN])
@pytest.mark.parametrize("long_texts", ["udh", "sar", "payload"])
def test_long_texts_arrive_whole(smsc: Smsc, text: str, long_texts: str) -> None:
    connection = smpp_account(smsc.port, long_texts=long_texts).connect()
    [result] = connection.send_batch(texts(1, text))
    connection.close()
    assert "".join(taken.text for taken in smsc.taken) == text
    if long_texts == "payload":
        assert (len(smsc.taken), result.submissions) == (1, ())
        return
    assert [taken.part[1:] for taken in smsc.taken] == [(3, 1), (3, 2), (3, 3)]
    assert len({taken.part[0] for taken in smsc.taken}) == 1
    assert {taken.message.esm_class for taken in smsc.taken} == {UDH * (long_texts == "udh")}
    told = [(part.number, part.provider_id) for part in result.submissions]
    assert told == [(n, taken.message_id) for n, taken in enumerate(smsc.taken, 1)]


def test_a_centre_may_speak_latin_1(smsc: Smsc) -> None:
    connection = smpp_account(smsc.port, alphabet="latin").connect()
    connection.send_batch([*texts(1, "Déjà vu @ 5 €"), *texts(1, "Баллы")])
    connection.close()
    assert smsc.taken[0].message.text == "Déjà vu @ 5 ?".encode("latin-1")
    assert smsc.taken[1].text == "Баллы"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"address": "nobody"}, Status.ESME_RINVDSTADR),
        ({"sender": "Магазин"}, Status.ESME_RINVSRCADR),
        ({"sender": "a name far too long"}, Status.ESME_RINVSRCADR),
        ({"payload": b"x" * 153 * 256}, Status.ESME_RINVMSGLEN),
    ],
)
def test_what_cannot_be_sent_is_refused_alone(
    smsc: Smsc, fields: dict[str, Any], code: int
) -> None:
    connection = smpp_account(smsc.port).connect()
    good, bad, last = texts(3)
    results = connection.send_batch([good, replace(bad, **fields), last])
    connection.close()
    statuses = [result.status for result in results]
    assert statuses == [SendStatus.ACCEPTED, SendStatus.REFUSED, SendStatus.ACCEPTED]
    assert results[1].code == code
    assert addresses([good, last]) == set(arrivals(smsc))


def test_each_message_has_its_own_refusal(smsc: Smsc) -> None:
    answers: dict[str, int] = {
        "79160000001": Status.ESME_RINVDSTADR,
        "79160000002": Status.ESME_RSUBMITFAIL,
        "79160000003": Status.ESME_RSYSERR,
        "79160000004": 0x0401,
    }
    smsc.faults.status = lambda message: answers.get(message.destination.text, 0)
    connection = smpp_account(smsc.port).connect()
    results = connection.send_batch(texts(6))
    connection.close()
    assert [result.status.value for result in results] == [
        *("accepted", "refused", "refused", "refused_now", "refused_now", "accepted")
    ]
    assert results[2].raw == "0x00000045 ESME_RSUBMITFAIL"
    assert results[4].raw == "0x00000401 of the operator's own"


def test_the_throttled_have_not_left_and_go_again(smsc: Smsc) -> None:
    smsc.faults.per_second = 30
    connection = smpp_account(smsc.port).connect()
    messages = texts(100)
    first = connection.send_batch(messages)
    held_back = [r for r in first if r.status is SendStatus.THROTTLED]
    assert 30 <= len(first) - len(held_back) <= 60
    assert {result.code for result in held_back} == {Status.ESME_RTHROTTLED}
    # One window was refused, and nothing more was tried.
    assert len([status for _, status in smsc.statuses if status]) <= 10
    left = [m for m, r in zip(messages, first, strict=True) if r in held_back]
    told = send_until_taken(connection, left)
    connection.close()
    assert {result.status for result in told.values()} == {SendStatus.ACCEPTED}
    assert arrivals(smsc) == dict.fromkeys(addresses(messages), 1)


def test_a_throttled_text_is_completed(smsc: Smsc) -> None:
    smsc.faults.per_second = 2
    connection = smpp_account(smsc.port).connect()
    [result] = connection.send_batch(texts(1, LATIN))
    connection.close()
    assert result.status is SendStatus.ACCEPTED
    assert sorted(taken.part[2] for taken in smsc.taken) == [1, 2, 3]
    assert [part.number for part in result.submissions] == [1, 2, 3]


def test_a_full_queue_throttles_as_well(smsc: Smsc) -> None:
    smsc.faults.window, smsc.faults.answer_seconds = 5, 0.05
    connection = smpp_account(smsc.port, window=10).connect()
    told = send_until_taken(connection, texts(20))
    connection.close()
    assert {result.status for result in told.values()} == {SendStatus.ACCEPTED}
    assert set(arrivals(smsc).values()) == {1}


def test_a_cut_session_leaves_only_the_unanswered_unknown(smsc: Smsc) -> None:
    smsc.faults.cut_at, smsc.faults.answer_seconds = {45}, 0.01
    connection = smpp_account(smsc.port).connect()
    messages = texts(100)
    results = connection.send_batch(messages)
    connection.close()
    unknown = {
        message.address
        for message, result in zip(messages, results, strict=True)
        if result.status is SendStatus.UNKNOWN
    }
    assert 1 <= len(unknown) <= 10
    assert Counter(r.status for r in results)[SendStatus.ACCEPTED] == 100 - len(unknown)
    assert addresses(messages) - unknown <= set(arrivals(smsc))
    assert set(arrivals(smsc).values()) == {1}
    assert len(smsc.binds) == 2


def test_what_has_not_left_is_told_when_nobody_lets_us_in_again(smsc: Smsc) -> None:
    smsc.faults.cut_at, smsc.faults.answer_seconds = {45}, 0.01
    connection = smpp_account(smsc.port).connect()
    smsc.faults.bind_status = Status.ESME_RSYSERR
    messages = texts(100)
    results = connection.send_batch(messages)
    held_back = {
        message.address
        for message, result in zip(messages, results, strict=True)
        if result.status is SendStatus.THROTTLED
    }
    assert len(held_back) >= 45
    assert not held_back & set(arrivals(smsc))
    with pytest.raises(TemporaryProviderError):
        connection.send_batch(messages)
    connection.close()


def test_twenty_cuts_make_no_duplicate(smsc: Smsc) -> None:
    smsc.faults.cut_at = set(range(50, 1_050, 50))
    smsc.faults.answer_seconds = 0.005
    connection = smpp_account(smsc.port).connect()
    messages = texts(1_100)
    told = send_until_taken(connection, messages)
    connection.close()
    unknown = {key for key, result in told.items() if result.status is SendStatus.UNKNOWN}
    assert 20 <= len(unknown) <= 200
    assert set(arrivals(smsc).values()) == {1}
    assert len(smsc.binds) == 21
    accepted = {m.address for m in messages if m.key not in unknown}
    assert accepted <= set(arrivals(smsc))


def test_a_part_that_was_taken_is_not_sent_twice(smsc: Smsc) -> None:
    smsc.faults.cut_at = {2}
    connection = smpp_account(smsc.port, window=1).connect()
    [first, second] = connection.send_batch(texts(2, LATIN))
    connection.close()
    assert [part.status.value for part in first.submissions] == ["accepted", "unknown", "accepted"]
    assert {part.status.value for part in second.submissions} == {"accepted"}
    assert [taken.part[2] for taken in smsc.taken] == [1, 2, 3] * 2
    assert first.submissions[0].provider_id == smsc.taken[0].message_id


def test_a_session_without_answers_ends(smsc: Smsc) -> None:
    smsc.faults.answer_seconds = 60
    connection = smpp_account(smsc.port, answer_timeout=0.3).connect()
    results = connection.send_batch(texts(15))
    connection.close()
    statuses = [result.status for result in results]
    assert statuses == [SendStatus.UNKNOWN] * 10 + [SendStatus.THROTTLED] * 5


@pytest.mark.parametrize("fault", ["is_silent", "cut"])
def test_a_dead_session_is_noticed_before_anything_leaves(smsc: Smsc, fault: str) -> None:
    connection = smpp_account(smsc.port, keepalive=0.1).connect()
    if fault == "cut":
        smsc.cut()
    else:
        smsc.faults.is_silent = True
    link = connection._link
    assert link
    wait_until(lambda: bool(link.lost), what="the loss of the session")
    assert {result.status for result in connection.send_batch(texts(5))} == {SendStatus.ACCEPTED}
    connection.close()
    assert len(smsc.binds) == 2


def test_a_session_that_is_alive_stays(smsc: Smsc) -> None:
    connection = smpp_account(smsc.port, keepalive=0.05).connect()
    link = connection._link
    assert link
    assert not link.wait_lost(0.4)
    connection.close()


def test_several_threads_send_by_sessions_of_their_own(smsc: Smsc) -> None:
    account = smpp_account(smsc.port)
    told: list[SendResult] = []

    def work(number: int) -> None:
        connection = account.connect()
        told.extend(connection.send_batch(texts(200, first=200 * number)))
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.status for result in told} == {SendStatus.ACCEPTED}
    assert len(arrivals(smsc)) == len(told) == 800


@pytest.mark.parametrize(
    ("prepare", "error", "raw"),
    [
        (
            lambda s: setattr(s, "accounts", {"envoi": "other"}),
            PermanentProviderError,
            "RINVPASWD",
        ),
        (lambda s: setattr(s, "accounts", {}), PermanentProviderError, "RINVSYSID"),
        (
            lambda s: setattr(s.faults, "bind_status", Status.ESME_RALYBND),
            TemporaryProviderError,
            "RALYBND",
        ),
        (lambda s: setattr(s.faults, "babbles", True), TemporaryProviderError, "HTTP/1.1"),
    ],
)
def test_who_is_not_let_in_hears_why(
    smsc: Smsc, prepare: Callable[[Smsc], None], error: type[Exception], raw: str
) -> None:
    prepare(smsc)
    account = smpp_account(smsc.port)
    for attempt in (account.connect, account.test):
        with pytest.raises(error) as refusal:
            attempt()
        assert raw in refusal.value.raw  # type: ignore[attr-defined]
        assert "secret" not in str(refusal.value)


def test_the_test_of_an_account_tells_the_centres_words(smsc: Smsc) -> None:
    words = smpp_account(smsc.port, binding="transceiver").test()
    assert words.startswith("bind_transceiver_resp 0x00000000 ESME_ROK, system_id envoi-smsc\n")
    assert "enquire_link_resp" in words
    assert [command for _, command in smsc.binds] == [Command.BIND_TRANSCEIVER]
