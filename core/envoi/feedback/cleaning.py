"""Deletes what came in long ago, and lets soft bounces and old faults pass."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, func, select

from envoi.db import Database, table
from envoi.feedback.contacts import forgive_old
from envoi.feedback.models import NOBODY, Inbound, Reply
from envoi.operations.plugin_errors import forget_faults
from envoi.tenants.models import Tenant

REPLIES_KEPT = timedelta(days=730)
"""What customers answered is part of their history, but not for ever."""


def clean(database: Database, days: int) -> int:
    """Clean up for every tenant; return how many raw messages were deleted."""
    with database.system_session() as session:
        tenants = session.scalars(select(table(Tenant).c.id)).all()
    return sum(_clean(database, tenant_id, days) for tenant_id in (NOBODY, *tenants))


def _clean(database: Database, tenant_id: int, days: int) -> int:
    i = table(Inbound).c
    old = delete(table(Inbound)).where(
        i.tenant_id == tenant_id, i.received_at < func.now() - timedelta(days=days)
    )
    r = table(Reply).c
    answered = delete(table(Reply)).where(
        r.tenant_id == tenant_id, r.at < func.now() - REPLIES_KEPT
    )
    with database.tenant_session(tenant_id) as session:
        session.execute(answered)
        forgive_old(session, tenant_id)
        forget_faults(session, tenant_id)
        return session.connection().execute(old).rowcount
