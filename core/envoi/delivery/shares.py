"""How much of what all sending processes may have together is this process's own.

Processes stand in the order in which they began, over all hosts, and each takes its part of
the whole; the parts add up to it, so nobody has to ask for a place.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from time import monotonic

from sqlalchemy import func, or_, select

from envoi.db import Database, table
from envoi.delivery.models import Sender
from envoi.delivery.sender import EXPIRES_AFTER

COUNT_SECONDS = 5.0
"""How old it may be what a process knows of the others."""

SETTLE_SECONDS = 8.0
"""A process that has begun takes nothing from the others until all of them know of it and have
ended the blocks that they were at."""


class Shares:
    """One process's parts; used by all its threads."""

    def __init__(self, database: Database, sender_id: int) -> None:
        self._database = database
        self._sender_id = sender_id
        self._lock = threading.Lock()
        self._settled_at = monotonic() + SETTLE_SECONDS
        self._counted_at = float("-inf")
        self._senders, self._before = 1, 0

    def of(self, whole: int) -> int:
        """This process's part of a whole; 0 where there are more processes than parts."""
        with self._lock:
            if monotonic() - self._counted_at >= COUNT_SECONDS:
                self._count()
            if self._senders > 1 and monotonic() < self._settled_at:
                return 0
            return whole // self._senders + (self._before < whole % self._senders)

    def _count(self) -> None:
        c = table(Sender).c
        lives = c.heartbeat_at > func.now() - timedelta(seconds=EXPIRES_AFTER)
        query = select(func.count(), func.count().filter(c.id < self._sender_id)).where(
            c.ended_at.is_(None), or_(lives, c.id == self._sender_id)
        )
        with self._database.system_session() as session:
            senders, self._before = session.execute(query).one()
        self._senders, self._counted_at = max(1, senders), monotonic()
