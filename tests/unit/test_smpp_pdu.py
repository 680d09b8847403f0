"""What goes over the wire of SMPP is read as it was written, in whatever pieces it arrives."""

from __future__ import annotations

import tracemalloc
from itertools import islice

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from envoi_provider_smpp.pdu import (
    LONGEST,
    Address,
    Bind,
    Command,
    MalformedError,
    Pdu,
    PduReader,
    ShortMessage,
    Tag,
    read_id,
)
from envoi_provider_smpp.session import Sequences

WORDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
OCTET = st.integers(0, 255)
ADDRESSES = st.builds(Address, WORDS, OCTET, OCTET)
MESSAGES = st.builds(
    ShortMessage,
    source=ADDRESSES,
    destination=ADDRESSES,
    text=st.binary(max_size=400),
    coding=OCTET,
    esm_class=OCTET,
    service_type=WORDS,
    validity=WORDS,
    registered_delivery=OCTET,
    tlvs=st.dictionaries(st.integers(0x1400, 0x3FFF), st.binary(max_size=50), max_size=3),
)
PDUS = st.builds(
    Pdu,
    st.sampled_from(list(Command)),
    st.integers(1, 0x7FFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=60),
)


@given(st.lists(PDUS, max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_pieces_of_any_size_make_the_same_requests(pdus: list[Pdu], sizes: list[int]) -> None:
    data = b"".join(pdu.encode() for pdu in pdus)
    reader, found, at = PduReader(), list[Pdu](), 0
    while at < len(data):
        size = sizes[len(found) % len(sizes)]
        found += reader.feed(data[at : at + size])
        at += size
    assert found == pdus


@given(MESSAGES)
def test_messages_are_read_as_they_were_written(message: ShortMessage) -> None:
    read = ShortMessage.decode(message.encode())
    tlvs = {tag: value for tag, value in read.tlvs.items() if tag != Tag.MESSAGE_PAYLOAD}
    assert (read.text, tlvs) == (message.text, message.tlvs)
    for name in ("source", "destination", "coding", "esm_class", "service_type", "validity"):
        assert getattr(read, name) == getattr(message, name)


@given(MESSAGES)
def test_what_is_cut_off_is_malformed_or_lacks_its_end(message: ShortMessage) -> None:
    body = message.encode()
    for end in range(len(body)):
        try:
            shorter = ShortMessage.decode(body[:end])
        except MalformedError:
            continue
        assert len(shorter.tlvs) < len(ShortMessage.decode(body).tlvs)


@pytest.mark.parametrize("length", [0, 15, LONGEST + 1, 0x48545450])
def test_another_protocol_is_noticed_at_once(length: int) -> None:
    with pytest.raises(MalformedError, match="length"):
        PduReader().feed(length.to_bytes(4) + b"/1.1 400 Bad Request\r\n")


def test_nul_cannot_end_a_text_early() -> None:
    bind = Bind.decode(Bind(system_id="a\0b", password="c\0", system_type="").encode())
    assert (bind.system_id, bind.password) == ("a?b", "c?")


@pytest.mark.parametrize("body", [b"", b"5A\0", b"5A"])
def test_a_number_may_be_missing_or_lack_its_end(body: bytes) -> None:
    assert read_id(body) == body.rstrip(b"\0").decode()


@given(MESSAGES.filter(lambda message: len(message.text) <= 254))
def test_an_independent_reader_reads_the_same(message: ShortMessage) -> None:
    pdu = Pdu(Command.SUBMIT_SM, 7, body=message.encode())
    read = smpp34.decode(pdu.encode())
    assert isinstance(read, smpp34.SubmitSm)
    assert (read.source_addr, read.destination_addr) == (
        message.source.text,
        message.destination.text,
    )
    assert (read.short_message, read.data_coding) == (message.text, message.coding)
    assert (read.esm_class, read.validity_period) == (message.esm_class, message.validity)
    assert {tlv.tag: tlv.value for tlv in read.tlvs} == message.tlvs


def test_a_session_may_live_for_days() -> None:
    """Numbers that were used are not remembered."""
    numbers = Sequences()
    assert list(islice(numbers, 3)) == [1, 2, 3]
    tracemalloc.start()
    try:
        last = next(islice(numbers, 99_999, None))
        # Remembered they would take 4 MB; other threads of the process take something meanwhile.
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()
    assert last == 100_003
