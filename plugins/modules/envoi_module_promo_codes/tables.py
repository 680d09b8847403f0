"""The module's tables, for statements."""

from __future__ import annotations

from envoi.data import BigInteger, Boolean, Column, Date, DateTime, Text, tenant_table

GROUPS = tenant_table(
    "promo_code_group",
    Column("id", BigInteger),
    Column("name", Text),
    Column("expires_on", Date),
    Column("created_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
)
CODES = tenant_table(
    "promo_code",
    Column("id", BigInteger),
    Column("group_id", BigInteger),
    Column("code", Text),
    Column("blocked", Boolean),
    Column("run_id", BigInteger),
    Column("customer_id", BigInteger),
    Column("issued_at", DateTime(timezone=True)),
    Column("sent_at", DateTime(timezone=True)),
)
