"""Tables of bounces, of everything that came in raw, and of the doors it came in by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from envoi.columns import (
    big,
    big_key,
    document,
    identity_key,
    moment,
    small,
    small_key,
    tenant_key,
    text_key,
    whole,
    words,
    yes_no,
)

NOBODY = 0
"""The tenant of what came in and names no message of ours; no company has this number."""

NO_KEY = "no_key"
"""Why a bounce is in quarantine that may be about a message of ours, but does not prove it."""


class Fault(IntEnum):
    """Whom a bounce blames, the gravest last; stored with the bounce."""

    SOFT = 1
    """The mailbox, for now: the customer is still written to."""
    SENDER = 2
    """We ourselves: reputation, policy, content. Never held against the customer."""
    HARD = 3
    """The address: the customer is not written to any more."""


class Door(IntEnum):
    """By which way something came in."""

    HANDOVER = 1
    """The provider refused at once, while the message was handed over."""
    LISTENER = 2
    MAILBOX = 3
    WEBHOOK = 4
    CONNECTION = 5
    """A connection to the provider, by which reports come."""
    API = 6
    """A company's own app."""


class InboundState(IntEnum):
    """What became of something that came in."""

    APPLIED = 1
    IGNORED = 2
    """Understood, and it changes nothing: an automatic reply, a delay."""
    QUARANTINED = 3
    """Not understood, or it names no message of ours."""
    WAITING = 4
    """It names a message by a name that we have not been told yet."""


class Bounce(SQLModel, table=True):
    """The gravest bounce of one message.

    `quality` is the code it gives the contact (`customers.models.Quality`), 0 for none;
    `forgiven` ones no longer count against the address.
    """

    __tablename__ = "bounce"
    __table_args__ = (
        Index(None, "tenant_id", "customer_id"),
        Index(None, "tenant_id", "address", "at"),
    )
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    customer_id: int = big_key()
    step: int = small_key()
    fault: int = small(None)
    quality: int = small()
    door: int = small(None)
    forgiven: bool = yes_no()
    at: datetime = moment(nullable=False)
    reason: str = words()
    status: str = words()
    address: str = words(None)
    answer: str = words()


class Inbound(SQLModel, table=True):
    """Something that came in, raw as it was (its beginning, if it was large)."""

    __tablename__ = "inbound"
    __table_args__ = (
        UniqueConstraint("tenant_id", "digest"),
        Index(None, "tenant_id", "received_at"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    door: int = small(None)
    state: int = small(None)
    size: int = whole()
    received_at: datetime = moment(nullable=False, now=True)
    digest: str = words(None)
    recipient: str = words()
    reason: str = words()
    raw: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class DoorSign(SQLModel, table=True):
    """When a door was last looked after, and what troubles it. No RLS: it serves every tenant."""

    __tablename__ = "door"
    name: str = text_key()
    looked_at: datetime | None = moment()
    received_at: datetime | None = moment()
    trouble: str = words()

    def is_alive(self, seconds: float) -> bool:
        """Whether somebody looked after the door so lately."""
        return _is_fresh(self.looked_at, seconds)


def _is_fresh(at: datetime | None, seconds: float) -> bool:
    return at is not None and datetime.now(UTC) - at < timedelta(seconds=seconds)


class WaitingReport(SQLModel, table=True):
    """A report whose message is not known yet: it may come before the answer to the hand-over.

    `event` is a `DeliveryEvent`; `inbound_id` is what came in, raw; `due_at` is the next look.
    """

    __tablename__ = "waiting_report"
    __table_args__ = (
        Index(None, "tenant_id", "gateway_id", "received_at"),
        Index(None, "tenant_id", "gateway_id", "due_at"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    gateway_id: int = big()
    inbound_id: int = big()
    door: int = small(None)
    event: dict[str, Any] = document()
    received_at: datetime = moment(nullable=False, now=True)
    due_at: datetime = moment(nullable=False, now=True)


class ReceiverSign(SQLModel, table=True):
    """How the connection fares by which reports of a gateway come, see `feedback.receivers`."""

    __tablename__ = "receiver"
    tenant_id: int = tenant_key()
    gateway_id: int = big_key()
    looked_at: datetime = moment(nullable=False, now=True)
    received_at: datetime | None = moment()
    trouble: str = words()

    def is_alive(self, seconds: float) -> bool:
        """Whether the process that holds the connection has said so lately."""
        return _is_fresh(self.looked_at, seconds)


class Reply(SQLModel, table=True):
    """What somebody answered by a gateway; a stop asked for no more messages of its channel.

    Whose it is, the address tells: it may be nobody's, or several customers'.
    """

    __tablename__ = "reply"
    __table_args__ = (
        Index(None, "tenant_id", "address", "at"),
        Index(None, "tenant_id", "gateway_id", "at"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    gateway_id: int = big()
    at: datetime = moment(nullable=False)
    channel: str = words(None)
    address: str = words(None)
    text: str = words()
    is_stop: bool = yes_no()
