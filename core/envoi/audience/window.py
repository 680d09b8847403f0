"""The sending window: between which minutes of a day messages may leave, and by whose clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    DateTime,
    Subquery,
    Text,
    bindparam,
    column,
    func,
    literal,
    select,
)

from envoi.audience.clock import zone_names
from envoi.db import table
from envoi.tenants.models import TimeZone

OUTSIDE_WINDOW = "window"
"""The detail of a message that waits for the window to open."""

COMPANY, CUSTOMER = "company", "customer"
_MOMENT = DateTime(timezone=True)


@dataclass(frozen=True)
class SendingWindow:
    """From one minute of a day up to, not including, another; it may cross midnight."""

    start: int
    end: int
    zone: str = COMPANY

    @classmethod
    def of(cls, start: int | None, end: int | None, zone: str = COMPANY) -> Self | None:
        """Return the window of two fields; None where there is none."""
        return None if start is None or end is None else cls(start, end, zone)

    def holds(self, minute: int) -> bool:
        """Whether messages may leave in a minute of the day."""
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def covers(self, other: SendingWindow) -> bool:
        """Whether all of another window lies within this one."""
        return all(self.holds(minute) for minute in range(24 * 60) if other.holds(minute))

    def opens_at(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when it opens next for somebody in a zone; None while it is open."""
        local = moment.astimezone(zone)
        minute = local.hour * 60 + local.minute
        if self.holds(minute):
            return None
        opening = time(*divmod(self.start, 60), fold=local.fold)
        tomorrow = timedelta(days=1 if minute >= self.start else 0)
        return datetime.combine(local.date() + tomorrow, opening, zone).astimezone(UTC)


def openings(window: SendingWindow, moment: datetime) -> Subquery:
    """Return the zones in which the window is closed at a moment, with when it opens."""
    opening = (
        func.unnest(
            literal(zone_names(), ARRAY(Text)),
            bindparam("openings", window_parameters(window, moment)["openings"], ARRAY(_MOMENT)),
        )
        .table_valued(column("name", Text), column("opens_at", _MOMENT))
        .render_derived("opening")
    )
    zone = table(TimeZone)
    return (
        select(zone.c.id, opening.c.opens_at)
        .join_from(zone, opening, zone.c.name == opening.c.name)
        .subquery("closed")
    )


def window_parameters(window: SendingWindow, moment: datetime) -> dict[str, Any]:
    """Return the parameters of the openings, for a statement that is run again."""
    return {"openings": _openings(window, moment.astimezone(UTC).replace(second=0, microsecond=0))}


@lru_cache(maxsize=16)
def _openings(window: SendingWindow, moment: datetime) -> list[datetime | None]:
    return [window.opens_at(moment, ZoneInfo(name)) for name in zone_names()]
