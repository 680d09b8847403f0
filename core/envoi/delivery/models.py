"""Tables of gateways, runs, blocks, senders and the partitioned ledger of messages."""

from __future__ import annotations

from datetime import date, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from envoi.columns import (
    big,
    big_key,
    document,
    identity_key,
    int_key,
    moment,
    share,
    small,
    small_key,
    tenant_key,
    text_key,
    whole,
    words,
    yes_no,
)
from envoi.tracking.classify import VERSION

SUBMISSION_DAYS = 14
"""So long after it was handed over a message is found by the name that its provider gave it."""

_REFERENCE = "ltrim(lower(provider_id), '0')"


class RunKind(IntEnum):
    """The occasion of sending; test runs are outside every figure."""

    MAILING = 1
    TEST = 2


class RunStatus(IntEnum):
    """The course of a run; a launched mailing's status is its run's."""

    COLLECTING = 1
    SENDING = 2
    PAUSED = 3
    SENT = 4
    CANCELLED = 5
    FAILED = 6


UNFINISHED = (RunStatus.COLLECTING, RunStatus.SENDING, RunStatus.PAUSED)
"""A run in one of these is still at work, or waits to go on."""


class MessageState(IntEnum):
    """Hand-over states of the ledger (design, section 6)."""

    EXCLUDED = 1
    CONTROL = 2
    READY = 3
    CLAIMED = 4
    ACCEPTED = 5
    FAILED = 6
    UNCONFIRMED = 7
    BLOCKED = 8
    EXPIRED = 9
    CANCELLED = 10


class Stage(IntEnum):
    """Why a customer of the segment is no recipient, in the order in which it is asked."""

    DUPLICATE_ADDRESS = 1
    GLOBAL_CONTROL = 2
    ADDRESS_ISSUE = 3
    CHANNEL_OPT_OUT = 4
    CATEGORY_OPT_OUT = 5
    SUPPRESSED = 6
    POLICY = 7


class SubmissionState(IntEnum):
    """What is known of a part of a message, or of a device that it went to; it only grows."""

    REFUSED = 1
    UNCONFIRMED = 2
    ACCEPTED = 3
    FAILED = 4
    DELIVERED = 5
    READ = 6


class BlockState(IntEnum):
    """The course of a block of messages."""

    READY = 1
    CLAIMED = 2
    DONE = 3


class Gateway(SQLModel, table=True):
    """A configured account of a provider; `secrets` is encrypted for this tenant and row.

    `limits` is a `GatewayLimits` document; `version` grows with every change. A gateway that
    `may_stand_in` takes other gateways' messages, by `position`, while those do not work.
    `most_connections` is over all processes; 0 is as many as there are senders. `prices` is a
    `PriceTable` document.
    """

    __tablename__ = "gateway"
    tenant_id: int = tenant_key()
    id: int = identity_key()
    channel: str = words(None)
    provider: str = words(None)
    name: str = words()
    settings: dict[str, Any] = document()
    secrets: bytes = Field(b"", sa_column=Column(LargeBinary, nullable=False))
    is_default: bool = yes_no(True)
    limits: dict[str, Any] = document()
    prices: dict[str, Any] = document()
    position: int = whole()
    is_on: bool = yes_no(True)
    may_stand_in: bool = yes_no(True)
    most_connections: int = whole()
    version: int = whole(1)
    created_at: datetime = moment(nullable=False, now=True)


class Circuit(SQLModel, table=True):
    """What is wrong with a gateway, for all processes; see `envoi.delivery.circuit`.

    `error` is a sentence for people, `answer` the provider's own words. Nothing is tried before
    `next_try_at`; once `opened_at` is set, only a probe is.
    """

    __tablename__ = "circuit"
    tenant_id: int = tenant_key()
    gateway_id: int = big_key()
    failures: int = whole()
    next_try_at: datetime = moment(nullable=False, now=True)
    opened_at: datetime | None = moment()
    failed_at: datetime | None = moment()
    error: str = words()
    answer: str = words()


class GatewayMinute(SQLModel, table=True):
    """What left by a gateway in a minute; `slot` is the minute of the hour, used again."""

    __tablename__ = "gateway_minute"
    tenant_id: int = tenant_key()
    gateway_id: int = big_key()
    slot: int = small_key()
    minute: datetime = moment(nullable=False)
    accepted: int = whole()
    refused: int = whole()


class GatewayDay(SQLModel, table=True):
    """How much of a day's allowance of a gateway is taken; only kept where there is one.

    `domain` is the recipients' domain, empty for all together.
    """

    __tablename__ = "gateway_day"
    tenant_id: int = tenant_key()
    gateway_id: int = big_key()
    day: date = Field(sa_column=Column(Date, primary_key=True))
    domain: str = text_key()
    taken: int = whole()


class Run(SQLModel, table=True):
    """One occasion of sending, with everything frozen that it depends on.

    `settings` is a `RunSettings` document; `volume` the counts of the collection. The figures
    from `recipients` to `amount` are kept by `envoi.delivery.figures` once the run has ended,
    so that lists need not count the ledger; None means not counted yet. `report` is what
    `envoi.mailings.kept` keeps of a large run; the paused shares are the rates at which the run
    was last paused because of them. `classifier` is the version of the rules by which the run's
    hits have been told from machines' (`envoi.tracking.classify`).
    """

    __tablename__ = "run"
    __table_args__ = (Index(None, "tenant_id", "mailing_id"),)
    tenant_id: int = tenant_key()
    id: int = identity_key()
    kind: int = small(RunKind.MAILING)
    status: int = small(RunStatus.COLLECTING)
    mailing_id: int | None = big(nullable=True)
    gateway_id: int | None = big(nullable=True)
    channel: str = words(None)
    launched_on: date = Field(sa_column=Column(Date, nullable=False))
    seed: int = big()
    settings: dict[str, Any] = document()
    volume: dict[str, Any] = document()
    created_at: datetime = moment(nullable=False, now=True)
    expires_at: datetime | None = moment()
    collected_at: datetime | None = moment()
    finished_at: datetime | None = moment()
    paused_at: datetime | None = moment()
    pause_reason: str = words()
    waits_for_gateway: bool = yes_no()
    paused_bounce_share: float | None = share()
    paused_complaint_share: float | None = share()
    recipients: int | None = big(nullable=True)
    sent: int | None = big(nullable=True)
    delivered: int | None = big(nullable=True)
    failed: int | None = big(nullable=True)
    receipts: int | None = big(nullable=True)
    amount: int | None = big(nullable=True)
    classifier: int = Field(
        default=VERSION, sa_column=Column(SmallInteger, nullable=False, server_default="1")
    )
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))


class RunTraffic(SQLModel, table=True):
    """What a run's messages have come to so far, and in its last two minutes with any.

    `unconfirmed` counts every time an outcome stayed unknown, whatever was found out later.
    """

    __tablename__ = "run_traffic"
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    minute: datetime = moment(nullable=False)
    this_minute: int = whole()
    last_minute: int = whole()
    accepted: int = whole()
    refused: int = whole()
    unconfirmed: int = whole()


class RunCost(SQLModel, table=True):
    """What a run's messages have cost so far at a gateway, in 1/10,000 of the currency's unit.

    Kept where messages are counted in parts or have a price.
    """

    __tablename__ = "run_cost"
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    step: int = small_key()
    gateway_id: int = big_key()
    parts: int = Field(0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    amount: int = Field(0, sa_column=Column(BigInteger, nullable=False, server_default="0"))


class Submission(SQLModel, table=True):
    """What a provider took: by its number for it later reports find the message.

    There is a row for each part or device of a message, and one for a whole message that the
    provider gave a number of its own. What was refused at once has no number. Reports may write
    the number another way; `reference` is what they have in common. Kept for `SUBMISSION_DAYS`,
    since reports come soon or never.
    """

    __tablename__ = "submission"
    __table_args__ = (
        Index(None, "tenant_id", "gateway_id", "reference"),
        Index(None, "tenant_id", "at"),
    )
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    customer_id: int = big_key()
    step: int = small_key()
    number: int = big_key()
    gateway_id: int = big_key()
    provider_id: str = text_key()
    launched_on: date = Field(sa_column=Column(Date, nullable=False))
    at: datetime = moment(nullable=False, now=True)
    delivered_at: datetime | None = moment()
    state: int = small(None)
    code: int = whole()
    reference: str | None = Field(
        default=None, sa_column=Column(Text, Computed(_REFERENCE, persisted=True))
    )


class HandedOver(SQLModel, table=True):
    """A further step that a message's gateway goes on to by itself, and what it costs then.

    `amount` is in 1/10,000 of the currency's unit, `charged` once it is part of the run's cost.
    Kept for `SUBMISSION_DAYS`.
    """

    __tablename__ = "handed_over"
    __table_args__ = (Index(None, "tenant_id", "at"),)
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    customer_id: int = big_key()
    step: int = small_key()
    gateway_id: int = big()
    parts: int = whole()
    amount: int = Field(0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    charged: bool = yes_no()
    at: datetime = moment(nullable=False, now=True)


class RunBlock(SQLModel, table=True):
    """A slice of a run's messages that a sender claims as a whole; retries form new blocks.

    All of them are of one step. While some may still be followed by a message of the next step,
    `moves_at` is when to look which; see `envoi.delivery.cascade`.
    """

    __tablename__ = "run_block"
    __table_args__ = (
        Index(None, "tenant_id", "run_id", "due_at", postgresql_where="state = 1"),
        Index(None, "sender_id", postgresql_where="state = 2"),
        Index(None, "tenant_id", "run_id", "moves_at", postgresql_where="moves_at IS NOT NULL"),
    )
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    number: int = int_key()
    launched_on: date = Field(sa_column=Column(Date, nullable=False))
    state: int = small(BlockState.READY)
    size: int = whole()
    due_at: datetime = moment(nullable=False)
    sender_id: int | None = big(nullable=True)
    claimed_at: datetime | None = moment()
    step: int = small(1)
    moves_at: datetime | None = moment()


class Sender(SQLModel, table=True):
    """A sending process's session. No RLS: a process works for every tenant."""

    __tablename__ = "sender"
    id: int = identity_key()
    host: str = words(None)
    pid: int = Field(sa_column=Column(Integer, nullable=False))
    recorder: str = words()
    started_at: datetime = moment(nullable=False, now=True)
    heartbeat_at: datetime = moment(nullable=False, now=True)
    ended_at: datetime | None = moment()


class Instance(SQLModel, table=True):
    """Where the database that sends lives, in one row; see `envoi.delivery.restored`.

    No RLS: it holds for every tenant.
    """

    __tablename__ = "instance"
    id: int = small_key()
    identity: str = words(None)


class Message(SQLModel, table=True):
    """The ledger: one row for every customer of a run's segment, and those that follow.

    A cascade adds a row for each further step; it `follows`, so that people are counted by the
    others. A message is `handed_over` where its provider goes on from it by itself.
    Column order packs the fixed parts; a row with its indexes stays under 400 bytes for life.
    Only `block` and the key are indexed, so that changes of state stay heap-only.
    """

    __tablename__ = "message"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "run_id", "customer_id", "step", "launched_on"),
        Index(None, "tenant_id", "customer_id"),
        Index(None, "tenant_id", "run_id", "block", postgresql_where="block IS NOT NULL"),
        {"postgresql_partition_by": "RANGE (launched_on)"},
    )
    run_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    customer_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    seq: int = Field(default=None, sa_column=Column(BigInteger, Identity(), nullable=False))
    due_at: datetime | None = moment()
    tenant_id: int = Field(sa_column=Column(Integer, nullable=False))
    launched_on: date = Field(sa_column=Column(Date, nullable=False))
    block: int | None = whole(None, nullable=True)
    step: int = small(1)
    state: int = small(None)
    stage: int | None = small(None, nullable=True)
    variant: int | None = small(None, nullable=True)
    attempt: int = small(0)
    code: int | None = small(None, nullable=True)
    accepted_at: datetime | None = moment()
    delivered_at: datetime | None = moment()
    bounced_at: datetime | None = moment()
    opened_at: datetime | None = moment()
    clicked_at: datetime | None = moment()
    complained_at: datetime | None = moment()
    unsubscribed_at: datetime | None = moment()
    detail: str | None = words(None, nullable=True)
    follows: bool = yes_no()
    handed_over: bool = yes_no()


class Link(SQLModel, table=True):
    """A tracked link of a run's content; the only addresses a click may lead to."""

    __tablename__ = "link"
    tenant_id: int = tenant_key()
    run_id: int = big_key()
    step: int = Field(
        default=1,
        sa_column=Column(SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    )
    variant: int = small_key()
    number: int = small_key()
    target: str = words(None)
