"""Whose phone is whose: customers of the demo by the addresses that messages arrive at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer, CustomerDevice, Quality
from envoi.db import table
from envoi.errors import NotFoundError


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A customer, and everything that messages to their phone are addressed to."""

    customer_id: int
    name: str
    phone: str
    email: str
    tokens: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """What simulated providers know the phone by."""
        return tuple(filter(None, (self.phone, *self.tokens)))


def owners_of(session: Session, tenant_id: int, addresses: Collection[str]) -> list[Owner]:
    """Return the customers that messages to some addresses are for."""
    c, device = table(Customer).c, table(CustomerDevice).c
    theirs = select(device.customer_id).where(
        device.tenant_id == tenant_id, device.token.in_(addresses)
    )
    return _owners(session, tenant_id, or_(c.phone.in_(addresses), c.id.in_(theirs)))


def owner_of(session: Session, tenant_id: int, customer_id: int) -> Owner:
    """Return one customer; raise `NotFoundError` where there is none of this number."""
    found = _owners(session, tenant_id, table(Customer).c.id == customer_id)
    if not found:
        raise NotFoundError(f"There is no customer number {customer_id}.")
    return found[0]


def some_owners(session: Session, tenant_id: int, limit: int) -> list[Owner]:
    """Return some customers with a mobile phone and an email, always the same ones."""
    c = table(Customer).c
    is_fit = and_(c.phone.is_not(None), c.phone_quality == Quality.GOOD, c.email.is_not(None))
    return _owners(session, tenant_id, is_fit, limit)


def _owners(
    session: Session, tenant_id: int, which: ColumnElement[bool], limit: int = 100
) -> list[Owner]:
    c, device = table(Customer).c, table(CustomerDevice).c
    theirs = (device.tenant_id == tenant_id, device.customer_id == c.id, device.gone_at.is_(None))
    tokens = select(func.array_agg(device.token)).where(*theirs).scalar_subquery()
    columns = (c.id, c.first_name, c.last_name, c.phone, c.email, tokens.label("tokens"))
    query = select(*columns).where(c.tenant_id == tenant_id, which)
    return [
        Owner(
            customer_id=row.id,
            name=" ".join(filter(None, (row.first_name, row.last_name))),
            phone=row.phone or "",
            email=row.email or "",
            tokens=tuple(row.tokens or ()),
        )
        for row in session.execute(query.order_by(c.bucket, c.id).limit(limit))
    ]
