"""Typed columns for rule kinds and segment sources: the only SQL a plugin writes.

A rule or source builds row expressions from the columns handed in, with the comparison
operators and the functions re-exported here; it names no table and opens no query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    true,
)

from envoi.types import NeedRequest

SqlCondition = ColumnElement[Any]
"""A row expression: a boolean for `blocked`, a moment for `deferred_until`."""

CustomerIds = Select[tuple[int]]
"""A statement that returns internal customer ids of one tenant, each at most once."""


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


@dataclass(frozen=True, kw_only=True)
class SourceColumns:
    """What the core hands to a segment source: ready statements over the tenant's own rows.

    Each is a selectable whose columns a source may compare; the core adds the tenant.
    """

    tenant_id: int
    now: datetime
    customers: Any
    receipts: Any
    receipt_lines: Any
    products: Any
    values: Any


__all__ = [
    "CustomerColumns",
    "CustomerIds",
    "MessageCount",
    "RuleColumns",
    "SourceColumns",
    "SqlCondition",
    "and_",
    "case",
    "false",
    "func",
    "literal",
    "not_",
    "null",
    "or_",
    "true",
]
