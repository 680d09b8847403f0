"""Typed columns for rule kinds and segment sources: the only SQL a plugin writes.

A rule builds row expressions, a source also sets of ids, from the columns handed in, with
the comparison operators and the functions re-exported here; it names no table and runs no
query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    and_,
    case,
    collate,
    distinct,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    union_all,
)

from envoi.types import Catalogue, NeedRequest

SqlCondition = ColumnElement[Any]
"""A row expression: a boolean for `blocked`, a moment for `deferred_until`."""

CustomerIds = Select[int]
"""A statement that returns internal customer ids of one tenant; the core returns each once,
a segment source may repeat them."""


@dataclass(frozen=True, kw_only=True)
class MessageCount:
    """What a customer got in a window: how many, and when the oldest of them was due."""

    count: ColumnElement[int]
    oldest_at: ColumnElement[datetime | None]


@dataclass(frozen=True, kw_only=True)
class CustomerColumns:
    """A customer's attributes as columns."""

    id: ColumnElement[int]
    gender: ColumnElement[int]
    birth_date: ColumnElement[date | None]
    registered_on: ColumnElement[date | None]
    city: ColumnElement[str]


@dataclass(frozen=True, kw_only=True)
class RuleColumns:
    """What the core hands to a rule: only what its needs declare is filled in.

    `counts` and `last_contact` are keyed by the very request that the rule kind's `needs`
    returned. `local_minute` is the minute of the customer's own day (0-1439) and
    `local_midnight` the moment at which that day began.
    """

    now: ColumnElement[datetime]
    customer: CustomerColumns | None = None
    counts: Mapping[NeedRequest, MessageCount] = field(default_factory=dict)
    last_contact: Mapping[NeedRequest, ColumnElement[datetime | None]] = field(default_factory=dict)
    local_minute: ColumnElement[int] | None = None
    local_midnight: ColumnElement[datetime] | None = None


class Messages(Protocol):
    """Gives the messages that customers got, read only as far back as a source needs."""

    def __call__(
        self,
        *,
        mailing: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Subquery:
        """Return messages with `customer_id`, `channel`, `at`, `opened_at` and `clicked_at`.

        They have left, did not bounce and are no tests; opens and clicks are people's.

        Args:
            mailing: The number of the mailing whose messages are meant; None means any.
            since: The moment from which on messages have left.
            until: The moment before which they have left; none has left after `now`.
        """


@dataclass(frozen=True, kw_only=True)
class SourceColumns:
    """What the core hands to a segment source: the tenant's own rows, ready to select from.

    `customers`, `receipts` (not cancelled ones), `receipt_lines`, `products` and `values` (of
    custom attributes) carry their columns in `.c`; `zones` are the known time zones. The core
    has narrowed them to the tenant, for an estimate also to a sample. `today` is the
    company's day, `midnight` says when one of its days begins, and `day` on which of them a
    moment falls; money is in minor units, `minor_units` to the major one.

    `segment` gives the customers of another segment, `audience` those of a target audience,
    `opted_out` those who get nothing of a channel, or of one category of it.
    """

    tenant_id: int
    now: datetime
    today: date
    midnight: Callable[[date], datetime]
    day: Callable[[ColumnElement[datetime]], ColumnElement[date]]
    minor_units: int
    catalogue: Catalogue
    customers: FromClause
    receipts: FromClause
    receipt_lines: FromClause
    products: Subquery
    values: Subquery
    zones: Subquery
    messages: Messages
    segment: Callable[[int], CustomerIds]
    audience: Callable[[int], CustomerIds]
    opted_out: Callable[[str, int | None], CustomerIds]


@dataclass(frozen=True)
class Outside:
    """Everybody who is not among these ids: no such record exists."""

    ids: CustomerIds


Membership = CustomerIds | Outside | SqlCondition
"""What a segment source answers: ids, everybody but these ids, or, where a customer's own
columns decide, a condition over `SourceColumns.customers`, the cheapest of the three."""


__all__ = [
    "CustomerColumns",
    "CustomerIds",
    "Membership",
    "MessageCount",
    "Messages",
    "Outside",
    "RuleColumns",
    "SourceColumns",
    "SqlCondition",
    "and_",
    "case",
    "collate",
    "distinct",
    "exists",
    "false",
    "func",
    "literal",
    "not_",
    "null",
    "or_",
    "select",
    "true",
    "union_all",
]
