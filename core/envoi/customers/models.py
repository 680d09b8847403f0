"""Tables of customers, their custom attributes, search tokens and imports."""

from __future__ import annotations

from datetime import date, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Date,
    Float,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from envoi.columns import (
    big,
    big_key,
    document,
    identity_key,
    int_key,
    moment,
    small,
    tenant_key,
    whole,
    words,
    yes_no,
)


class Gender(IntEnum):
    """As stated by the customer."""

    NOT_STATED = 0
    FEMALE = 1
    MALE = 2


class Quality(IntEnum):
    """What is wrong with a contact: 1 to 29 may pass, 30 and above exclude for good."""

    GOOD = 0
    UNAVAILABLE = 1
    DNS_ERROR = 2
    MAILBOX_FULL = 3
    TOO_LONG = 4
    TIMEOUT = 5
    ANSWERING_MACHINE = 6
    NO_ADDRESS = 30
    FORMAT_ERROR = 31
    NOT_EXISTING = 32
    UNDELIVERABLE = 33
    EXHAUSTED = 34
    BLOCKED_BY_MTA = 35
    COMPLAINT = 36
    BLOCKED_BY_RECIPIENT = 37
    REFUSES_ATTACHMENTS = 38
    NO_DOMAIN = 39
    LANDLINE = 40
    BLACKLISTED = 50


class FieldType(IntEnum):
    """The type of a custom attribute."""

    TEXT = 1
    NUMBER = 2
    DATE = 3
    YES_NO = 4
    CHOICE = 5


class ImportState(IntEnum):
    """The course of an import."""

    WAITING = 1
    RUNNING = 2
    DONE = 3
    FAILED = 4
    MAPPING = 5
    """Uploaded: a person is to say which column is what."""
    CHECKED = 6
    """The dry run is done and a person is to decide."""
    CANCELLED = 7


# An expression in an index is not leakproof, so under row-level security it finds nothing.
_REGISTERED = Computed("coalesce(registered_on, '0001-01-01'::date)", persisted=True)


class Customer(SQLModel, table=True):
    """A customer; `bucket` is a stable hash (0-9999) by which samples and work are cut.

    `email` is lower-cased, `phone` in E.164; the quality codes say why one is unusable.
    `registered_sort` is the day of registration, or one before all others where it is not known.
    """

    __tablename__ = "customer"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        Index(None, "tenant_id", "bucket"),
        Index(None, "tenant_id", "email"),
        Index(None, "tenant_id", "phone"),
        Index(None, "tenant_id", "registered_sort", "id"),
        Index(None, "tenant_id", "updated_at", "id"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    external_id: str = words(None)
    bucket: int = small(None)
    zone_id: int | None = small(None, nullable=True)
    gender: int = small()
    email_quality: int = small(Quality.NO_ADDRESS)
    phone_quality: int = small(Quality.NO_ADDRESS)
    birth_date: date | None = Field(default=None, sa_column=Column(Date))
    registered_on: date | None = Field(default=None, sa_column=Column(Date))
    registered_sort: date | None = Field(default=None, sa_column=Column(Date, _REGISTERED))
    first_name: str = words()
    middle_name: str = words()
    last_name: str = words()
    city: str = words()
    email: str | None = words(None, nullable=True)
    phone: str | None = words(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)


class CustomerDevice(SQLModel, table=True):
    """An app of a customer that takes push messages: what a push service knows by its token.

    A token that is registered again, for whomever, stays one device. `seen_at` is when the app
    last named it, `gone_at` when its service said that it knows it no more.
    """

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("tenant_id", "service", "token"),
        ForeignKeyConstraint(
            ["tenant_id", "customer_id"], ["customer.tenant_id", "customer.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "customer_id", postgresql_where=text("gone_at IS NULL")),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    customer_id: int = big()
    service: str = words(None)
    token: str = words(None)
    app: str = words()
    name: str = words()
    created_at: datetime = moment(nullable=False, now=True)
    seen_at: datetime = moment(nullable=False, now=True)
    gone_at: datetime | None = moment()


class CustomerToken(SQLModel, table=True):
    """A normalised word of a customer's personal details; searched by prefix range.

    LIKE is not leakproof and would not use an index under row-level security. No foreign key:
    the rows are derived, and checking each would take longer than the rest of an import.
    """

    __tablename__ = "customer_token"
    __table_args__ = (Index(None, "tenant_id", "customer_id"),)
    tenant_id: int = tenant_key()
    token: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    customer_id: int = big_key()


class CustomField(SQLModel, table=True):
    """A custom attribute of customers."""

    __tablename__ = "custom_field"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)
    tenant_id: int = tenant_key()
    id: int = Field(default=None, sa_column=Column(Integer, Identity(), primary_key=True))
    code: str = words(None)
    label: str = words()
    type: int = small(FieldType.TEXT)
    position: int = small(0)
    group_label: str = words()
    choices: list[str] = document("[]")


class CustomerValue(SQLModel, table=True):
    """A customer's value of a custom attribute, in the column of its type.

    A typed side table, because operators on JSON are not leakproof.
    """

    __tablename__ = "customer_value"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "field_id"],
            ["custom_field.tenant_id", "custom_field.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["tenant_id", "customer_id"], ["customer.tenant_id", "customer.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "customer_id"),
    )
    tenant_id: int = tenant_key()
    field_id: int = int_key()
    customer_id: int = big_key()
    text_value: str | None = words(None, nullable=True)
    number_value: float | None = Field(default=None, sa_column=Column(Float))
    date_value: date | None = Field(default=None, sa_column=Column(Date))


class Import(SQLModel, table=True):
    """One import of a file: its course, its counts, and where the refused lines are.

    `mapping` says which column is what; `position` is how far a killed import came, so that it
    goes on from there.
    """

    __tablename__ = "import"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    kind: str = words(None)
    file_name: str = words()
    path: str = words()
    state: int = small(ImportState.WAITING)
    total: int = whole()
    created: int = whole()
    changed: int = whole()
    refused: int = whole()
    unchanged: int = whole()
    dry_run: bool = yes_no()
    mapping: dict[str, Any] = document()
    position: int = Field(
        default=0, sa_column=Column(BigInteger, nullable=False, server_default="0")
    )
    details: dict[str, Any] = document()
    message: str = words()
    created_by: int | None = big(nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    finished_at: datetime | None = moment()


class ImportMapping(SQLModel, table=True):
    """A saved answer to which column of a kind of file is what."""

    __tablename__ = "import_mapping"
    __table_args__ = (UniqueConstraint("tenant_id", "kind", "name"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    kind: str = words(None)
    name: str = words(None)
    mapping: dict[str, Any] = document()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)


__all__ = [
    "CustomField",
    "Customer",
    "CustomerDevice",
    "CustomerToken",
    "CustomerValue",
    "FieldType",
    "Gender",
    "Import",
    "ImportMapping",
    "ImportState",
    "Quality",
]
