"""The flight recorder: what a sending process has on the wire, in a file that survives it.

The file is mapped into memory, so a write costs about a microsecond and outlives `kill -9`; the
lock on it is the kernel's, so it tells a dead process from a slow one.

Each open connection has a slot: the block it works on, the messages on the wire, and the
outcomes of the block that the database does not know yet. A slot has one writer. Every step
is one store of eight bytes after the data it makes valid, so a kill between two steps leaves
a message on the wire, never a wrong outcome.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from envoi.errors import EnvoiError

MAX_OUTCOMES = 512
"""Outcomes that a slot can hold, and messages on its wire; a block is smaller."""

MOST_WORDS = 128
"""Bytes kept of what a provider says beside its code; a refusal is judged by them."""

MOST_TEXT = 256
"""Bytes for the words and, after them, the packed submissions of a message."""

_HEADER = struct.Struct("<8sqqq")
_MAGIC = b"ENVOIFR3"
_PLACE = struct.Struct("<qqqq")
"""Tenant, run, block, gateway."""
_STATE = struct.Struct("qq")
"""Number of outcomes, number of messages on the wire."""
_COUNT = struct.Struct("q")
"""In the machine's own order, since only that is written as one store."""
_WIRE = struct.Struct("<qqhh4x")
"""Customer (0: taken off), amount, step, parts."""
_OUTCOME = struct.Struct("<qqhhhhhh")
"""Customer, amount, step, parts, status, code, bytes of the words, of the submissions."""
_OUTCOME_BYTES = _OUTCOME.size + MOST_TEXT
_COUNT_AT = _PLACE.size
_ON_WIRE_AT = _COUNT_AT + _COUNT.size
_WIRE_AT = _PLACE.size + _STATE.size
_LOG_AT = _WIRE_AT + MAX_OUTCOMES * _WIRE.size
_SLOT_BYTES = _LOG_AT + MAX_OUTCOMES * _OUTCOME_BYTES


class RecorderUnreadableError(EnvoiError):
    """The file is gone or no flight recorder, so nothing is known of what was on the wire."""


class NoRecorderError(EnvoiError):
    """There is no room for the file, so nothing can be sent, and no plugin called."""


@dataclass(frozen=True, slots=True)
class OnWire:
    """A message before its first byte leaves, and what it costs if it was taken."""

    customer_id: int
    step: int
    parts: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A provider's answer as it came: `status` is the number of a state of the ledger."""

    customer_id: int
    step: int
    status: int
    code: int
    words: str = ""
    parts: int = 0
    amount: int = 0
    submissions: bytes = b""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a slot held when its process died; what is on the wire has no known outcome."""

    tenant_id: int
    run_id: int
    block: int
    gateway_id: int
    outcomes: Sequence[Acknowledged]
    on_wire: Sequence[OnWire]


class Slot:
    """The record of one connection at work; made by `FlightRecorder.slot`."""

    __slots__ = ("_count", "_map", "_start", "number")

    def __init__(self, mapped: mmap, number: int) -> None:
        self._map = mapped
        self.number = number
        self._start = _HEADER.size + number * _SLOT_BYTES
        self._count = 0

    def begin(self, tenant_id: int, run_id: int, block: int, gateway_id: int = 0) -> None:
        """Start on a block whose claim is committed."""
        self.clear()
        _PLACE.pack_into(self._map, self._start, tenant_id, run_id, block, gateway_id)

    def put_on_wire(self, messages: Sequence[OnWire]) -> None:
        """Note messages before their first byte leaves; those before them have their outcome."""
        self.empty_wire()
        place = self._start + _WIRE_AT
        for m in messages:
            _WIRE.pack_into(self._map, place, m.customer_id, m.amount, m.step, m.parts)
            place += _WIRE.size
        _COUNT.pack_into(self._map, self._start + _ON_WIRE_AT, len(messages))

    def acknowledge(
        self, message: OnWire, status: int, code: int, words: str = "", submissions: bytes = b""
    ) -> None:
        """Note the answer to a message on the wire."""
        said = words.encode("utf-8", "replace")[:MOST_WORDS]
        place = self._start + _LOG_AT + self._count * _OUTCOME_BYTES
        head = (message.customer_id, message.amount, message.step, message.parts, status, code)
        _OUTCOME.pack_into(self._map, place, *head, len(said), len(submissions))
        if text := said + submissions:
            begin = place + _OUTCOME.size
            self._map[begin : begin + len(text)] = text
        self._count += 1
        _COUNT.pack_into(self._map, self._start + _COUNT_AT, self._count)

    def take_off_wire(self, place: int) -> None:
        """Note that a message has certainly not left; `place` counts those on the wire from 0."""
        _COUNT.pack_into(self._map, self._start + _WIRE_AT + place * _WIRE.size, 0)

    def empty_wire(self) -> None:
        """Note that nothing has left whose outcome is not noted."""
        _COUNT.pack_into(self._map, self._start + _ON_WIRE_AT, 0)

    def clear(self) -> None:
        """Forget the outcomes: the database has them."""
        self.empty_wire()
        self._count = 0
        _COUNT.pack_into(self._map, self._start + _COUNT_AT, 0)


class FlightRecorder:
    """A sending process's own file, locked as long as the process lives."""

    def __init__(self, path: Path, slots: int) -> None:
        """Make and lock the file; it must not exist.

        Raises:
            NoRecorderError: It cannot be written, for example because the disk is full.
        """
        size = _HEADER.size + slots * _SLOT_BYTES
        self._file = reserved(path, size)
        self.path = path
        self._map = mmap(self._file, size)
        self._slots = slots
        self.sign(0)

    def sign(self, sender_id: int) -> None:
        """Write whose file this is."""
        _HEADER.pack_into(self._map, 0, _MAGIC, sender_id, self._slots, MAX_OUTCOMES)

    def slot(self, number: int) -> Slot:
        """Return a slot; the caller sees to it that each has one user."""
        return Slot(self._map, number)

    def close(self) -> None:
        """Remove the file: everything it knew is in the database."""
        self.path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._file)


def reserved(path: Path, size: int) -> int:
    """Make a file of a size and lock it, for what must be known after the process.

    Raises:
        NoRecorderError: It cannot be written.
    """
    try:
        return _made(path, size)
    except OSError as error:
        raise NoRecorderError(
            f"The flight recorder {path} cannot be written: {error.strerror}. Without it nothing is"
            " sent. Make room in the data folder: senders start again by themselves."
        ) from error


def _made(path: Path, size: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written out, not left sparse: a full disk must fail here and not as a bus error later.
        os.posix_fallocate(file, 0, size)
    except OSError:
        path.unlink()
        os.close(file)
        raise
    return file


@contextmanager
def dead_recorder(path: Path) -> Iterator[Sequence[Trace] | None]:
    """Read a dead process's file under its lock; None while the process lives.

    Raises:
        RecorderUnreadableError: The file is gone or damaged.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise RecorderUnreadableError(f"The flight recorder {path} cannot be opened.") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield _read(file, path)
    finally:
        os.close(file)


def _read(file: int, path: Path) -> Sequence[Trace]:
    size = os.fstat(file).st_size
    if size < _HEADER.size:
        raise RecorderUnreadableError(f"The flight recorder {path} is cut off.")
    with mmap(file, size, access=ACCESS_READ) as mapped:
        magic, _, slots, capacity = _HEADER.unpack_from(mapped, 0)
        expected = _HEADER.size + slots * _SLOT_BYTES
        if magic != _MAGIC or capacity != MAX_OUTCOMES or size < expected:
            raise RecorderUnreadableError(f"{path} is no flight recorder of this version.")
        return [_trace(mapped, _HEADER.size + n * _SLOT_BYTES) for n in range(slots)]


def _trace(mapped: mmap, start: int) -> Trace:
    tenant_id, run_id, block, gateway_id = _PLACE.unpack_from(mapped, start)
    count, on_wire = _STATE.unpack_from(mapped, start + _COUNT_AT)
    outcomes = [_outcome(mapped, start + _LOG_AT + n * _OUTCOME_BYTES) for n in range(count)]
    known = {(o.customer_id, o.step) for o in outcomes}
    wire = (_on_wire(mapped, start + _WIRE_AT + n * _WIRE.size) for n in range(on_wire))
    return Trace(
        tenant_id=tenant_id,
        run_id=run_id,
        block=block,
        gateway_id=gateway_id,
        outcomes=outcomes,
        on_wire=[m for m in wire if m.customer_id and (m.customer_id, m.step) not in known],
    )


def _on_wire(mapped: mmap, place: int) -> OnWire:
    customer_id, amount, step, parts = _WIRE.unpack_from(mapped, place)
    return OnWire(customer_id, step, parts, amount)


def _outcome(mapped: mmap, place: int) -> Acknowledged:
    customer_id, amount, step, parts, status, code, *sizes = _OUTCOME.unpack_from(mapped, place)
    begin = place + _OUTCOME.size
    middle, end = begin + sizes[0], begin + sum(sizes)
    words = mapped[begin:middle].decode("utf-8", "ignore")
    return Acknowledged(
        customer_id, step, status, code, words, parts, amount, bytes(mapped[middle:end])
    )
