"""The places at which tests let a process die; unless one is armed they do nothing.

They are armed by code alone, never by a setting, so nothing outside the tests can do it. What
happens during the SMTP dialogue has no places here: the tests' server ends its client then.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum


class Place(StrEnum):
    """Where a process may die, in the order in which a mailing comes by."""

    SCHEDULER_TICK = "scheduler_tick"
    """The scheduler has its lock and is about to look at what is due."""
    HINT_GIVEN = "hint_given"
    """It has woken a worker for something."""
    BEFORE_LAUNCH_COMMIT = "before_launch_commit"
    """The run is made, and nobody can see it yet."""
    AFTER_LAUNCH_COMMIT = "after_launch_commit"
    """The run can be seen, and nobody is woken for it."""
    BEFORE_COLLECT_COMMIT = "before_collect_commit"
    """The audience is written down, and nobody can see it yet."""
    AFTER_COLLECT_COMMIT = "after_collect_commit"
    """Senders may begin, and nobody is woken for it."""
    BEFORE_CLAIM_COMMIT = "before_claim_commit"
    """A block is marked as ours, and nobody can see it yet."""
    AFTER_CLAIM = "after_claim"
    """A block is ours, and the flight recorder has not begun it."""
    AFTER_CONNECT = "after_connect"
    """The recorder has the block and there is a connection, nothing is on the wire."""
    AFTER_250 = "after_250"
    """The provider has taken a message, and the recorder does not have its answer."""
    BEFORE_RECORD = "before_record"
    """A block is worked through, and only the recorder knows it."""
    BEFORE_RECORD_COMMIT = "before_record_commit"
    """Its outcomes are written, and nobody can see them yet."""
    AFTER_RECORD_COMMIT = "after_record_commit"
    """The database has the outcomes, and the recorder holds them as well."""
    BEFORE_SETTLE_COMMIT = "before_settle_commit"
    """The end of the run is written, and nobody can see it yet."""
    BEFORE_MOVE_COMMIT = "before_move_commit"
    """The messages of a cascade's next step are written, and nobody can see them yet."""
    AFTER_MOVE_COMMIT = "after_move_commit"
    """They can be seen, and nobody is woken for them."""
    RECONCILER_LOCKED = "reconciler_locked"
    """A dead sender's row is locked, its recorder not read."""
    RECONCILER_READ = "reconciler_read"
    """Its recorder is read and locked."""
    BEFORE_RECONCILE_COMMIT = "before_reconcile_commit"
    """Some of its blocks are put right, and nobody can see it yet."""
    RECONCILED = "reconciled"
    """All its blocks are put right, its session is open."""
    RECONCILER_ENDED = "reconciler_ended"
    """Its session is ended, its recorder not removed."""


_armed: set[Place] = set()


def arm(place: Place) -> None:
    """Let this process die where it comes by a place."""
    _armed.add(place)


def hit(place: Place) -> None:
    """Die as by `kill -9` when this place is armed."""
    if place in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
