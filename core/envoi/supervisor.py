"""Keeps child processes running, and leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from envoi.embedded.child import guarded

GRACE_SECONDS = 5.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STABLE_SECONDS = 60.0


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running.

    Args:
        name: What its lines of output begin with.
        command: The program's full path and its arguments.
        environment: Variables added to this process's own.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs children until SIGINT or SIGTERM; a child that ends is started again.

    Each child leads a process group of its own, which is ended as a whole. Should the
    supervisor itself be killed, its children get SIGTERM (on Linux).

    Args:
        children: What to run.
        every_second: Called about once a second, for instance to look after servers.
        write: Takes one line of output.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        every_second: Callable[[], None] = lambda: None,
        write: Callable[[str], None] | None = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._write = write or _write_line
        self._width = max((len(child.name) for child in children), default=0)
        self._children = [_Child(child, self._say) for child in children]
        self._every_second = every_second
        self._grace = grace
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start the children and watch them; return when all have ended after a signal.

        Runs in the main thread: signals arrive there, and children are tied to it.
        """
        with self._signals_stop():
            try:
                for child in self._children:
                    child.start()
                self._watch()
            finally:
                self._end_all()

    def stop(self) -> None:
        """Make `run` end the children and return; may be called from any thread."""
        self._stopping.set()

    def _watch(self) -> None:
        next_second = time.monotonic() + 1
        while not self._stopping.wait(0.1):
            for child in self._children:
                child.revive()
            if time.monotonic() >= next_second:
                self._every_second()
                next_second = time.monotonic() + 1

    def _end_all(self) -> None:
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while any(child.is_running() for child in self._children) and time.monotonic() < deadline:
            time.sleep(0.02)
        for child in self._children:
            child.end()

    @contextmanager
    def _signals_stop(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.stop()

        before = {
            number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _say(self, name: str, line: str) -> None:
        self._write(f"{name:<{self._width}} | {line}")


class _Child:
    """One child: the process it is now, and when it may be started again."""

    def __init__(self, spec: ChildSpec, say: Callable[[str, str], None]) -> None:
        self._spec = spec
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        self._pause = FIRST_PAUSE
        self._next_start = 0.0

    def start(self) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            guarded(self._spec.command),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._spec.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=self._forward, args=[self._process.stdout], daemon=True)
        reader.start()

    def revive(self) -> None:
        """Start the child again once it has ended and its pause is over."""
        if self.is_running():
            return
        if self._process is not None:
            self._note_end()
        elif time.monotonic() >= self._next_start:
            self.start()

    def _note_end(self) -> None:
        now = time.monotonic()
        if now - self._started >= STABLE_SECONDS:
            self._pause = FIRST_PAUSE
        status = self.end()
        self._say(self._spec.name, f"ended with status {status}, starts again in {self._pause:g} s")
        self._next_start = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def is_running(self) -> bool:
        """Whether the process itself lives; what it started may outlive it until `end`."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and everything it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def end(self) -> int | None:
        """Kill what is left of the group; the exit status if there was a process."""
        if self._process is None:
            return None
        self.signal(signal.SIGKILL)
        status = self._process.wait()
        self._process = None
        return status

    def _forward(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._say(self._spec.name, line.rstrip("\n"))


def _write_line(line: str) -> None:
    # A line for which the disk has no room is lost: whoever reads a child must not end.
    with suppress(OSError):
        # One call a line, so that lines of several children do not run into each other.
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
