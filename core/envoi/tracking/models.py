"""Tables of hits and their counters."""

from __future__ import annotations

from datetime import date, datetime
from enum import IntEnum

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime
from sqlmodel import Field, SQLModel

from envoi.columns import big_key, identity_key, small, small_key, tenant_key, words


class EventKind(IntEnum):
    """What a hit says."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3
    COMPLAINT = 4
    VIEW = 5


class MessageEvent(SQLModel, table=True):
    """A raw hit, kept; partitioned like the ledger. `id` only makes rows distinct.

    `marks` holds what the request told besides its agent (`envoi.tracking.classify.Mark`), so
    that a better classifier can judge old hits again.
    """

    __tablename__ = "message_event"
    __table_args__ = ({"postgresql_partition_by": "RANGE (launched_on)"},)
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    customer_id: int = big_key()
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    launched_on: date = Field(sa_column=Column(Date, primary_key=True))
    step: int = small_key()
    kind: int = small_key()
    id: int = identity_key()
    variant: int = small(1)
    link: int | None = small(None, nullable=True)
    machine: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default="false")
    )
    classifier: int = small(1)
    marks: int = small(0)
    ip: str = words()
    agent: str = words()


class EventCounter(SQLModel, table=True):
    """Hits per run, variant and hour; rebuilt from the rows by one command."""

    __tablename__ = "event_counter"
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    variant: int = small_key()
    hour: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    kind: int = small_key()
    machine: bool = Field(sa_column=Column(Boolean, primary_key=True))
    hits: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
