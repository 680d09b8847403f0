"""What the threads of a process are doing inside plugins, in a file that outlives the process.

A thread that hangs in a plugin cannot tell of it, nor can a process that a plugin has ended. So
each thread at work has a place in a file mapped into memory: for whom it works, which plugin it
is in, and since when. A watch of the same process reads it to find calls that last too long;
after the process's end another one reads it where the file says which thread has ended it:
Python's own fault handler writes that for a crash, and we do for `os._exit`. Nothing is written
when the process is killed from outside, so that harms no mailing.

The lock on the file is the kernel's, as with the flight recorder.
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import Any, NoReturn
from uuid import uuid4

import structlog

from envoi.delivery.recorder import reserved

log = structlog.get_logger()

_THREAD, _TENANT, _WORK, _REF, _CALL, _SINCE, _WORDS = range(7)
"""The numbers of a place, and how many they are; names stand for themselves in a list."""
_PLACES = 128
_NAMES = 256
_NAME_BYTES = 128
_PLACES_BYTES = _PLACES * _WORDS * 8
_BYTES = _PLACES_BYTES + _NAMES * _NAME_BYTES

_CRASH = re.compile(r"Fatal Python error: (.*)")
_GUILTY = re.compile(r"Current thread 0x([0-9a-f]+)(?:: (.*))?")
"""The thread that crashed, as the fault handler names it among the others, or that we name."""
_SUFFIX = ".calls"

_Place = tuple[memoryview, int, int, Callable[[tuple[str, ...]], int]]
"""Where a thread notes its calls: the numbers, which of them are the call and its beginning, and
what gives names their numbers."""
_here = threading.local()
"""The place of the calling thread, where it has one."""


@dataclass(frozen=True)
class Call:
    """A call into a plugin: for which piece of work it is made, and what it asks.

    `kind` and `name` are those of a descriptor, e.g. `provider` and `smtp`. `since` is a moment
    of the process's own clock.
    """

    thread: int
    tenant_id: int
    work: str
    ref: int
    kind: str
    name: str
    since: int

    @property
    def seconds(self) -> float:
        """For how long it has lasted."""
        return (monotonic_ns() - self.since) / 1e9


@dataclass(frozen=True)
class LastCall:
    """A call in which a process ended or was given up, and how, as a part of a sentence."""

    call: Call
    why: str


class calling:  # noqa: N801 (used like a function)
    """Note that the thread is inside a plugin; does nothing where nobody watches it.

    A message has two, so that it is as cheap as can be: no calls, no names looked up twice.
    """

    __slots__ = ("_before", "_place", "_what")

    def __init__(self, kind: str, name: str) -> None:
        self._what = kind, name

    def __enter__(self) -> None:
        self._place: _Place | None = getattr(_here, "place", None)
        if self._place is not None:
            numbers, what, since, number_of = self._place
            self._before = numbers[what], numbers[since]
            numbers[since] = monotonic_ns()
            numbers[what] = number_of(self._what)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._place is not None:
            numbers, what, since, _ = self._place
            numbers[what], numbers[since] = self._before


class Calls:
    """The file of a process, from its start to its end; a context manager.

    Meanwhile crashes and `os._exit` leave their last words in it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{uuid4().hex}{_SUFFIX}"
        self._file = _locked(self._path)
        self._map = mmap(self._file, _BYTES)
        self._numbers = memoryview(self._map)[:_PLACES_BYTES].cast("q")
        self._names: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()
        self._free = list(range(_PLACES))
        self._pid = os.getpid()

    def __enter__(self) -> Calls:
        faulthandler.enable(self._file)
        # A child that crashes or ends is none of ours, and has the same threads by number.
        os.register_at_fork(after_in_child=faulthandler.disable)
        self._exit, os._exit = os._exit, self._exiting
        return self

    def __exit__(self, *_: object) -> None:
        os._exit = self._exit
        faulthandler.disable()
        if not self.standing():
            self._path.unlink(missing_ok=True)

    @contextmanager
    def about(self, tenant_id: int, work: str, ref: int) -> Iterator[None]:
        """Note for what piece of work the calling thread calls plugins."""
        with self._lock:
            number = self._free.pop() if self._free else None
        if number is None:
            yield
            return
        start = number * _WORDS
        numbers = (threading.get_ident(), tenant_id, self.number_of((work,)), ref, 0, 0)
        for word, value in enumerate(numbers):
            self._numbers[start + word] = value
        before = getattr(_here, "place", None)
        _here.place = (self._numbers, start + _CALL, start + _SINCE, self.number_of)
        try:
            yield
        finally:
            _here.place = before
            self._numbers[start + _THREAD] = 0
            with self._lock:
                self._free.append(number)

    def standing(self) -> list[Call]:
        """Return the calls that have not come back yet."""
        return [call for place in range(_PLACES) if (call := _call(self._map, place)) is not None]

    def give_up(self, call: Call, why: str) -> None:
        """Leave to others what a call has to answer for, once this process has ended."""
        self._say(call.thread, why)

    def number_of(self, name: tuple[str, ...]) -> int:
        """Return the number that stands for a name; 0 where there is no room for another."""
        found = self._names.get(name)
        return self._add(name) if found is None else found

    def _add(self, name: tuple[str, ...]) -> int:
        """Write a name down, before anybody refers to it."""
        with self._lock:
            number = len(self._names) + 1
            written = json.dumps(name).encode()
            if name in self._names or number >= _NAMES or len(written) > _NAME_BYTES:
                return self._names.get(name, 0)
            start = _PLACES_BYTES + number * _NAME_BYTES
            self._map[start : start + len(written)] = written
            self._names[name] = number
            return number

    def _exiting(self, status: int) -> NoReturn:
        if os.getpid() == self._pid:
            self._say(threading.get_ident(), f"called os._exit({status})")
        self._exit(status)

    def _say(self, thread: int, why: str) -> None:
        with suppress(OSError):
            os.write(self._file, f"Current thread 0x{thread:x}: {why}\n".encode())


@contextmanager
def last_calls(folder: Path) -> Iterator[list[LastCall]]:
    """Read what the processes that have ended were ended by; forgotten when the block ends well."""
    found: list[LastCall] = []
    with _dead_files(folder) as files:
        for _, file in files:
            found += _last_calls(file)
        yield found
        for path, _ in files:
            path.unlink(missing_ok=True)


@contextmanager
def _dead_files(folder: Path) -> Iterator[list[tuple[Path, int]]]:
    """Hold the files of processes that are no more; those of living ones are locked."""
    files = []
    try:
        for path in folder.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                files.append((path, os.open(path, os.O_RDWR | os.O_CLOEXEC)))
        # One that somebody else has read meanwhile has no name any more.
        yield [(path, file) for path, file in files if _lock(file) and os.fstat(file).st_nlink]
    finally:
        for _, file in files:
            os.close(file)


def _last_calls(file: int) -> list[LastCall]:
    data = os.pread(file, os.fstat(file).st_size, 0)
    if len(data) <= _BYTES:
        return []
    words = data[_BYTES:].decode("utf-8", "replace")
    log.error("process_ended_itself", words=words)
    try:
        standing = [call for place in range(_PLACES) if (call := _call(data, place)) is not None]
    except ValueError:
        # It is of another version, or damaged: nobody can be blamed.
        return []
    by_thread = {call.thread: call for call in standing}
    crash = "".join(f"crashed: {reason}" for reason in _CRASH.findall(words))
    return [
        LastCall(call, why or crash)
        for thread, why in _GUILTY.findall(words)
        if (call := by_thread.get(int(thread, 16))) is not None
    ]


def _call(data: mmap | bytes, place: int) -> Call | None:
    start = place * _WORDS * 8
    numbers = memoryview(data[start : start + _WORDS * 8]).cast("q").tolist()
    if not all(numbers[word] for word in (_THREAD, _WORK, _CALL)):
        return None
    work, what = _name(data, numbers[_WORK]), _name(data, numbers[_CALL])
    return Call(
        thread=numbers[_THREAD],
        tenant_id=numbers[_TENANT],
        work=work[0],
        ref=numbers[_REF],
        kind=what[0],
        name=what[1],
        since=numbers[_SINCE],
    )


def _name(data: mmap | bytes, number: int) -> list[Any]:
    start = _PLACES_BYTES + number * _NAME_BYTES
    found: list[Any] = json.loads(data[start : start + _NAME_BYTES].rstrip(b"\0"))
    return found


def _locked(path: Path) -> int:
    """Make a process's file, with room for last words behind; its name comes after the lock."""
    unnamed = path.with_suffix(".new")
    file = reserved(unnamed, _BYTES)
    os.lseek(file, _BYTES, os.SEEK_SET)
    unnamed.rename(path)
    return file


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
