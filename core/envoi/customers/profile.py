"""Everything a profile shows of one customer, each part asked for by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from envoi.customers.fields import Field, Value, fields_of
from envoi.customers.models import Customer
from envoi.customers.queries import Purchases, purchases_of, values_of
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.delivery.steps import channel_at
from envoi.errors import EnvoiError, NotFoundError
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.segments.compile import customer_ids
from envoi.segments.models import Segment
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.tenants.models import TimeZone

MOST_SEGMENTS = 200
"""How many segments a profile asks for a customer."""
_MESSAGE_DAYS = 400
"""Messages of older partitions are not looked at."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A customer with what stands beside it in other tables."""

    customer: Customer
    time_zone: str
    fields: list[tuple[Field, Value | None]]
    purchases: Purchases


@dataclass(frozen=True, kw_only=True)
class ReceiptItem:
    """A line of a receipt."""

    product: str
    category: str
    quantity: float
    amount: int


@dataclass(frozen=True, kw_only=True)
class ProfileReceipt:
    """A purchase with its lines."""

    id: int
    external_id: str
    at: datetime
    amount: int
    items: float
    cancelled: bool
    lines: tuple[ReceiptItem, ...]


@dataclass(frozen=True, kw_only=True)
class ProfileMessage:
    """A message to a customer, or why there was none."""

    run_id: int
    mailing_id: int | None
    mailing: str
    channel: str
    launched_on: date
    state: MessageState
    step: int
    stage: int | None
    detail: str
    accepted_at: datetime | None
    delivered_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    unsubscribed_at: datetime | None


@dataclass(frozen=True)
class Membership:
    """A segment, and whether the customer is in it; None where that cannot be said."""

    id: int
    name: str
    member: bool | None


def get_customer(session: Session, tenant_id: int, customer_id: int) -> Customer:
    """Return a customer; `NotFoundError` where the tenant has none of this number."""
    c = table(Customer).c
    mine = (c.tenant_id == tenant_id, c.id == customer_id)
    customer = session.scalar(select(Customer).where(*mine))
    if customer is None:
        raise NotFoundError("There is no such customer.")
    return customer


def customer_profile(session: Session, tenant_id: int, customer_id: int) -> Profile:
    """Return a customer with custom fields, also the empty ones, and sums of purchases."""
    customer = get_customer(session, tenant_id, customer_id)
    zone = table(TimeZone).c
    values = values_of(session, tenant_id, [customer_id])[customer_id]
    bought = purchases_of(session, tenant_id, [customer_id])
    return Profile(
        customer=customer,
        time_zone=session.scalar(select(zone.name).where(zone.id == customer.zone_id)) or "",
        fields=[(field, values.get(field.id)) for field in fields_of(session, tenant_id)],
        purchases=bought.get(customer_id, Purchases()),
    )


def count_receipts(session: Session, tenant_id: int, customer_id: int) -> int:
    """Count a customer's receipts, cancelled ones too."""
    c = table(Receipt).c
    mine = (c.tenant_id == tenant_id, c.customer_id == customer_id)
    return session.scalar(select(func.count()).select_from(table(Receipt)).where(*mine)) or 0


def receipts_of(
    session: Session,
    tenant_id: int,
    customer_id: int,
    *,
    limit: int,
    offset: int = 0,
    until: datetime | None = None,
) -> list[ProfileReceipt]:
    """List a customer's receipts with their lines, newest first; `until` is not included."""
    c = table(Receipt).c
    columns = (c.id, c.external_id, c.at, c.amount, c["items"], c.cancelled)
    query = select(*columns).where(c.tenant_id == tenant_id, c.customer_id == customer_id)
    if until is not None:
        query = query.where(c.at < until)
    newest = query.order_by(c.at.desc(), c.id.desc()).limit(limit).offset(offset)
    rows = session.execute(newest).all()
    lines = _lines(session, tenant_id, [row.id for row in rows])
    return [ProfileReceipt(**row._mapping, lines=tuple(lines[row.id])) for row in rows]


def count_messages(session: Session, tenant_id: int, customer_id: int) -> int:
    """Count the messages of the last months that `messages_of` lists."""
    mine = _messages([table(Message).c.seq], tenant_id, customer_id)
    return session.scalar(select(func.count()).select_from(mine.subquery())) or 0


def messages_of(
    session: Session,
    tenant_id: int,
    customer_id: int,
    *,
    limit: int,
    offset: int = 0,
    until: date | None = None,
) -> list[ProfileMessage]:
    """List the messages of the last months, newest first, tests left out."""
    m, run, mailing = table(Message).c, table(Run).c, table(Mailing).c
    plain = ("run_id", "launched_on", "state", "step", "stage")
    times = (name for name in ProfileMessage.__dataclass_fields__ if name.endswith("_at"))
    columns = [
        *(m[name] for name in (*plain, *times)),
        run.mailing_id,
        channel_at(m.step).label("channel"),
        func.coalesce(mailing.name, "").label("mailing"),
        func.coalesce(m.detail, "").label("detail"),
    ]
    query = _messages(columns, tenant_id, customer_id)
    if until is not None:
        query = query.where(m.launched_on <= until)
    newest = query.order_by(m.launched_on.desc(), m.seq.desc()).limit(limit).offset(offset)
    return [
        ProfileMessage(**{**row._mapping, "state": MessageState(row.state)})
        for row in session.execute(newest)
    ]


def audiences_of(session: Session, tenant_id: int, customer_id: int) -> list[Membership]:
    """List the target audiences that a customer is in."""
    member, audience = table(AudienceMember).c, table(TargetAudience).c
    query = (
        select(audience.id, audience.name)
        .where(
            audience.tenant_id == tenant_id,
            member.tenant_id == tenant_id,
            member.audience_id == audience.id,
            member.customer_id == customer_id,
        )
        .order_by(audience.name)
    )
    return [Membership(row.id, row.name, True) for row in session.execute(query)]


def segments_of(
    session: Session, tenant_id: int, customer: Customer, *, now: datetime, plugins: Plugins
) -> list[Membership]:
    """Tell for each segment of the tenant whether a customer is in it.

    Only the customer's own bucket, a ten-thousandth of the base, is looked at.
    """
    c = table(Segment).c
    query = select(c.id, c.name, c.tree).where(c.tenant_id == tenant_id)
    rows = session.execute(query.order_by(c.name, c.id).limit(MOST_SEGMENTS)).all()
    bucket = (customer.bucket, customer.bucket + 1)
    found = []
    for row in rows:
        try:
            ids = customer_ids(
                session, tenant_id, row.tree, now=now, plugins=plugins, buckets=bucket
            ).subquery()
            with session.begin_nested():
                inside = session.scalar(select(func.count()).where(ids.c.id == customer.id)) == 1
        except EnvoiError:
            found.append(Membership(row.id, row.name, None))
        else:
            found.append(Membership(row.id, row.name, inside))
    return found


def _lines(
    session: Session, tenant_id: int, receipts: Sequence[int]
) -> dict[int, list[ReceiptItem]]:
    line, product = table(ReceiptLine).c, table(Product).c
    name = func.coalesce(func.nullif(product.name, ""), product.external_id).label("product")
    query = (
        select(line.receipt_id, name, product.category, line.quantity, line.amount)
        .where(
            line.tenant_id == tenant_id,
            line.receipt_id.in_(receipts),
            product.tenant_id == tenant_id,
            product.id == line.product_id,
        )
        .order_by(line.receipt_id, line.number)
    )
    found: dict[int, list[ReceiptItem]] = defaultdict(list)
    for row in session.execute(query):
        found[row.receipt_id].append(
            ReceiptItem(
                product=row.product,
                category=row.category,
                quantity=row.quantity,
                amount=row.amount,
            )
        )
    return found


def _messages(columns: Sequence[Any], tenant_id: int, customer_id: int) -> Select[Any]:
    m, run, mailing = table(Message).c, table(Run).c, table(Mailing).c
    since = date.today() - timedelta(days=_MESSAGE_DAYS)
    return (
        select(*columns)
        .join_from(table(Message), table(Run), and_(run.tenant_id == tenant_id, run.id == m.run_id))
        .outerjoin(
            table(Mailing), and_(mailing.tenant_id == tenant_id, mailing.id == run.mailing_id)
        )
        .where(
            m.tenant_id == tenant_id,
            m.customer_id == customer_id,
            m.launched_on >= since,
            run.kind != int(RunKind.TEST),
        )
    )
