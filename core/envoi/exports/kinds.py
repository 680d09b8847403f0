"""What can be exported: each kind is a header and one select, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.numbers import get_currency_precision
from sqlalchemy import Numeric, Select, cast, func, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.mailings.outcomes import outcome_rows
from envoi.mailings.service import get_mailing
from envoi.plugins import Plugins
from envoi.receipts.models import Receipt
from envoi.segments.compile import customer_ids
from envoi.segments.service import get_segment
from envoi.sql import CustomerIds
from envoi.target_audiences.queries import members_of
from envoi.target_audiences.service import get_audience
from envoi.tenants.service import tenant_settings

SEGMENT_CUSTOMERS = "segment_customers"
AUDIENCE_CUSTOMERS = "audience_customers"
MAILING_CUSTOMERS = "mailing_customers"

CONTACTS = ("email", "phone")
"""Columns that are masked for a role that may not see contacts."""


@dataclass(frozen=True, kw_only=True)
class ExportContext:
    """What the rows of an export are made from; `params` is what was asked for."""

    session: Session
    tenant_id: int
    params: Mapping[str, Any]
    plugins: Plugins
    now: datetime


@dataclass(frozen=True, kw_only=True)
class ExportRows:
    """The rows of a file: the name it is called by, and a select whose labels are the header."""

    name: str
    query: Select[Any]


RowsOf = Callable[[ExportContext], ExportRows]


def customer_rows(session: Session, tenant_id: int, ids: CustomerIds) -> Select[Any]:
    """Select customers by number with their contacts and what they bought."""
    customer, receipt = table(Customer).c, table(Receipt).c
    digits = get_currency_precision(tenant_settings(session, tenant_id).currency)
    amount = cast(func.coalesce(func.sum(receipt.amount), 0), Numeric) / 10**digits
    bought = (
        select(
            receipt.customer_id,
            func.count().label("receipts"),
            func.round(amount, digits).label("total"),
            func.max(receipt.at).label("last_receipt"),
        )
        .where(receipt.tenant_id == tenant_id, ~receipt.cancelled, receipt.customer_id.in_(ids))
        .group_by(receipt.customer_id)
        .subquery()
    )
    return (
        select(
            *(customer[name] for name in _PERSONAL),
            func.coalesce(bought.c.receipts, 0).label("receipts"),
            func.coalesce(bought.c.total, 0).label("total"),
            bought.c.last_receipt,
        )
        .outerjoin(bought, bought.c.customer_id == customer.id)
        .where(customer.tenant_id == tenant_id, customer.id.in_(ids))
        .order_by(customer.id)
    )


_PERSONAL: Sequence[str] = (
    "external_id",
    "first_name",
    "middle_name",
    "last_name",
    "birth_date",
    "registered_on",
    "city",
    *CONTACTS,
)


def _segment_customers(context: ExportContext) -> ExportRows:
    segment = get_segment(context.session, context.tenant_id, int(context.params["segment"]))
    session, tenant_id, plugins = context.session, context.tenant_id, context.plugins
    ids = customer_ids(session, tenant_id, segment.tree, now=context.now, plugins=plugins)
    return ExportRows(name=segment.name, query=customer_rows(session, tenant_id, ids))


def _audience_customers(context: ExportContext) -> ExportRows:
    audience = get_audience(context.session, context.tenant_id, int(context.params["audience"]))
    ids = members_of(context.tenant_id, audience.id)
    query = customer_rows(context.session, context.tenant_id, ids)
    return ExportRows(name=audience.name, query=query)


def _mailing_customers(context: ExportContext) -> ExportRows:
    where = (context.session, context.tenant_id, int(context.params["mailing"]))
    outcome = str(context.params["outcome"])
    name = f"{get_mailing(*where).name} {outcome}"
    return ExportRows(name=name, query=outcome_rows(*where, outcome))


EXPORT_KINDS: dict[str, RowsOf] = {
    SEGMENT_CUSTOMERS: _segment_customers,
    AUDIENCE_CUSTOMERS: _audience_customers,
    MAILING_CUSTOMERS: _mailing_customers,
}
