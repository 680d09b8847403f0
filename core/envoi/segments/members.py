"""The customers of a segment or of a target audience, page by page."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.customers.queries import CustomerPage, ListedCustomer, Total, count_customers
from envoi.customers.search import CustomerFilter, matching
from envoi.db import table
from envoi.sql import CustomerIds


def count_among(session: Session, tenant_id: int, ids: CustomerIds, *, search: str = "") -> Total:
    """Count those of a set of customers that a search finds; many are counted by a sample."""
    return count_customers(session, tenant_id, CustomerFilter(text=search), among=ids)


def customers_among(
    session: Session,
    tenant_id: int,
    ids: CustomerIds,
    *,
    search: str = "",
    after: int | None = None,
    before: int | None = None,
    size: int = 25,
) -> CustomerPage:
    """List those of a set of customers that a search finds, by number; pages by key."""
    c = table(Customer).c
    query = select(*(c[name] for name in ListedCustomer.__dataclass_fields__))
    query = query.where(*matching(session, tenant_id, CustomerFilter(text=search)), c.id.in_(ids))
    if before is not None:
        query = query.where(c.id < before).order_by(c.id.desc())
    else:
        query = query.where(c.id > (after or 0)).order_by(c.id)
    found = [ListedCustomer(**row._mapping) for row in session.execute(query.limit(size + 1))]
    more, shown = len(found) > size, found[:size]
    shown = shown[::-1] if before is not None else shown
    earlier = more if before is not None else bool(after)
    later = before is not None or more
    return CustomerPage(
        customers=shown,
        before=shown[0].id if shown and earlier else None,
        after=shown[-1].id if shown and later else None,
    )
