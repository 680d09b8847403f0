"""Tables of products, receipts, receipt lines and attribution; money is in minor units."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Column, Date, Float, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from envoi.columns import (
    big,
    big_key,
    identity_key,
    moment,
    small,
    small_key,
    tenant_key,
    words,
    yes_no,
)

_OF_CUSTOMER = ("amount", "bucket", "cancelled")


class Product(SQLModel, table=True):
    """A product that receipt lines name."""

    __tablename__ = "product"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        Index(None, "tenant_id", "category"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    external_id: str = words(None)
    name: str = words()
    category: str = words()
    price: int | None = big(nullable=True)
    url: str = words()
    image_url: str = words()


class Receipt(SQLModel, table=True):
    """A purchase; `bucket` repeats the customer's, so that samples of both meet."""

    __tablename__ = "receipt"
    __table_args__ = (
        UniqueConstraint("tenant_id", "external_id"),
        # Segments aggregate from the indexes alone: a third of the time of reading the rows.
        Index(None, "tenant_id", "customer_id", "at", postgresql_include=_OF_CUSTOMER),
        Index(None, "tenant_id", "at", postgresql_include=("customer_id", *_OF_CUSTOMER)),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    customer_id: int = big()
    at: datetime = moment(nullable=False)
    amount: int = big()
    items: float = Field(default=0.0, sa_column=Column(Float, nullable=False, server_default="0"))
    bucket: int = small(None)
    cancelled: bool = yes_no()
    external_id: str = words(None)


class ReceiptLine(SQLModel, table=True):
    """One product of a receipt."""

    __tablename__ = "receipt_line"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "receipt_id"], ["receipt.tenant_id", "receipt.id"], ondelete="CASCADE"
        ),
        Index(None, "tenant_id", "product_id"),
    )
    tenant_id: int = tenant_key()
    receipt_id: int = big_key()
    number: int = small_key()
    product_id: int = big()
    quantity: float = Field(
        default=1.0, sa_column=Column(Float, nullable=False, server_default="1")
    )
    amount: int = big()


class Attribution(SQLModel, table=True):
    """The one message that a receipt is attributed to; rebuilt at will, never edited."""

    __tablename__ = "attribution"
    __table_args__ = (Index(None, "tenant_id", "run_id"),)
    tenant_id: int = tenant_key()
    receipt_id: int = big_key()
    run_id: int = big()
    customer_id: int = big()
    variant: int = small(1)
    on_day: date = Field(sa_column=Column(Date, nullable=False))
    amount: int = big()
