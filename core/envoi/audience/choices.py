"""What a base offers for stratification: its usual cities and zones, and custom attributes."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.audience.strata import MOST_VALUES
from envoi.customers.models import Customer, CustomField, FieldType
from envoi.db import table
from envoi.tenants.models import TimeZone

STRATIFIED = (FieldType.NUMBER, FieldType.DATE, FieldType.YES_NO, FieldType.CHOICE)
"""Types of custom attributes by which a control group can be stratified."""


def common_cities(session: Session, tenant_id: int, count: int) -> list[str]:
    """Return the cities with the most customers."""
    c = table(Customer).c
    query = select(c.city).where(c.tenant_id == tenant_id, c.city != "").group_by(c.city)
    ordered = query.order_by(func.count().desc(), c.city)
    return list(session.scalars(ordered.limit(min(count, MOST_VALUES))))


def common_zones(session: Session, tenant_id: int, count: int) -> list[str]:
    """Return the time zones with the most customers."""
    c, zone = table(Customer).c, table(TimeZone).c
    query = (
        select(zone.name)
        .join_from(table(Customer), table(TimeZone), zone.id == c.zone_id)
        .where(c.tenant_id == tenant_id)
        .group_by(zone.name)
        .order_by(func.count().desc(), zone.name)
    )
    return list(session.scalars(query.limit(min(count, MOST_VALUES))))


def stratified_fields(session: Session, tenant_id: int) -> list[CustomField]:
    """Return the custom attributes whose values can be put into bands or are few."""
    c = table(CustomField).c
    query = select(CustomField).where(c.tenant_id == tenant_id, c.type.in_(STRATIFIED))
    return list(session.scalars(query.order_by(c.position, c.id)))
