"""The clock of every time zone, computed in Python and joined: arithmetic per row is slower.

One zone name that the database does not know would abort a whole statement.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Subquery,
    Text,
    bindparam,
    column,
    func,
    literal,
    select,
)

from envoi.db import table
from envoi.tenants.models import TenantSettings, TimeZone

_MOMENT = DateTime(timezone=True)


def zone_clock(
    tenant_id: int, now: datetime, zone_id: ColumnElement[Any]
) -> tuple[Subquery, ColumnElement[Any]]:
    """Return the clock by zone and the zone of a customer, the company's where it is unknown."""
    values = clock_parameters(now)
    clock = (
        func.unnest(
            literal(zone_names(), ARRAY(Text)),
            bindparam("local_minutes", values["local_minutes"], ARRAY(Integer)),
            bindparam("local_midnights", values["local_midnights"], ARRAY(_MOMENT)),
        )
        .table_valued(
            column("name", Text), column("local_minute", Integer), column("local_midnight", _MOMENT)
        )
        .render_derived("clock")
    )
    zone = table(TimeZone)
    clocks = select(zone.c.id, clock.c.local_minute, clock.c.local_midnight).join_from(
        zone, clock, zone.c.name == clock.c.name
    )
    return clocks.subquery("zone_clock"), func.coalesce(zone_id, company_zone_id(tenant_id))


def company_zone_id(tenant_id: int) -> ColumnElement[Any]:
    """Return the number of the company's zone."""
    zone, settings = table(TimeZone), table(TenantSettings)
    return (
        select(zone.c.id)
        .join_from(settings, zone, zone.c.name == settings.c.time_zone)
        .where(settings.c.tenant_id == tenant_id)
        .scalar_subquery()
    )


def clock_parameters(moment: datetime) -> dict[str, Any]:
    """Return the parameters of the clock, for a statement that is run again."""
    minutes, midnights = _local_times(moment.astimezone(UTC).replace(second=0, microsecond=0))
    return {"local_minutes": minutes, "local_midnights": midnights}


@cache
def zone_names() -> list[str]:
    """Return every known zone in the order of the clock's parameters."""
    return sorted(available_timezones())


@lru_cache(maxsize=4)
def _local_times(moment: datetime) -> tuple[list[int], list[datetime]]:
    """Return every zone's minute of its day, and the moment at which that day began."""
    minutes, midnights = [], []
    for name in zone_names():
        local = moment.astimezone(ZoneInfo(name))
        minutes.append(local.hour * 60 + local.minute)
        midnight = local.replace(hour=0, minute=0, fold=0)
        midnights.append(midnight.astimezone(UTC))
    return minutes, midnights
