"""What threads do inside plugins is seen, and read after the process if it ended itself in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from envoi.calls import Calls, calling, last_calls


def test_calls_are_seen_while_they_last(tmp_path: Path) -> None:
    with Calls(tmp_path) as calls:
        with calling("macro", "code"):
            assert calls.standing() == [], "nobody knows for whom"
        with calls.about(1, "send", 7):
            assert calls.standing() == []
            with calling("channel", "email"):
                with calling("macro", "code"):
                    (inner,) = calls.standing()
                (outer,) = calls.standing()
        assert calls.standing() == []
    assert (inner.kind, inner.name) == ("macro", "code")
    assert (outer.kind, outer.name) == ("channel", "email")
    assert (outer.tenant_id, outer.work, outer.ref) == (1, "send", 7)
    assert outer.thread == threading.get_ident()
    assert outer.since <= inner.since
    assert list(tmp_path.iterdir()) == [], "a clean end leaves no file"


def test_more_threads_and_names_than_there_are_places_for_are_not_seen(tmp_path: Path) -> None:
    with Calls(tmp_path) as calls, calls.about(1, "send", 7):
        for number in range(300):
            with calling("provider", f"p{number}"):
                seen = calls.standing()
        assert seen == []
        with calling("provider", "p0"):
            assert len(calls.standing()) == 1


ENDING = """
import os, sys, ctypes, signal
from pathlib import Path
from envoi.calls import Calls, calling
calls = Calls(Path(sys.argv[1]))
calls.__enter__()
with calls.about(3, "send", 9), calling("provider", "acme"):
    {how}
"""


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("os._exit(4)", "called os._exit(4)"),
        ("os.abort()", "crashed: Aborted"),
        ("ctypes.string_at(0)", "crashed: Segmentation fault"),
        ("os.kill(os.getpid(), signal.SIGKILL)", None),
        ("os.kill(os.getpid(), signal.SIGTERM)", None),
        ("os.fork() or os._exit(4); os.wait(); os.kill(os.getpid(), signal.SIGKILL)", None),
        ("os.fork() or os.abort(); os.wait(); os.kill(os.getpid(), signal.SIGKILL)", None),
    ],
)
def test_only_a_process_that_ended_itself_has_last_words(
    tmp_path: Path, how: str, why: str | None
) -> None:
    script = ENDING.format(how=how)
    core = str(Path(__file__).parents[2] / "core")
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": core},
        check=False,
        timeout=60,
    )
    with last_calls(tmp_path) as found:
        blamed = [(last.call.tenant_id, last.call.ref, last.call.name, last.why) for last in found]
    assert blamed == ([(3, 9, "acme", why)] if why else [])
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_and_one_that_is_not_settled_are_left_alone(tmp_path: Path) -> None:
    with Calls(tmp_path) as calls, calls.about(1, "send", 7), calling("provider", "acme"):
        calls.give_up(calls.standing()[0], "did not answer in 2 s")
        with last_calls(tmp_path) as found:
            assert found == []
        assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_read_blames_nobody(tmp_path: Path) -> None:
    (tmp_path / "damaged.calls").write_bytes(b"\xff" * 60_000 + b"Current thread 0x1: fell")
    with last_calls(tmp_path) as found:
        assert found == []
    assert list(tmp_path.iterdir()) == []
