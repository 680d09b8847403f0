"""A sending process's session: its row, its heartbeat and its flight recorder."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.models import Sender
from envoi.delivery.recorder import FlightRecorder, Slot

log = structlog.get_logger()

HEARTBEAT_SECONDS = 5.0
EXPIRES_AFTER = 45.0
"""A session without a heartbeat for so long sends nothing more; others wait longer than this
before they take a session of unknown fate for dead."""


class SenderEndedError(Exception):
    """The session is being closed, so nothing more may be claimed."""


def recorder_folder(data_dir: Path) -> Path:
    """Where the flight recorders of this machine are."""
    return data_dir / "senders"


def count_senders(session: Session) -> tuple[int, int]:
    """Count the sending processes that may send another message, and the silent ones.

    Of those nothing was heard for too long, and nobody has settled yet what they held.
    """
    c = table(Sender).c
    alive = c.heartbeat_at > func.now() - timedelta(seconds=EXPIRES_AFTER)
    query = select(func.count().filter(alive), func.count().filter(~alive))
    row = session.execute(query.where(c.ended_at.is_(None))).one()
    return row[0], row[1]


def live_senders(database: Database) -> int:
    """Count the sending processes that may send another message."""
    with database.system_session() as session:
        alive, _ = count_senders(session)
    return alive


class SenderSession:
    """The right to claim blocks, and the record of what was done with them; a context manager.

    Args:
        database: Where the session is entered.
        data_dir: The installation's data folder.
        slots: How many threads may send at the same time.
    """

    def __init__(self, database: Database, data_dir: Path, slots: int) -> None:
        self._database = database
        # The file is locked before its name can be read anywhere.
        self._recorder = FlightRecorder(recorder_folder(data_dir) / f"{uuid4().hex}.rec", slots)
        self._free: SimpleQueue[Slot] = SimpleQueue()
        self._dirty: set[int] = set()
        self._claiming = threading.Lock()
        for number in range(slots):
            self._free.put(self._recorder.slot(number))
        self._has_ended = False
        self._closing = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._last_beat = monotonic()
        row = Sender(host=socket.gethostname(), pid=os.getpid(), recorder=self._recorder.path.name)
        with self._database.system_session() as session:
            session.add(row)
            session.flush()
            self._recorder.sign(row.id)
        self.id = row.id
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._claiming:
            self._closing.set()
        self._heart.join()
        if self._dirty:
            # The file knows more than the database: the reconciler reads it when we are gone.
            log.warning("sender_left_unrecorded", sender=self.id, slots=len(self._dirty))
            return
        with self._database.system_session() as session:
            mine = table(Sender).c.id == self.id
            session.execute(table(Sender).update().where(mine).values(ended_at=func.now()))
        self._recorder.close()

    @property
    def has_ended(self) -> bool:
        """Whether the session is over before its time; the process starts anew then."""
        return self._has_ended

    def is_alive(self) -> bool:
        """Whether the session may send another message."""
        return not self._has_ended and monotonic() - self._last_beat < EXPIRES_AFTER

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Lend a slot of the recorder to the calling thread; wait until one is free."""
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)

    @contextmanager
    def unrecorded(self, slot: Slot) -> Iterator[None]:
        """Mark what happens inside as unknown to the database until it ends well.

        Entered before a claim is committed: a commit may arrive although its answer does not,
        and a block that nobody knows of would be claimed for ever. If it does not end well, the
        session is over: the slot must not be used again, and only the reconciler can put right
        what it holds.

        Raises:
            SenderEndedError: The session is being closed; the claim must not be committed.
        """
        with self._claiming:
            if self._closing.is_set():
                raise SenderEndedError
            self._dirty.add(slot.number)
        try:
            yield
        except BaseException:
            self._has_ended = True
            raise
        slot.clear()
        self._dirty.discard(slot.number)

    def _beat(self) -> None:
        sender = table(Sender)
        mine = sender.update().where(sender.c.id == self.id, sender.c.ended_at.is_(None))
        while not self._closing.wait(HEARTBEAT_SECONDS):
            began = monotonic()
            try:
                with self._database.engine.begin() as connection:
                    beat = connection.execute(mine.values(heartbeat_at=func.now()))
            except SQLAlchemyError as error:
                log.warning("heartbeat_failed", sender=self.id, error=str(error))
                continue
            if not beat.rowcount:
                log.error("sender_expired", sender=self.id)
                self._has_ended = True
                return
            self._last_beat = began
