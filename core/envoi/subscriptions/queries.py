"""What pages ask about subscriptions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.subscriptions.models import MailingCategory


def list_categories(session: Session, tenant_id: int) -> Sequence[MailingCategory]:
    """Return the mailing categories by name."""
    c = table(MailingCategory).c
    query = select(MailingCategory).where(c.tenant_id == tenant_id, ~c.hidden)
    query = query.order_by(c.name, c.id)
    return session.scalars(query).all()
