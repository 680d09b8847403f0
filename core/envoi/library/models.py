"""Tables of the library: templates, and files whose bytes every host must be able to serve."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from envoi.columns import document, identity_key, moment, tenant_key, whole, words


class Template(SQLModel, table=True):
    """Content of a channel to start a mailing from."""

    __tablename__ = "template"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    channel: str = words(None)
    name: str = words(None)
    folder: str = words()
    content: dict[str, Any] = document()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)


class StoredFile(SQLModel, table=True):
    """An image, attachment or logo, kept in the database so that every host serves it.

    `kind` is image, attachment or logo; `digest` the SHA-256 of `data`, so that the same file
    uploaded twice is one.
    """

    __tablename__ = "stored_file"
    __table_args__ = (UniqueConstraint("tenant_id", "kind", "digest"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    kind: str = words(None)
    name: str = words(None)
    folder: str = words()
    alt: str = words()
    media_type: str = words(None)
    width: int | None = whole(None, nullable=True)
    height: int | None = whole(None, nullable=True)
    size: int = whole(None)
    digest: str = words(None)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
