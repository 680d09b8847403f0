"""Tables of accounts: `Account` belongs to the installation, `Membership` to a tenant."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Column, Date, ForeignKey, Identity, Integer, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from envoi.columns import document, identity_key, moment, tenant_key, whole, words, yes_no


class Account(SQLModel, table=True):
    """A person who logs in. No RLS: login comes before the tenant."""

    __tablename__ = "account"
    id: int = Field(default=None, sa_column=Column(Integer, Identity(), primary_key=True))
    email: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    password: str = words(None, nullable=True)
    name: str = words()
    language: str = words("en")
    theme: str = words("system")
    time_zone: str = words()
    active: bool = yes_no(True)
    fs_uniquifier: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    created_at: datetime = moment(nullable=False, now=True)
    last_login_at: datetime | None = moment()
    failed_logins: int = whole()
    failed_at: datetime | None = moment()


class Membership(SQLModel, table=True):
    """An account's role in a tenant; its policy also admits the account's own rows."""

    __tablename__ = "membership"
    tenant_id: int = tenant_key()
    account_id: int = Field(
        sa_column=Column(Integer, ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    )
    role: str = words(None)
    active_until: date | None = Field(default=None, sa_column=Column(Date, nullable=True))
    preferences: dict[str, Any] = document()


class ApiKey(SQLModel, table=True):
    """What another system of a company calls the API with; of the key only a digest is kept."""

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("tenant_id", "digest"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words(None)
    digest: str = words(None)
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    used_at: datetime | None = moment()
    revoked_at: datetime | None = moment()
