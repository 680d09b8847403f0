"""Times of day as fields of a form have them, for settings that are minutes of a day."""

from __future__ import annotations

from datetime import datetime


def clock_of(minute: int) -> str:
    """Return a minute of the day as a time field wants it."""
    return f"{minute // 60:02}:{minute % 60:02}"


def minute_of(clock: str) -> int:
    """Read a time of day, as 09:30; raise `ValueError` for what is none."""
    found = datetime.strptime(clock.strip(), "%H:%M")
    return found.hour * 60 + found.minute
