"""Reading target audiences: the list, who uses one, and its members."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.mailings.models import Mailing
from envoi.segments.models import Segment
from envoi.segments.queries import SegmentUse, references
from envoi.sql import CustomerIds
from envoi.target_audiences.models import AudienceMember, TargetAudience


@dataclass(frozen=True, kw_only=True)
class AudienceRow:
    """A line of the list of target audiences; `set_at` is when its members last changed."""

    id: int
    name: str
    customers: int
    set_at: datetime
    used_by: tuple[SegmentUse, ...] = ()


def list_audiences(session: Session, tenant_id: int) -> list[AudienceRow]:
    """List the tenant's target audiences by name, each with what uses it."""
    audience = table(TargetAudience).c
    rows = session.execute(
        select(audience.id, audience.name, audience.size, audience.updated_at)
        .where(audience.tenant_id == tenant_id)
        .order_by(audience.name, audience.id)
    )
    users = _users(session, tenant_id)
    return [
        AudienceRow(
            id=row.id,
            name=row.name,
            customers=row.size,
            set_at=row.updated_at,
            used_by=tuple(users[row.id]),
        )
        for row in rows
    ]


def users_of(session: Session, tenant_id: int, audience_id: int) -> list[SegmentUse]:
    """Name the mailings and segments that use a target audience."""
    return _users(session, tenant_id)[audience_id]


def _users(session: Session, tenant_id: int) -> dict[int, list[SegmentUse]]:
    users: dict[int, list[SegmentUse]] = defaultdict(list)
    mailing, segment = table(Mailing).c, table(Segment).c
    used = or_(mailing.audience_id.is_not(None), mailing.control_audience_id.is_not(None))
    for row in session.execute(
        select(mailing.id, mailing.name, mailing.audience_id, mailing.control_audience_id)
        .where(mailing.tenant_id == tenant_id, used)
        .order_by(mailing.id)
    ):
        for audience_id in {row.audience_id, row.control_audience_id} - {None}:
            users[audience_id].append(SegmentUse("mailing", row.name, row.id))
    trees = select(segment.id, segment.name, segment.tree).where(segment.tenant_id == tenant_id)
    for segment_id, name, tree in session.execute(trees.order_by(segment.name)):
        for audience_id in references(tree, "audience"):
            users[audience_id].append(SegmentUse("segment", name, segment_id))
    return users


def members_of(tenant_id: int, audience_id: int) -> CustomerIds:
    """Select the numbers of an audience's customers."""
    member = table(AudienceMember).c
    mine = (member.tenant_id == tenant_id, member.audience_id == audience_id)
    ids: CustomerIds = select(member.customer_id).where(*mine)
    return ids
