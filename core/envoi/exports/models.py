"""Table of exports: files made in the background for a person to download."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Any

from sqlmodel import SQLModel

from envoi.columns import document, identity_key, moment, small, tenant_key, whole, words


class ExportState(IntEnum):
    """The course of an export."""

    WAITING = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4


class Export(SQLModel, table=True):
    """One export: what of (`kind`, `params`), its course, and where the file is."""

    __tablename__ = "export"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    kind: str = words(None)
    name: str = words()
    params: dict[str, Any] = document()
    state: int = small(ExportState.WAITING)
    rows: int = whole()
    total: int | None = whole(None, nullable=True)
    path: str = words()
    message: str = words()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    finished_at: datetime | None = moment()
