"""Tables of segments and of their versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint
from sqlmodel import SQLModel

from envoi.columns import (
    big,
    big_key,
    document,
    identity_key,
    int_key,
    moment,
    tenant_key,
    whole,
    words,
)


class Segment(SQLModel, table=True):
    """A saved tree; `last_count` is what a person saw last, with its time.

    `figures` is a `SegmentFigures` document: shares of base and revenue, as of a time.
    """

    __tablename__ = "segment"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    tree: dict[str, Any] = document()
    version: int = whole(1)
    last_count: int | None = big(nullable=True)
    last_counted_at: datetime | None = moment()
    figures: dict[str, Any] = document()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)


class SegmentVersion(SQLModel, table=True):
    """A segment as it was saved once; rows are only added, the newest is the segment itself."""

    __tablename__ = "segment_version"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "segment_id"], ["segment.tenant_id", "segment.id"], ondelete="CASCADE"
        ),
    )
    tenant_id: int = tenant_key()
    segment_id: int = big_key()
    version: int = int_key()
    name: str = words(None)
    tree: dict[str, Any] = document()
    saved_by: int | None = whole(None, nullable=True)
    saved_at: datetime = moment(nullable=False, now=True)
