"""Reading segments: the list, who uses one, customers of a tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer, Quality
from envoi.db import table
from envoi.errors import ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.receipts.models import Receipt
from envoi.segments.models import Segment
from envoi.segments.tree import conditions, parse

SAMPLE_SIZE = 10


@dataclass(frozen=True)
class SegmentUse:
    """What uses a segment: a mailing or another segment, by its name."""

    kind: str
    name: str
    id: int

    def __str__(self) -> str:
        return f"the {self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class SegmentRow:
    """A line of the list of segments."""

    id: int
    name: str
    version: int
    customers: int | None
    counted_at: datetime | None
    updated_at: datetime
    figures: Mapping[str, Any]
    used_by: tuple[SegmentUse, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class SampledCustomer:
    """One of the ten customers that a builder shows; money in minor units."""

    id: int
    name: str
    external_id: str
    city: str
    last_receipt: datetime | None
    receipts: int
    total: int
    email: bool
    phone: bool


def list_segments(session: Session, tenant_id: int) -> list[SegmentRow]:
    """List the tenant's segments by name, each with what uses it."""
    segment = table(Segment).c
    rows = session.execute(
        select(
            segment.id,
            segment.name,
            segment.version,
            segment.last_count,
            segment.last_counted_at,
            segment.updated_at,
            segment.figures,
        )
        .where(segment.tenant_id == tenant_id)
        .order_by(segment.name, segment.id)
    ).all()
    users = _users(session, tenant_id)
    return [
        SegmentRow(
            id=row.id,
            name=row.name,
            version=row.version,
            customers=row.last_count,
            counted_at=row.last_counted_at,
            updated_at=row.updated_at,
            figures=row.figures,
            used_by=tuple(users[row.id]),
        )
        for row in rows
    ]


def users_of(session: Session, tenant_id: int, segment_id: int) -> list[SegmentUse]:
    """Name the mailings and segments that use a segment."""
    return _users(session, tenant_id)[segment_id]


def _users(session: Session, tenant_id: int) -> dict[int, list[SegmentUse]]:
    users: dict[int, list[SegmentUse]] = defaultdict(list)
    mailing, segment = table(Mailing).c, table(Segment).c
    for row in session.execute(
        select(mailing.id, mailing.name, mailing.segment_id)
        .where(mailing.tenant_id == tenant_id, mailing.segment_id.is_not(None))
        .order_by(mailing.id)
    ):
        users[row.segment_id].append(SegmentUse("mailing", row.name, row.id))
    for row in session.execute(
        select(segment.id, segment.name, segment.tree)
        .where(segment.tenant_id == tenant_id)
        .order_by(segment.name)
    ):
        for used in references(row.tree, "segment"):
            users[used].append(SegmentUse("segment", row.name, row.id))
    return users


def references(tree: object, setting: str) -> set[int]:
    """The numbers that a stored tree's conditions name by a setting: `segment`, `audience`.

    Several are named by the plural: `audiences`.
    """
    try:
        found = conditions(parse(tree))
    except ValidationFailedError:
        return set()
    named = [condition.settings for _, condition in found]
    numbers = [settings.get(setting, "") for settings in named]
    numbers += [number for settings in named for number in settings.get(f"{setting}s", ())]
    return {int(number) for number in map(str, numbers) if number.isdecimal()}


def sampled_customers(
    session: Session, tenant_id: int, ids: Sequence[int]
) -> list[SampledCustomer]:
    """Load what the builder shows of these customers."""
    customer, receipt = table(Customer).c, table(Receipt).c
    bought = (
        select(
            receipt.customer_id,
            func.max(receipt.at).label("last"),
            func.count().label("receipts"),
            func.sum(receipt.amount).label("total"),
        )
        .where(receipt.tenant_id == tenant_id, receipt.customer_id.in_(ids), ~receipt.cancelled)
        .group_by(receipt.customer_id)
        .subquery()
    )
    rows = session.execute(
        select(*customer, bought.c.last, bought.c.receipts, bought.c.total)
        .outerjoin(bought, bought.c.customer_id == customer.id)
        .where(customer.tenant_id == tenant_id, customer.id.in_(ids))
        .order_by(customer.bucket, customer.id)
    )
    return [
        SampledCustomer(
            id=row.id,
            name=f"{row.first_name} {row.last_name}".strip() or row.external_id,
            external_id=row.external_id,
            city=row.city,
            last_receipt=row.last,
            receipts=row.receipts or 0,
            total=int(row.total or 0),
            email=row.email_quality < Quality.NO_ADDRESS,
            phone=row.phone_quality < Quality.NO_ADDRESS,
        )
        for row in rows
    ]
