"""What pages ask about customers: a list with search, and everything about one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from phonenumbers import PhoneMetadata
from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select, text
from sqlalchemy.orm import Session

from envoi.customers.fields import fields_of
from envoi.customers.models import Customer, CustomerToken, CustomerValue
from envoi.customers.tokens import LONGEST_TOKEN, fold
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.errors import NotFoundError
from envoi.mailings.models import Mailing
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.subscriptions.models import WHOLE_CHANNEL, OptOut
from envoi.tenants.models import TenantSettings, TimeZone

COUNTED_UP_TO = 10_000
"""Totals are counted exactly up to here; above they are estimated or given as "more than"."""

_MOST_TERMS = 5
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()\-.]{2,}\Z")
_NO_DIGIT = re.compile(r"\D")
_HIGHEST = "\U0010ffff"
_LATEST = 50
_MESSAGE_DAYS = 400


@dataclass(frozen=True, kw_only=True)
class ListedCustomer:
    """A customer in a list."""

    id: int
    external_id: str
    first_name: str
    middle_name: str
    last_name: str
    city: str
    email: str | None
    email_quality: int
    phone: str | None
    phone_quality: int
    registered_on: date | None


@dataclass(frozen=True, kw_only=True)
class CustomerPage:
    """A page of the list; `before` and `after` lead on, None where there is nothing more."""

    customers: list[ListedCustomer]
    before: int | None
    after: int | None


@dataclass(frozen=True, kw_only=True)
class Total:
    """How many there are; `exact` is false for an estimate, `more_than` for a lower bound."""

    count: int
    exact: bool = True
    more_than: bool = False


def list_customers(
    session: Session,
    tenant_id: int,
    *,
    search: str = "",
    after: int | None = None,
    before: int | None = None,
    size: int = 25,
) -> CustomerPage:
    """List customers by number, those that match every word of `search`; pages by key."""
    c = table(Customer).c
    query = _matching(session, tenant_id, search, _columns())
    if before is not None:
        query = query.where(c.id < before).order_by(c.id.desc())
    else:
        query = query.where(c.id > (after or 0)).order_by(c.id)
    rows = session.execute(query.limit(size + 1)).all()
    more, rows = len(rows) > size, rows[:size]
    if before is not None:
        rows = rows[::-1]
    shown = [ListedCustomer(**row._mapping) for row in rows]
    if not shown:
        return CustomerPage(customers=[], before=None, after=None)
    earlier = more if before is not None else bool(after)
    later = True if before is not None else more
    return CustomerPage(
        customers=shown,
        before=shown[0].id if earlier else None,
        after=shown[-1].id if later else None,
    )


def count_customers(session: Session, tenant_id: int, search: str = "") -> Total:
    """Count who matches, exactly while that is quick; of all customers the planner's estimate."""
    bounded = _matching(session, tenant_id, search, [table(Customer).c.id]).limit(COUNTED_UP_TO + 1)
    count = session.scalar(select(func.count()).select_from(bounded.subquery())) or 0
    if count <= COUNTED_UP_TO:
        return Total(count=count)
    if search.strip():
        return Total(count=COUNTED_UP_TO, exact=False, more_than=True)
    explained = session.scalar(
        text("EXPLAIN (FORMAT JSON) SELECT 1 FROM customer WHERE tenant_id = :tenant"),
        {"tenant": tenant_id},
    )
    estimate = int(explained[0]["Plan"]["Plan Rows"]) if explained else 0
    return Total(count=max(estimate, count), exact=False)


def _columns() -> list[ColumnElement[Any]]:
    c = table(Customer).c
    return [c[name] for name in ListedCustomer.__dataclass_fields__]


def _matching(session: Session, tenant_id: int, search: str, columns: list[Any]) -> Select[Any]:
    c = table(Customer).c
    query = select(*columns).where(c.tenant_id == tenant_id)
    for prefixes in _terms(session, tenant_id, search):
        query = query.where(_has_token(tenant_id, prefixes))
    return query


def _terms(session: Session, tenant_id: int, search: str) -> list[list[str]]:
    """Take a search apart: of each term one of the prefixes must be found."""
    wanted = search.replace("\0", "").strip()
    if _PHONE.match(wanted):
        return [[fold(wanted), *_phone_prefixes(session, tenant_id, wanted)]]
    return [[fold(word)] for word in wanted.split()[:_MOST_TERMS]]


def _phone_prefixes(session: Session, tenant_id: int, wanted: str) -> list[str]:
    """The digits as they stand, and as if they were dialled inside the company's country."""
    digits = _NO_DIGIT.sub("", wanted)[:LONGEST_TOKEN]
    c = table(TenantSettings).c
    country = session.scalar(select(c.default_country).where(c.tenant_id == tenant_id))
    metadata = PhoneMetadata.metadata_for_region(country or "ZZ", None)
    if metadata is None or wanted.startswith("+"):
        return [digits]
    national = digits.removeprefix(metadata.national_prefix or "")
    return [digits, f"{metadata.country_code}{national}"]


def _has_token(tenant_id: int, prefixes: list[str]) -> ColumnElement[bool]:
    token, c = table(CustomerToken).c, table(Customer).c
    ranges = [and_(token.token >= prefix, token.token < prefix + _HIGHEST) for prefix in prefixes]
    return exists().where(token.tenant_id == tenant_id, token.customer_id == c.id, or_(*ranges))


@dataclass(frozen=True, kw_only=True)
class ProfileReceipt:
    """A purchase with the products of its lines."""

    external_id: str
    at: datetime
    amount: int
    items: float
    cancelled: bool
    products: list[str]


@dataclass(frozen=True, kw_only=True)
class ProfileMessage:
    """A message to a customer, or why there was none."""

    run_id: int
    mailing_id: int | None
    mailing: str
    channel: str
    launched_on: date
    state: MessageState
    stage: int | None
    detail: str
    accepted_at: datetime | None
    delivered_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    unsubscribed_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything a profile shows of one customer."""

    customer: Customer
    time_zone: str
    fields: list[tuple[str, str | float | date]]
    left_channels: dict[str, datetime]
    receipts: list[ProfileReceipt]
    receipt_count: int
    receipt_sum: int
    messages: list[ProfileMessage]


def customer_profile(session: Session, tenant_id: int, customer_id: int) -> Profile:
    """Return a customer's profile; `NotFoundError` where the tenant has none of this number."""
    c = table(Customer).c
    mine = (c.tenant_id == tenant_id, c.id == customer_id)
    customer = session.scalar(select(Customer).where(*mine))
    if customer is None:
        raise NotFoundError("There is no such customer.")
    zone = table(TimeZone).c
    count, amount = _receipt_totals(session, tenant_id, customer_id)
    return Profile(
        customer=customer,
        time_zone=session.scalar(select(zone.name).where(zone.id == customer.zone_id)) or "",
        fields=_field_values(session, tenant_id, customer_id),
        left_channels=_left_channels(session, tenant_id, customer_id),
        receipts=_receipts(session, tenant_id, customer_id),
        receipt_count=count,
        receipt_sum=amount,
        messages=_messages(session, tenant_id, customer_id),
    )


def _field_values(
    session: Session, tenant_id: int, customer_id: int
) -> list[tuple[str, str | float | date]]:
    c = table(CustomerValue).c
    rows = session.execute(
        select(c.field_id, c.text_value, c.number_value, c.date_value).where(
            c.tenant_id == tenant_id, c.customer_id == customer_id
        )
    )
    values = {row.field_id: row for row in rows}
    return [
        (field.label, getattr(values[field.id], field.value_column))
        for field in fields_of(session, tenant_id)
        if field.id in values
    ]


def _left_channels(session: Session, tenant_id: int, customer_id: int) -> dict[str, datetime]:
    c = table(OptOut).c
    rows = session.execute(
        select(c.channel, c.at).where(
            c.tenant_id == tenant_id,
            c.customer_id == customer_id,
            c.category_id == WHOLE_CHANNEL,
        )
    )
    return {row.channel: row.at for row in rows}


def _receipt_totals(session: Session, tenant_id: int, customer_id: int) -> tuple[int, int]:
    c = table(Receipt).c
    row = session.execute(
        select(func.count(), func.coalesce(func.sum(c.amount), 0)).where(
            c.tenant_id == tenant_id, c.customer_id == customer_id, ~c.cancelled
        )
    ).one()
    return row[0], int(row[1])


def _receipts(session: Session, tenant_id: int, customer_id: int) -> list[ProfileReceipt]:
    c, line, product = table(Receipt).c, table(ReceiptLine).c, table(Product).c
    names = (
        select(func.array_agg(func.coalesce(func.nullif(product.name, ""), product.external_id)))
        .where(
            line.tenant_id == tenant_id,
            line.receipt_id == c.id,
            product.tenant_id == tenant_id,
            product.id == line.product_id,
        )
        .scalar_subquery()
    )
    query = select(c.external_id, c.at, c.amount, c["items"], c.cancelled, names.label("products"))
    query = query.where(c.tenant_id == tenant_id, c.customer_id == customer_id)
    rows = session.execute(query.order_by(c.at.desc()).limit(_LATEST))
    return [ProfileReceipt(**{**row._mapping, "products": row.products or []}) for row in rows]


def _messages(session: Session, tenant_id: int, customer_id: int) -> list[ProfileMessage]:
    """The messages of the last months, tests left out; older partitions are not looked at."""
    m, run, mailing = table(Message).c, table(Run).c, table(Mailing).c
    since = date.today() - timedelta(days=_MESSAGE_DAYS)
    times = (m[name] for name in ProfileMessage.__dataclass_fields__ if name.endswith("_at"))
    query = (
        select(
            m.run_id,
            run.mailing_id,
            func.coalesce(mailing.name, "").label("mailing"),
            run.channel,
            m.launched_on,
            m.state,
            m.stage,
            func.coalesce(m.detail, "").label("detail"),
            *times,
        )
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
        .order_by(m.launched_on.desc(), m.seq.desc())
        .limit(_LATEST)
    )
    return [_message(row) for row in session.execute(query)]


def _message(row: Row[Any]) -> ProfileMessage:
    return ProfileMessage(**{**row._mapping, "state": MessageState(row.state)})
