"""Table of segments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer
from sqlmodel import Field, SQLModel

from envoi.columns import document, identity_key, moment, tenant_key, words


class Segment(SQLModel, table=True):
    """A saved tree; `last_count` is what a person saw last, with its time."""

    __tablename__ = "segment"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    tree: dict[str, Any] = document()
    version: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default="1"))
    last_count: int | None = Field(default=None, sa_column=Column(BigInteger))
    last_counted_at: datetime | None = moment()
    created_by: int | None = Field(default=None, sa_column=Column(Integer))
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)
