"""The flight recorder: what a dead process leaves is what it did, up to what was on the wire."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envoi.delivery.recorder import (
    MAX_OUTCOMES,
    MOST_WORDS,
    FlightRecorder,
    OnWire,
    RecorderUnreadableError,
    Trace,
    dead_recorder,
)

WORKING = """
import sys
from pathlib import Path
from envoi.delivery.recorder import FlightRecorder, OnWire
recorder = FlightRecorder(Path(sys.argv[1]), 1)
slot = recorder.slot(0)
print("ready", flush=True)
block, size = 0, int(sys.argv[2])
while True:
    block += 1
    slot.begin(1, 2, block)
    for first in range(1, 501, size):
        batch = [OnWire(customer, 1) for customer in range(first, first + size)]
        slot.put_on_wire(batch)
        for m in batch:
            slot.acknowledge(m, 5, m.customer_id % 1000, f"words for {m.customer_id}")
"""


def traces(recorder: FlightRecorder) -> list[Trace]:
    """Read the file as if its process were dead."""
    copy = recorder.path.with_suffix(".copy")
    copy.write_bytes(recorder.path.read_bytes())
    with dead_recorder(copy) as found:
        assert found is not None
        return list(found)


BATCHES = st.lists(
    st.tuples(
        st.lists(
            st.builds(
                OnWire,
                customer_id=st.integers(1, 2**40),
                step=st.integers(1, 15),
                parts=st.integers(0, 255),
                amount=st.integers(0, 2**60),
            ),
            min_size=1,
            max_size=20,
        ),
        st.sampled_from(["answered", "refused as a whole", "killed"]),
        st.lists(st.sampled_from(["sent", "kept"]), min_size=20, max_size=20),
        st.integers(0, 20),
    ),
    max_size=8,
    unique_by=lambda b: b[0][0].customer_id,
).filter(
    lambda batches: (
        len({m.customer_id for b in batches for m in b[0]}) == sum(len(b[0]) for b in batches)
    )
)
"""Messages with how their batch ends, each one's answer, and how many came before a kill."""


@given(BATCHES)
def test_every_answer_is_there_and_what_was_open(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[list[OnWire], str, list[str], int]],
) -> None:
    recorder = FlightRecorder(tmp_path_factory.mktemp("recorder") / "one.rec", 2)
    slot = recorder.slot(1)
    slot.begin(3, 4, 5, 6)
    expected: list[OnWire] = []
    wire: list[OnWire] = []
    for messages, end, answers, before in batches:
        slot.put_on_wire(messages)
        if end == "refused as a whole":
            slot.empty_wire()
            continue
        answered = len(messages) if end == "answered" else before
        for place, message in enumerate(messages[:answered]):
            if answers[place] == "kept":
                slot.take_off_wire(place)
            else:
                slot.acknowledge(message, 5, 250, "", b"id")
                expected.append(message)
        if end == "killed":
            wire = messages[answered:]
            break
    first, second = traces(recorder)
    assert (first.outcomes, first.on_wire) == ([], [])
    numbers = (second.tenant_id, second.run_id, second.block, second.gateway_id)
    assert numbers == (3, 4, 5, 6)
    found = [OnWire(o.customer_id, o.step, o.parts, o.amount) for o in second.outcomes]
    assert (found, second.on_wire) == (expected, wire)
    assert {(o.status, o.code, o.submissions) for o in second.outcomes} <= {(5, 250, b"id")}
    recorder.close()


@settings(max_examples=25)
@example(["é" * 300] * MAX_OUTCOMES)
@given(st.lists(st.text(max_size=200), max_size=10))
def test_the_words_of_answers_are_kept_as_far_as_there_is_room(
    tmp_path_factory: pytest.TempPathFactory, said: list[str]
) -> None:
    recorder = FlightRecorder(tmp_path_factory.mktemp("recorder") / "one.rec", 2)
    slots = [recorder.slot(number) for number in range(2)]
    for slot in slots:
        slot.begin(3, 4, 5)
        for number, words in enumerate(said, start=1):
            slot.put_on_wire([OnWire(number, 1)])
            slot.acknowledge(OnWire(number, 1), 6, 550, words)
    first, second = traces(recorder)
    assert first.outcomes == second.outcomes
    assert [o.customer_id for o in first.outcomes] == list(range(1, len(said) + 1))
    for outcome, words in zip(first.outcomes, said, strict=True):
        assert words.startswith(outcome.words)
        rest = words[len(outcome.words) :]
        assert not rest or len((outcome.words + rest[0]).encode()) > MOST_WORDS
    recorder.close()


@pytest.mark.parametrize("size", [1, 50])
def test_a_killed_process_leaves_at_most_its_batch_open(tmp_path: Path, size: int) -> None:
    for attempt in range(4):
        path = tmp_path / f"{attempt}.rec"
        command = [sys.executable, "-c", WORKING, str(path), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with dead_recorder(path) as found:
                assert found is None, "its lock says that it lives"
            process.send_signal(signal.SIGKILL)
        with dead_recorder(path) as found:
            assert found is not None
            (trace,) = found
        numbers = [o.customer_id for o in trace.outcomes]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(o.code == o.customer_id % 1000 for o in trace.outcomes)
        assert all(o.words == f"words for {o.customer_id}" for o in trace.outcomes)
        last = len(numbers)
        open_ones = [m.customer_id for m in trace.on_wire]
        assert open_ones in ([], list(range(last + 1, last + 1 + len(open_ones))))
        assert len(open_ones) <= size


def test_a_lost_or_foreign_file_is_no_recorder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.rec", tmp_path / "foreign.rec", tmp_path / "short.rec"):
        if path.name == "foreign.rec":
            path.write_bytes(b"x" * 100_000)
        elif path.name == "short.rec":
            path.write_bytes(b"")
        with pytest.raises(RecorderUnreadableError), dead_recorder(path):
            pass
