"""The flight recorder: what a dead process leaves is what it did, up to one message a slot."""

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
    RecorderUnreadableError,
    Trace,
    dead_recorder,
)

WORKING = """
import sys
from pathlib import Path
from envoi.delivery.recorder import FlightRecorder
recorder = FlightRecorder(Path(sys.argv[1]), 1)
slot = recorder.slot(0)
print("ready", flush=True)
block = 0
while True:
    block += 1
    slot.begin(1, 2, block)
    for customer in range(1, 501):
        slot.put_on_wire(customer, 1)
        slot.acknowledge(customer, 5, customer % 1000, f"words for {customer}")
"""


def traces(recorder: FlightRecorder) -> list[Trace]:
    """Read the file as if its process were dead."""
    copy = recorder.path.with_suffix(".copy")
    copy.write_bytes(recorder.path.read_bytes())
    with dead_recorder(copy) as found:
        assert found is not None
        return list(found)


STEPS = st.lists(
    st.tuples(st.integers(1, 2**40), st.integers(1, 15), st.sampled_from(["sent", "kept", "open"])),
    max_size=40,
    unique_by=lambda s: s[0],
)


@given(STEPS)
def test_every_answer_is_there_and_the_open_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str]]
) -> None:
    recorder = FlightRecorder(tmp_path_factory.mktemp("recorder") / "one.rec", 2)
    slot = recorder.slot(1)
    slot.begin(3, 4, 5)
    expected, wire = [], None
    for customer_id, step, end in steps:
        slot.put_on_wire(customer_id, step)
        wire = (customer_id, step)
        if end == "sent":
            slot.acknowledge(customer_id, 5, 250)
            expected.append((customer_id, step, 5, 250))
        elif end == "kept":
            slot.take_off_wire()
        else:
            break
        wire = None
    first, second = traces(recorder)
    assert (first.outcomes, first.on_wire) == ([], None)
    assert (second.tenant_id, second.run_id, second.block) == (3, 4, 5)
    found = [(o.customer_id, o.step, o.status, o.code) for o in second.outcomes]
    assert (found, second.on_wire) == (expected, wire)
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
            slot.put_on_wire(number, 1)
            slot.acknowledge(number, 6, 550, words)
    first, second = traces(recorder)
    assert first.outcomes == second.outcomes
    assert [o.customer_id for o in first.outcomes] == list(range(1, len(said) + 1))
    for outcome, words in zip(first.outcomes, said, strict=True):
        assert words.startswith(outcome.words)
        rest = words[len(outcome.words) :]
        assert not rest or len((outcome.words + rest[0]).encode()) > MOST_WORDS
    recorder.close()


def test_a_killed_process_leaves_at_most_one_open_message(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.rec"
        command = [sys.executable, "-c", WORKING, str(path)]
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
        assert trace.on_wire in (None, (last, 1), (last + 1, 1))


def test_a_lost_or_foreign_file_is_no_recorder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.rec", tmp_path / "foreign.rec", tmp_path / "short.rec"):
        if path.name == "foreign.rec":
            path.write_bytes(b"x" * 100_000)
        elif path.name == "short.rec":
            path.write_bytes(b"")
        with pytest.raises(RecorderUnreadableError), dead_recorder(path):
            pass
