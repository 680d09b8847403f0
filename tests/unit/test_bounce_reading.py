"""Real-shaped bounces, complaints and replies of many systems, each read and judged right."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.feedback.classify import judge
from envoi.feedback.models import Fault
from envoi.feedback.reading import MOST_BYTES, Reading, UnreadableError, read
from envoi.types import EventType

SAMPLES = Path(__file__).parents[1] / "data" / "bounces"
KEY = (SAMPLES / "key.txt").read_text().strip()
NOW = datetime(2026, 10, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Label:
    """What a sample is, as a person read it."""

    file: str
    kind: str
    fault: str
    quality: str
    why: str
    recipient: str
    key: str

    @property
    def raw(self) -> bytes:
        """The sample itself."""
        return (SAMPLES / self.file).read_bytes()


with (SAMPLES / "labels.csv").open(newline="") as file:
    LABELS = [Label(**row) for row in csv.DictReader(file)]


def test_there_are_enough_samples_and_each_has_a_label() -> None:
    assert {path.name for path in SAMPLES.glob("*.eml")} == {label.file for label in LABELS}
    assert sum(label.kind == "bounced" for label in LABELS) >= 60
    assert {label.kind for label in LABELS} >= {"complained", "delivered", "ignored", "unreadable"}


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.file)
def test_each_sample_is_read_as_its_label_says(label: Label) -> None:
    if label.kind == "unreadable":
        with pytest.raises(UnreadableError):
            read(label.raw, now=NOW)
        return
    reading = read(label.raw, now=NOW)
    assert (reading.keys[:1] == [KEY]) is (label.key == "yes")
    if label.kind == "ignored":
        assert (reading.notices, bool(reading.ignored)) == ([], True)
        return
    notice = reading.notices[0]
    assert notice.type == label.kind
    assert notice.recipient == label.recipient
    assert reading.at.date().isoformat() == "2026-10-01"
    if notice.type is EventType.BOUNCED:
        found = judge(notice.status, notice.code, notice.words)
        judged = (found.fault.name.lower(), str(int(found.quality)), found.why.value)
        assert judged == (label.fault, label.quality, label.why)


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.file)
def test_what_is_about_the_sender_never_names_a_quality(label: Label) -> None:
    if label.kind != "bounced":
        return
    notice = read(label.raw, now=NOW).notices[0]
    if notice.status.startswith(("5.7.", "4.7.")):
        assert judge(notice.status, notice.code, notice.words).fault is Fault.SENDER
        assert judge(notice.status, 0, "user unknown").quality == 0


def test_the_return_path_is_believed_before_what_was_returned() -> None:
    other = "a" * 56
    sample = (SAMPLES / "postfix_user_unknown.eml").read_bytes()
    assert read(sample, f"b+{other}@mail.test", now=NOW).keys[:2] == [other, KEY]


def test_the_address_is_the_one_we_wrote_to() -> None:
    reading = read((SAMPLES / "forwarded_to_another.eml").read_bytes(), now=NOW)
    assert reading.addressed == "ines.vogt@kundenpost.test"


@given(st.binary(max_size=3_000))
def test_any_bytes_end_in_a_reading_or_as_unreadable(raw: bytes) -> None:
    _survives(raw)


@given(
    st.sampled_from(LABELS),
    st.lists(st.tuples(st.integers(0, 6_000), st.binary(max_size=30)), min_size=1, max_size=5),
)
def test_damaged_samples_end_in_a_reading_or_as_unreadable(
    label: Label, damage: list[tuple[int, bytes]]
) -> None:
    raw = bytearray(label.raw)
    for place, bytes_ in damage:
        raw[place : place + len(bytes_) // 2] = bytes_
    _survives(bytes(raw))


def test_deeply_nested_and_large_ones_are_bounded() -> None:
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(3_000)
    )
    _survives(nested)
    sample = (SAMPLES / "postfix_user_unknown.eml").read_bytes()
    assert read(sample + b"x" * (MOST_BYTES * 4), now=NOW).keys[0] == KEY


@given(st.text(max_size=300), st.integers(-1, 1_000), st.text(max_size=12))
def test_any_refusal_is_judged(words: str, code: int, status: str) -> None:
    found = judge(status, code, words)
    assert found.fault in Fault
    assert (found.quality >= 30) is (found.fault is Fault.HARD)


def test_what_no_rule_knows_is_soft() -> None:
    assert judge("5.0.0", 550, "something quite new").fault is Fault.SOFT


def _survives(raw: bytes) -> None:
    try:
        found = read(raw, now=NOW)
    except UnreadableError as error:
        assert str(error) in ("broken", "no_report")  # noqa: PT017
    else:
        assert isinstance(found, Reading)
