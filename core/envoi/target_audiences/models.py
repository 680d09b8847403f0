"""Tables of target audiences: static lists of customers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import SQLModel

from envoi.columns import big_key, document, identity_key, moment, tenant_key, whole, words


class TargetAudience(SQLModel, table=True):
    """A named list of customers; `size` is its number of members, kept with every change.

    `pending` lists the changes that wait for a worker, oldest first; `trouble` says why the last
    one could not be made, until another is asked for.
    """

    __tablename__ = "target_audience"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    size: int = whole()
    pending: list[dict[str, Any]] = document("[]")
    trouble: str = words()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)


class AudienceMember(SQLModel, table=True):
    """A customer's membership of a target audience, with the time it was set."""

    __tablename__ = "audience_member"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "audience_id"],
            ["target_audience.tenant_id", "target_audience.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "customer_id"),
    )
    tenant_id: int = tenant_key()
    audience_id: int = big_key()
    customer_id: int = big_key()
    added_at: datetime = moment(nullable=False, now=True)
