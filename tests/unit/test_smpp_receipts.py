"""Delivery receipts are understood in every shape that message centres give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.types import EventType
from envoi_provider_smpp.pdu import RECEIPT, UDH, Address, ShortMessage, Tag
from envoi_provider_smpp.receipts import event_of
from envoi_provider_smpp.settings import Alphabet

MOMENT = timedelta(minutes=1)
PHONE = Address("79160000001", 1, 1)
FULL = (
    "id:5a000001 sub:001 dlvrd:001 submit date:2611221405 done date:2611221406"
    " stat:{} err:{} text:Your points"
)


def receipt(
    text: str = "", tlvs: Mapping[int, bytes] | None = None, esm_class: int = RECEIPT
) -> ShortMessage:
    return ShortMessage(
        source=PHONE,
        destination=Address("Shop", 5),
        text=text.encode(),
        tlvs=tlvs or {},
        esm_class=esm_class,
    )


@pytest.mark.parametrize(
    ("text", "kind", "reference", "status", "code"),
    [
        (FULL.format("DELIVRD", "000"), EventType.DELIVERED, "5a000001", "DELIVRD", 0),
        (FULL.format("UNDELIV", "034"), EventType.FAILED, "5a000001", "UNDELIV", 34),
        (FULL.format("EXPIRED", "001"), EventType.FAILED, "5a000001", "EXPIRED", 1),
        (FULL.format("DELETED", "000"), EventType.FAILED, "5a000001", "DELETED", 0),
        (FULL.format("REJECTD", "011"), EventType.FAILED, "5a000001", "REJECTD", 11),
        (FULL.format("ACCEPTD", "000"), EventType.DEFERRED, "5a000001", "ACCEPTD", 0),
        (FULL.format("ENROUTE", "000"), EventType.DEFERRED, "5a000001", "ENROUTE", 0),
        (FULL.format("UNKNOWN", "000"), EventType.UNKNOWN, "5a000001", "UNKNOWN", 0),
        (FULL.format("PURPLE", "000"), EventType.UNKNOWN, "5a000001", "PURPLE", 0),
        ("id:77 stat:delivrd err:", EventType.DELIVERED, "77", "DELIVRD", 0),
        ("ID: 77 Stat: Undelivered Err: 5", EventType.FAILED, "77", "UNDELIVERED", 5),
        ("id:77 submit_date:2611 done_date:x stat:FAILED", EventType.FAILED, "77", "FAILED", 0),
        ("stat:REJECTED id:77", EventType.FAILED, "77", "REJECTED", 0),
        ("id:7 sub:1dlvrd:0 stat:EXPIRED err:9 text:id:8", EventType.FAILED, "7", "EXPIRED", 9),
    ],
)  # fmt: skip
def test_texts(text: str, kind: EventType, reference: str, status: str, code: int) -> None:
    event = event_of(receipt(text))
    assert (event.type, event.reference, event.status, event.code) == (
        kind,
        reference,
        status,
        code,
    )
    assert event.recipient == "+79160000001"
    assert event.raw == text


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        ("", "", 0),
        (" 12", "", 12),
        ("000", "", 0),
        ("9" * 5_000, "", 99_999),
        (" absent subscriber", "absent subscriber", 0),
        ("F", "F", 0),
    ],
)
def test_errors_may_be_words(error: str, reason: str, code: int) -> None:
    event = event_of(receipt(f"id:1 stat:UNDELIV err:{error} text:"))
    assert (event.reason, event.code) == (reason, code)


@pytest.mark.parametrize(
    ("state", "kind"),
    [(2, "delivered"), (5, "failed"), (7, "unknown"), (9, "unknown"), (1, "deferred")],
)
def test_parameters_alone_are_enough(state: int, kind: str) -> None:
    tlvs: dict[int, bytes] = {
        Tag.RECEIPTED_MESSAGE_ID: b"5A01\0",
        Tag.MESSAGE_STATE: bytes([state]),
        Tag.NETWORK_ERROR_CODE: b"\x03\x00\x22",
    }
    event = event_of(receipt(tlvs=tlvs))
    assert (event.type, event.reference, event.code) == (kind, "5A01", 0x22)
    assert "001E=3541303100" in event.raw


def test_what_is_not_marked_as_a_receipt_is_one_if_it_says_so() -> None:
    assert event_of(receipt("id:9 stat:DELIVRD", esm_class=0)).reference == "9"


@pytest.mark.parametrize("text", ["STOP", "My id: 12 is right?"])
def test_what_a_customer_answers_is_a_reply(text: str) -> None:
    for esm_class in (0, 0x10):
        event = event_of(receipt(text, esm_class=esm_class))
        assert (event.type, event.reference, event.text) == (EventType.REPLIED, "", text)
        assert (event.recipient, event.raw) == ("+79160000001", text)
        assert datetime.now(UTC) - event.occurred_at < MOMENT


@pytest.mark.parametrize(("text", "esm_class"), [("", 0), ("x", 0x08), ("x", 0x20), ("x", RECEIPT)])
def test_what_is_neither_a_receipt_nor_a_reply_changes_nothing(text: str, esm_class: int) -> None:
    event = event_of(receipt(text, esm_class=esm_class))
    assert (event.type, event.reference, event.raw) == (EventType.UNKNOWN, "", text)


@pytest.mark.parametrize(
    ("data", "coding", "esm_class", "alphabet", "text"),
    [
        ("СТОП".encode("utf-16-be"), 8, 0, Alphabet.GSM, "СТОП"),
        (b"\x05\x00\x03\x07\x02\x01STOP", 0, 0x40, Alphabet.GSM, "STOP"),
        (b"\xff", 0, 0x40, Alphabet.GSM, ""),
        (b"gr\x7en \x1be", 0, 0, Alphabet.GSM, "grün €"),
        ("grün".encode("latin-1"), 0, 0, Alphabet.LATIN, "grün"),
        ("grün".encode("latin-1"), 3, 0, Alphabet.GSM, "grün"),
    ],
)
def test_replies_are_read_in_their_alphabet(
    data: bytes, coding: int, esm_class: int, alphabet: Alphabet, text: str
) -> None:
    message = ShortMessage(
        source=PHONE, destination=PHONE, text=data, coding=coding, esm_class=esm_class
    )
    assert event_of(message, alphabet=alphabet).text == text


def test_unicode_is_read() -> None:
    text = "id:5 stat:DELIVRD text:Баллы"
    message = ShortMessage(
        source=PHONE,
        destination=PHONE,
        text=text.encode("utf-16-be"),
        coding=8,
        esm_class=RECEIPT,
    )
    assert event_of(message).raw == text


@pytest.mark.parametrize("done", ["2509221706", "250922170605", "20250922170605"])
def test_times_count_where_the_clock_is_known(done: str) -> None:
    text = f"id:5 done date:{done} stat:DELIVRD"
    seconds = 5 if len(done) > 10 else 0
    told = datetime(2025, 9, 22, 14, 6, seconds, tzinfo=UTC)
    assert event_of(receipt(text), clock=3).occurred_at == told
    assert datetime.now(UTC) - event_of(receipt(text)).occurred_at < MOMENT


def test_a_clock_that_is_ahead_tells_no_future() -> None:
    event = event_of(receipt("id:5 done date:9912312359 stat:DELIVRD"), clock=0)
    assert event.occurred_at <= datetime.now(UTC)


@pytest.mark.parametrize("done", ["", "9999999999", "26112", "two o'clock", "261322170605"])
def test_nonsense_for_a_time_is_now(done: str) -> None:
    event = event_of(receipt(f"id:5 done date:{done} stat:DELIVRD"), clock=0)
    assert datetime.now(UTC) - event.occurred_at < MOMENT
    assert event.reference == "5"


@given(st.binary(max_size=200), st.sampled_from([0, 3, 8, 245]), st.sampled_from([0, UDH, RECEIPT]))
def test_nothing_that_arrives_makes_trouble(text: bytes, coding: int, esm_class: int) -> None:
    message = ShortMessage(
        source=PHONE, destination=PHONE, text=text, coding=coding, esm_class=esm_class
    )
    event = event_of(message, clock=3)
    assert event.type in set(EventType)
    assert event.occurred_at.tzinfo
