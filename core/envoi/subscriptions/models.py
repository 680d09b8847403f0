"""Tables of mailing categories, opt-outs, suppression and the append-only consent log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import SQLModel

from envoi.columns import big, big_key, identity_key, moment, tenant_key, text_key, words, yes_no

WHOLE_CHANNEL = 0
"""Stands in `category_id` for the channel itself."""


class MailingCategory(SQLModel, table=True):
    """A kind of mailing that customers can leave without leaving the channel."""

    __tablename__ = "mailing_category"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    code: str = words(None)
    name: str = words()
    description: str = words()
    exempt: bool = yes_no()
    """Service messages: not counted by frequency rules."""
    hidden: bool = yes_no()


class OptOut(SQLModel, table=True):
    """A customer who wants no messages of a channel or category; acts on the address as well."""

    __tablename__ = "opt_out"
    __table_args__ = (
        Index(
            None,
            "tenant_id",
            "channel",
            "category_id",
            "address",
            postgresql_where="address IS NOT NULL",
        ),
    )
    tenant_id: int = tenant_key()
    channel: str = text_key()
    category_id: int = big_key()
    customer_id: int = big_key()
    address: str | None = words(None, nullable=True)
    at: datetime = moment(nullable=False, now=True)


class Suppression(SQLModel, table=True):
    """An address that gets nothing any more: complaint, hard bounce, or put there by hand."""

    __tablename__ = "suppression"
    tenant_id: int = tenant_key()
    channel: str = text_key()
    address: str = text_key()
    reason: str = words()
    at: datetime = moment(nullable=False, now=True)


class ConsentLog(SQLModel, table=True):
    """Every change of a subscription; rows are only ever added."""

    __tablename__ = "consent_log"
    __table_args__ = (Index(None, "tenant_id", "customer_id"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    customer_id: int = big()
    channel: str = words(None)
    category_id: int = big()
    action: str = words(None)
    source: str = words(None)
    reason: str = words()
    address: str | None = words(None, nullable=True)
    run_id: int | None = big(nullable=True)
    at: datetime = moment(nullable=False, now=True)
