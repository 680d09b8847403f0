"""Table of communication policies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel

from envoi.columns import document, identity_key, moment, tenant_key, whole, words, yes_no


class Policy(SQLModel, table=True):
    """A policy; `rules` is a list of `{"kind": ..., "settings": {...}}`. Standard has none."""

    __tablename__ = "policy"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    is_default: bool = yes_no()
    rules: list[dict[str, Any]] = document("[]")
    version: int = whole(1)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)
