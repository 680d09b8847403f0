"""The list of customers: pages by key, totals as exact as is quick, and what its columns show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, select, text, true, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.customers.fields import Value, fields_of
from envoi.customers.models import Customer, CustomerValue
from envoi.customers.search import NO_FILTER, CustomerFilter, matching
from envoi.db import table
from envoi.receipts.models import Receipt
from envoi.sql import CustomerIds

COUNTED_UP_TO = 10_000
"""Totals are counted exactly up to here; above they are about."""
SORTS = ("id", "external_id", "registered_on", "updated_at")
"""What a list can be sorted by, each through an index; `-` before it turns the order round."""

_PATIENCE = "60ms"
"""How long an exact total may take before a sample is counted instead."""
_QUICK = "200ms"
"""How long a page of the list may take before somebody is told that it takes longer."""
_LONGEST = "5s"
"""After this a page of the list is given up."""
_SAMPLE = 2_500
"""About how many customers a sample has."""
_BUCKETS = 10_000
_CANCELLED = "57014"
_LIMIT = text("SELECT set_config('statement_timeout', :limit, true)")

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class ListedCustomer:
    """A customer in a list."""

    id: int
    external_id: str
    first_name: str
    middle_name: str
    last_name: str
    gender: int
    birth_date: date | None
    city: str
    email: str | None
    email_quality: int
    phone: str | None
    phone_quality: int
    registered_on: date | None
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class CustomerPage:
    """A page of the list; `before` and `after` lead on, None where there is nothing more.

    `too_slow` says that the search was given up: it must be narrowed, or given more time.
    """

    customers: list[ListedCustomer]
    before: int | None = None
    after: int | None = None
    too_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Total:
    """How many there are; `exact` is false for an estimate."""

    count: int
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class Purchases:
    """What a customer has bought to date; money in minor units."""

    receipts: int = 0
    amount: int = 0
    last: datetime | None = None


def list_customers(
    session: Session,
    tenant_id: int,
    wanted: CustomerFilter = NO_FILTER,
    *,
    sort: str = "id",
    after: int | None = None,
    before: int | None = None,
    size: int = 25,
    patient: bool = True,
) -> CustomerPage:
    """List customers that a filter lets through; pages go on by the key of a customer.

    Args:
        session: An open session of the tenant.
        tenant_id: The tenant.
        wanted: The filter.
        sort: One of `SORTS`, with `-` for the opposite order.
        after: The last customer of the page before.
        before: The first customer of the page after.
        size: Rows of a page.
        patient: Whether somebody is ready to wait for it.
    """
    c = table(Customer).c
    start = before if before is not None else after
    backwards = before is not None
    query = select(*(c[name] for name in ListedCustomer.__dataclass_fields__))
    query = query.where(*matching(session, tenant_id, wanted))
    if start is not None:
        query = query.where(_beyond(session, tenant_id, sort, start, backwards))
    ordered = query.order_by(*_order(sort, backwards)).limit(size + 1)
    patience = _LONGEST if patient else _QUICK
    found = _patiently(session, patience, lambda: session.execute(ordered).all())
    if found is None:
        return CustomerPage(customers=[], too_slow=True)
    rows = [ListedCustomer(**row._mapping) for row in found]
    return _page(rows, size, start, backwards)


def count_customers(
    session: Session,
    tenant_id: int,
    wanted: CustomerFilter = NO_FILTER,
    *,
    among: CustomerIds | None = None,
) -> Total:
    """Count who matches: exactly while that is quick, else by a sample or the planner's word."""
    ids = select(table(Customer).c.id).where(*matching(session, tenant_id, wanted))
    if among is not None:
        ids = ids.where(table(Customer).c.id.in_(among))
    first = ids.limit(COUNTED_UP_TO + 1).subquery()
    counting = select(func.count()).select_from(first)
    count = _patiently(session, _PATIENCE, lambda: session.scalar(counting))
    if count is not None and count <= COUNTED_UP_TO:
        return Total(count=count)
    base = _estimate(session, tenant_id)
    if wanted == NO_FILTER and among is None:
        return Total(count=max(count or 0, base), exact=False)
    buckets = min(_BUCKETS, max(1, round(_BUCKETS * _SAMPLE / max(base, 1))))
    sampled = ids.where(table(Customer).c.bucket < buckets).subquery()
    found = session.scalar(select(func.count()).select_from(sampled)) or 0
    about = max(count or 0, round(found * _BUCKETS / buckets))
    return Total(count=about, exact=buckets == _BUCKETS)


def purchases_of(session: Session, tenant_id: int, ids: Sequence[int]) -> dict[int, Purchases]:
    """Add up the receipts of these customers, cancelled ones left out."""
    c = table(Receipt).c
    query = (
        select(c.customer_id, func.count(), func.sum(c.amount), func.max(c.at))
        .where(c.tenant_id == tenant_id, c.customer_id.in_(ids), ~c.cancelled)
        .group_by(c.customer_id)
    )
    return {
        row[0]: Purchases(receipts=row[1], amount=int(row[2]), last=row[3])
        for row in session.execute(query)
    }


def values_of(session: Session, tenant_id: int, ids: Sequence[int]) -> dict[int, dict[int, Value]]:
    """Return the custom fields of these customers: by customer, then by field."""
    fields = {field.id: field for field in fields_of(session, tenant_id)}
    found: dict[int, dict[int, Value]] = {number: {} for number in ids}
    c = table(CustomerValue).c
    columns = (c.customer_id, c.field_id, c.text_value, c.number_value, c.date_value)
    query = select(*columns).where(c.tenant_id == tenant_id, c.customer_id.in_(ids))
    for row in session.execute(query):
        value = getattr(row, fields[row.field_id].value_column)
        if value is not None:
            found[row.customer_id][row.field_id] = value
    return found


def _page(
    rows: list[ListedCustomer], size: int, start: int | None, backwards: bool
) -> CustomerPage:
    more, shown = len(rows) > size, rows[:size]
    if backwards:
        shown = shown[::-1]
    if not shown:
        return CustomerPage(customers=[])
    earlier = more if backwards else start is not None
    later = True if backwards else more
    return CustomerPage(
        customers=shown,
        before=shown[0].id if earlier else None,
        after=shown[-1].id if later else None,
    )


def _keys(sort: str) -> list[ColumnElement[Any]]:
    c, name = table(Customer).c, sort.removeprefix("-")
    column = c.registered_sort if name == "registered_on" else c[name]
    return [column] if column is c.id else [column, c.id]


def _order(sort: str, backwards: bool) -> list[ColumnElement[Any]]:
    down = sort.startswith("-") is not backwards
    return [key.desc() if down else key for key in _keys(sort)]


def _beyond(
    session: Session, tenant_id: int, sort: str, start: int, backwards: bool
) -> ColumnElement[bool]:
    """Whoever comes after a customer in the order; the customer's own place is looked up."""
    c, keys = table(Customer).c, _keys(sort)
    place = session.execute(select(*keys).where(c.tenant_id == tenant_id, c.id == start)).first()
    if place is None:
        return true()
    here, there = tuple_(*keys), tuple_(*place)
    return here < there if sort.startswith("-") is not backwards else here > there


def _patiently(session: Session, patience: str, ask: Callable[[], Answer]) -> Answer | None:
    """Ask within a time; None where the database did not get done."""
    try:
        with session.begin_nested():
            session.execute(_LIMIT, {"limit": patience})
            answer = ask()
            session.execute(_LIMIT, {"limit": "0"})
            return answer
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", "") != _CANCELLED:
            raise
        return None


def _estimate(session: Session, tenant_id: int) -> int:
    """How many customers the planner takes the tenant to have."""
    explained = session.scalar(
        text("EXPLAIN (FORMAT JSON) SELECT 1 FROM customer WHERE tenant_id = :tenant"),
        {"tenant": tenant_id},
    )
    return int(explained[0]["Plan"]["Plan Rows"]) if explained else 0
