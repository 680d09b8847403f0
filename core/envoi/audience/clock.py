"""The clock of every time zone, computed in Python and joined: arithmetic per row is slower.

One zone name that the database does not know would abort a whole statement.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Subquery,
    Text,
    column,
    func,
    literal,
    select,
)

from envoi.audience.request import AudienceRequest
from envoi.db import table
from envoi.tenants.models import TenantSettings, TimeZone


def zone_clock(
    request: AudienceRequest, zone_id: ColumnElement[Any]
) -> tuple[Subquery, ColumnElement[Any]]:
    """Return the clock by zone and the zone of a customer, the company's where it is unknown."""
    names, minutes, midnights = local_times(
        request.now.astimezone(UTC).replace(second=0, microsecond=0)
    )
    clock = (
        func.unnest(
            literal(names, ARRAY(Text)),
            literal(minutes, ARRAY(Integer)),
            literal(midnights, ARRAY(DateTime(timezone=True))),
        )
        .table_valued(
            column("name", Text),
            column("local_minute", Integer),
            column("local_midnight", DateTime(timezone=True)),
        )
        .alias("clock")
    )
    zone, settings = table(TimeZone), table(TenantSettings)
    clocks = select(zone.c.id, clock.c.local_minute, clock.c.local_midnight).join_from(
        zone, clock, zone.c.name == clock.c.name
    )
    company = (
        select(zone.c.id)
        .join_from(settings, zone, zone.c.name == settings.c.time_zone)
        .where(settings.c.tenant_id == request.tenant_id)
        .scalar_subquery()
    )
    return clocks.subquery("zone_clock"), func.coalesce(zone_id, company)


@lru_cache(maxsize=4)
def local_times(moment: datetime) -> tuple[list[str], list[int], list[datetime]]:
    """Return every zone's name, minute of its day, and the moment at which that day began."""
    names, minutes, midnights = sorted(available_timezones()), [], []
    for name in names:
        local = moment.astimezone(ZoneInfo(name))
        minutes.append(local.hour * 60 + local.minute)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        midnights.append(midnight.astimezone(UTC))
    return names, minutes, midnights
