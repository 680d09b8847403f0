"""What macros and observers are told of messages that leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from envoi.errors import NotIssuedError

__all__ = [
    "Delivered",
    "DeliveryBatch",
    "DeliveryOutcome",
    "MacroCheck",
    "MacroRequest",
    "NotIssuedError",
]


@dataclass(frozen=True, kw_only=True)
class MacroRequest:
    """The customers of one run whose messages are about to leave and call a macro.

    Everything that is written over `connection` holds if, and only if, the messages were taken.
    What is kept has to be found again by `run_id` and customer.
    """

    connection: Connection
    tenant_id: int
    run_id: int
    mailing_id: int | None
    argument: str
    customer_ids: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class MacroCheck:
    """The argument of a macro in a message that is being written.

    `recipients` is how many get the mailing as it was counted last; 0 if it was not.
    """

    connection: Connection
    tenant_id: int
    argument: str
    recipients: int = 0


class DeliveryOutcome(StrEnum):
    """What became of a message that was handed over."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    """Refused for good: it has not left and is not tried again."""
    UNCONFIRMED = "unconfirmed"
    """Nobody knows whether it has left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """One message of a batch."""

    customer_id: int
    step: int
    outcome: DeliveryOutcome


@dataclass(frozen=True, kw_only=True)
class DeliveryBatch:
    """Messages of one run whose outcome was just recorded; a batch may come twice or never.

    `session` opens a transaction of the company for what the observer keeps.
    """

    tenant_id: int
    run_id: int
    mailing_id: int | None
    channel: str
    messages: Sequence[Delivered]
    session: Callable[[], AbstractContextManager[Session]]
