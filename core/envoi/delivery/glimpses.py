"""Counts of a ledger that is being written, shared by everybody who looks at the same moment.

Of a million messages a count takes half a second, and a page of a running mailing asks every two
seconds, in every window that is open on it. A count that took long is given to all who ask until
it is two seconds old, so a process counts a run at most that often, and at most a third of the
time. Counts that are quick are never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any, TypeVar, cast

from sqlalchemy.orm import Session

T = TypeVar("T")

KEPT_SECONDS = 2.0
QUICK_SECONDS = 0.05
_FORGOTTEN_SECONDS = 60.0


@dataclass
class _Place:
    """What was counted last; the lock is held by who counts."""

    found: Any = None
    counted_at: float = 0.0
    until: float = 0.0
    lock: Lock = field(default_factory=Lock)


_places: dict[Hashable, _Place] = {}


def glimpse(session: Session, key: Hashable, count: Callable[[], T]) -> T:
    """Return what somebody else has just counted under the same key, or count.

    Args:
        session: Whose database the count is of.
        key: What is counted; the same in every request that means the same.
        count: Counts it.
    """
    place = _place((session.connection().engine.url, key))
    with place.lock:
        began = monotonic()
        if began < place.until:
            return cast("T", place.found)
        place.found = count()
        place.counted_at = monotonic()
        took = place.counted_at - began
        # Its age is that of its beginning: what was written while it was counted is not in it.
        place.until = began + max(KEPT_SECONDS, 3 * took) if took >= QUICK_SECONDS else 0.0
        return cast("T", place.found)


def _place(key: Hashable) -> _Place:
    now = monotonic()
    for old, place in list(_places.items()):
        if place.counted_at and now - place.counted_at > _FORGOTTEN_SECONDS:
            _places.pop(old, None)
    return _places.setdefault(key, _Place())
