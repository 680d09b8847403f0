"""A module's own tables, and reading customers: what plugins may do with the database.

A table is made by an SQL file (`register_migrations`), described here for statements, and always
a tenant's: PostgreSQL shows and takes the rows of the company alone for which the session was
opened. Statements say `tenant_id` all the same, so that they use the indexes that begin with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.blocks import rows
from envoi.plugin_settings import plugin_settings
from envoi.tenants.models import TenantSettings

__all__ = [
    "JSONB",
    "BigInteger",
    "Boolean",
    "Column",
    "Connection",
    "CustomerRecord",
    "Date",
    "DateTime",
    "Integer",
    "IntegrityError",
    "Session",
    "Table",
    "Text",
    "and_",
    "company_today",
    "customers_by_id",
    "delete",
    "exists",
    "func",
    "insert",
    "literal",
    "or_",
    "plugin_settings",
    "rows",
    "select",
    "tenant_table",
    "update",
    "upsert",
]


@dataclass(frozen=True, kw_only=True)
class CustomerRecord:
    """A customer as modules may know them."""

    id: int
    external_id: str
    name: str
    email: str
    phone: str


def company_today(session: Session | Connection, tenant_id: int) -> date:
    """Return the day that it is at the company, by its time zone."""
    c = table(TenantSettings).c
    zone = session.scalar(select(c.time_zone).where(c.tenant_id == tenant_id))
    return datetime.now(ZoneInfo(zone or "UTC")).date()


def tenant_table(name: str, *columns: Column[Any]) -> Table:
    """Describe a table of the module; `tenant_id` comes by itself."""
    return Table(name, MetaData(), Column("tenant_id", Integer), *columns)


def customers_by_id(
    session: Session | Connection, tenant_id: int, customer_ids: Collection[int]
) -> dict[int, CustomerRecord]:
    """Return the customers that exist, by number."""
    c = table(Customer).c
    query = select(c.id, c.external_id, c.first_name, c.last_name, c.email, c.phone)
    mine = query.where(c.tenant_id == tenant_id, c.id.in_(list(customer_ids)))
    return {row.id: _record(row) for row in session.execute(mine)}


def _record(row: Any) -> CustomerRecord:
    return CustomerRecord(
        id=row.id,
        external_id=row.external_id,
        name=" ".join(filter(None, (row.first_name, row.last_name))),
        email=row.email or "",
        phone=row.phone or "",
    )
