"""Tables of mailings and their variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    Column,
    Date,
    Float,
    ForeignKeyConstraint,
    Index,
)
from sqlalchemy.dialects.postgresql import JSONB
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
    whole,
    words,
    yes_no,
)


class MailingState(IntEnum):
    """Where a mailing stands before it has a run; from then on the run's state counts."""

    DRAFT = 0
    CREATED = 1
    LAUNCHED = 2
    CANCELLED = 3


class Mailing(SQLModel, table=True):
    """A mass mailing; `control` holds the share in per cent and the strata.

    Who gets it is a segment, a target audience, or a tree of its own (the customer list with
    its filters, an empty one for everybody); the rest is the same for all three. The sending
    window is in minutes of a day, of the company or of each customer (`window_zone`).
    `approval` is an `Approval` document where a second person is asked; `budget` is what the
    run may cost, in 1/10,000 of the currency's unit (None: any amount). `cascade` is a list of
    `Following` documents, the steps after the first.
    """

    __tablename__ = "mailing"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "segment_id"], ["segment.tenant_id", "segment.id"]),
        ForeignKeyConstraint(["tenant_id", "policy_id"], ["policy.tenant_id", "policy.id"]),
        ForeignKeyConstraint(
            ["tenant_id", "audience_id"], ["target_audience.tenant_id", "target_audience.id"]
        ),
        ForeignKeyConstraint(
            ["tenant_id", "control_audience_id"],
            ["target_audience.tenant_id", "target_audience.id"],
        ),
        Index(None, "tenant_id", "channel", "created_at"),
        Index(None, "tenant_id", "starts_at"),
    )
    tenant_id: int = tenant_key()
    id: int = identity_key()
    name: str = words()
    channel: str = words(None)
    state: int = small(MailingState.DRAFT)
    version: int = whole(1)
    segment_id: int | None = big(nullable=True)
    audience_id: int | None = big(nullable=True)
    tree: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    policy_id: int | None = big(nullable=True)
    category_id: int | None = big(nullable=True)
    run_id: int | None = big(nullable=True)
    control_share: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default="0")
    )
    control_audience_id: int | None = big(nullable=True)
    strata: list[str] = document("[]")
    one_per_address: bool = yes_no(True)
    attribution_days: int = small(14)
    attribution_from: date | None = Field(default=None, sa_column=Column(Date))
    attribution_until: date | None = Field(default=None, sa_column=Column(Date))
    attribution_conditions: dict[str, Any] = document()
    lifetime_minutes: int = whole(4320)
    limit_per_minute: int | None = whole(None, nullable=True)
    window_from: int | None = small(None, nullable=True)
    window_until: int | None = small(None, nullable=True)
    window_zone: str = words("company")
    utm: dict[str, str] = document()
    watcher_group_id: int | None = big(nullable=True)
    starts_at: datetime | None = moment()
    confirmed_at: datetime | None = moment()
    confirmed_by: int | None = whole(None, nullable=True)
    confirmed_count: int | None = big(nullable=True)
    volume: dict[str, Any] = document()
    approval: dict[str, Any] = document()
    cascade: list[dict[str, Any]] = document("[]")
    budget: int | None = big(nullable=True)
    hidden: bool = yes_no()
    created_by: int | None = whole(None, nullable=True)
    created_at: datetime = moment(nullable=False, now=True)
    updated_at: datetime = moment(nullable=False, now=True)
    updated_by: int | None = whole(None, nullable=True)


def channel_names(first: str, cascade: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the channels of a mailing's steps, in their order, from its two columns."""
    return [first, *(str(step["channel"]) for step in cascade)]


class Variant(SQLModel, table=True):
    """One version of a mailing's content, numbered from 1; shares add up to 100.

    `steps` are the contents of the cascade's further steps, in their order.
    """

    __tablename__ = "variant"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "mailing_id"], ["mailing.tenant_id", "mailing.id"], ondelete="CASCADE"
        ),
    )
    tenant_id: int = tenant_key()
    mailing_id: int = big_key()
    number: int = small_key()
    share: float = Field(
        default=100.0, sa_column=Column(Float, nullable=False, server_default="100")
    )
    content: dict[str, Any] = document()
    steps: list[dict[str, Any]] = document("[]")
