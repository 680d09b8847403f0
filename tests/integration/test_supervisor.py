"""The supervisor starts crashed children again and ends whole process groups."""

from __future__ import annotations

import signal
import subprocess
import time

from processes import is_alive, next_line, running_script, wait_until

SUPERVISES = """
import sys
from envoi.supervisor import ChildSpec, Supervisor
command = [sys.executable, "-c", sys.argv[1]]
Supervisor([ChildSpec("child", command, {"GREETING": "hello"})], grace=1).run()
"""

# Ignores SIGTERM, and so does the process it starts.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(["sleep", "600"])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(600)
"""
POLITE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(600)
"""
GREETS_AND_CRASHES = "import os; print(os.environ['GREETING']); raise SystemExit(3)"
LEAVES_A_PROCESS = """
import subprocess
print(subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL).pid, flush=True)
"""


def said(process: subprocess.Popen[str]) -> str:
    name, _, line = next_line(process).partition(" | ")
    assert name == "child"
    return line


def test_a_child_may_say_goodbye() -> None:
    with running_script(SUPERVISES, POLITE) as supervisor:
        assert said(supervisor) == "ready"
        supervisor.send_signal(signal.SIGTERM)
        assert said(supervisor) == "goodbye"
        assert supervisor.wait(5) == 0


def test_a_child_that_ignores_signals_is_killed_with_all_it_started() -> None:
    with running_script(SUPERVISES, STUBBORN) as supervisor:
        pids = [int(pid) for pid in said(supervisor).split()]
        began = time.monotonic()
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(5) == 0
        assert 1 <= time.monotonic() - began < 3
        assert not any(map(is_alive, pids))


def test_a_crashed_child_is_started_again_after_growing_pauses() -> None:
    with running_script(SUPERVISES, GREETS_AND_CRASHES) as supervisor:
        lines = [said(supervisor) for _ in range(4)]
    assert lines == [
        "hello",
        "ended with status 3, starts again in 0.5 s",
        "hello",
        "ended with status 3, starts again in 1 s",
    ]


def test_what_a_crashed_child_leaves_behind_is_ended() -> None:
    with running_script(SUPERVISES, LEAVES_A_PROCESS) as supervisor:
        left_behind = int(said(supervisor))
        assert said(supervisor) == "ended with status 0, starts again in 0.5 s"
        wait_until(lambda: not is_alive(left_behind), what="the left process ends")


def test_a_killed_supervisor_leaves_no_child() -> None:
    with running_script(SUPERVISES, POLITE) as supervisor:
        assert said(supervisor) == "ready"
        supervisor.kill()
        supervisor.wait()
        assert supervisor.stdout is not None
        assert supervisor.stdout.read() in ("", "goodbye\n")
