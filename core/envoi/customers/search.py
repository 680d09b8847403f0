"""The filters of the list of customers: words, purchases, period and sum, as SQL and as a tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from babel.numbers import get_currency_precision
from phonenumbers import PhoneMetadata
from sqlalchemy import ColumnElement, FromClause, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer, CustomerToken
from envoi.customers.tokens import LONGEST_TOKEN, fold
from envoi.db import table
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import company_zone, tenant_settings

MOST_DAYS = 36_500
_MOST_TERMS = 5
_MOST_OFFERED = 20
_PHONE = re.compile(r"[+(]?[0-9][0-9 ()\-.]{2,}\Z")
_NO_DIGIT = re.compile(r"\D")
_HIGHEST = "\U0010ffff"
_NAMES = ("first_name", "middle_name", "last_name")
_NUMBERS = ("external_id", "email")


@dataclass(frozen=True, kw_only=True)
class CustomerFilter:
    """What a list of customers is narrowed by; whatever is given must hold.

    `product` and `category` ask for a purchase of it within the period, and the sums are then
    those of its lines. A period alone asks for any purchase. Sums are in the company's currency.
    """

    text: str = ""
    product: str = ""
    category: str = ""
    days: int | None = None
    since: date | None = None
    until: date | None = None
    sum_from: float | None = None
    sum_to: float | None = None

    @property
    def bought(self) -> bool:
        """Whether a certain product or category must have been bought."""
        return bool(self.product or self.category)

    @property
    def has_period(self) -> bool:
        """Whether only purchases of a period count."""
        return (self.days, self.since, self.until) != (None, None, None)

    @property
    def has_sum(self) -> bool:
        """Whether the sum of the purchases matters."""
        return (self.sum_from, self.sum_to) != (None, None)


NO_FILTER = CustomerFilter()


def matching(session: Session, tenant_id: int, wanted: CustomerFilter) -> list[ColumnElement[bool]]:
    """Return the conditions over `customer` that a filter stands for, the tenant's among them."""
    c = table(Customer).c
    found = [c.tenant_id == tenant_id]
    found += [_has_token(tenant_id, term) for term in _terms(session, tenant_id, wanted.text)]
    if wanted.bought or wanted.has_period or wanted.has_sum:
        found += _purchases(session, tenant_id, wanted)
    return found


def tree_of_filters(session: Session, tenant_id: int, wanted: CustomerFilter) -> dict[str, Any]:
    """Return a segment's tree with the customers that a filter lets through now.

    Words are looked for at the beginnings of names as they are written: accents count here, and
    the second of two names with a space between them is not found.
    """
    nodes: list[dict[str, Any]] = [
        {"any": term} for term in _typed_terms(session, tenant_id, wanted.text)
    ]
    period = {"within_days": wanted.days, "since": wanted.since, "until": wanted.until}
    asked: dict[str, Any] = {n: _plain(value) for n, value in period.items() if value is not None}
    source, count = "receipts", "count"
    if wanted.bought:
        source, count = "purchases", "lines"
        asked |= _goods(session, tenant_id, wanted)
    if wanted.bought or (wanted.has_period and not wanted.has_sum):
        nodes.append(_condition(source, count, "ge", 1, **asked))
    for operator, value in (("ge", wanted.sum_from), ("le", wanted.sum_to)):
        if value is not None:
            nodes.append(_condition(source, "sum", operator, value, **asked))
    return {"all": nodes or [{"source": "all_customers", "settings": {}}]}


def offered_products(session: Session, tenant_id: int, text: str) -> list[tuple[str, str]]:
    """Offer products by a part of their name or number: external ids with names."""
    c = table(Product).c
    part = func.strpos(func.lower(c.name), text.lower()) > 0
    query = (
        select(c.external_id, c.name)
        .where(c.tenant_id == tenant_id, or_(part, func.starts_with(c.external_id, text)))
        .order_by(c.name, c.external_id)
    )
    return [(row.external_id, row.name) for row in session.execute(query.limit(_MOST_OFFERED))]


def product_names(session: Session, tenant_id: int, codes: Sequence[str]) -> dict[str, str]:
    """The names of products by their external ids; unknown ones are left out."""
    c = table(Product).c
    query = select(c.external_id, c.name).where(
        c.tenant_id == tenant_id, c.external_id.in_(codes), c.name != ""
    )
    return {row.external_id: row.name for row in session.execute(query)}


def offered_categories(session: Session, tenant_id: int) -> list[str]:
    """List the categories of the tenant's products."""
    c = table(Product).c
    query = select(c.category).where(c.tenant_id == tenant_id, c.category != "").distinct()
    return list(session.scalars(query.order_by(c.category).limit(500)))


def _terms(session: Session, tenant_id: int, search: str) -> list[list[str]]:
    """Take a search apart: of each term one of the prefixes must be found."""
    wanted = search.replace("\0", "").strip()
    if _PHONE.match(wanted):
        return [[fold(wanted), *_phone_prefixes(session, tenant_id, wanted)]]
    return [[fold(word)] for word in wanted.split()[:_MOST_TERMS]]


def _typed_terms(session: Session, tenant_id: int, search: str) -> list[list[dict[str, Any]]]:
    """Take a search apart: of each term one of the conditions must hold."""
    wanted = search.replace("\0", "").strip()
    if not _PHONE.match(wanted):
        return [_word(word) for word in wanted.split()[:_MOST_TERMS]]
    numbers = _phone_prefixes(session, tenant_id, wanted)
    phones = [_condition("attribute", "phone", "starts", f"+{number}") for number in numbers]
    return [[_condition("attribute", "external_id", "starts", wanted), *phones]]


def _word(word: str) -> list[dict[str, Any]]:
    starts = [_condition("attribute", name, "starts", word) for name in (*_NAMES, *_NUMBERS)]
    inside = [_condition("attribute", name, "contains", f"-{word}") for name in _NAMES]
    phone = [_condition("attribute", "phone", "starts", f"+{word}")] if word.isdigit() else []
    return [*starts, *inside, *phone]


def _condition(
    source: str, criterion: str, operator: str, value: Any, **more: Any
) -> dict[str, Any]:
    settings = {"criterion": criterion, "operator": operator, "value": value, **more}
    return {"source": source, "settings": settings}


def _plain(value: int | date) -> int | str:
    return value.isoformat() if isinstance(value, date) else value


def _goods(session: Session, tenant_id: int, wanted: CustomerFilter) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if wanted.product:
        c = table(Product).c
        named = select(c.external_id).where(*_named_product(tenant_id, wanted.product))
        found["products"] = list(session.scalars(named)) or [wanted.product]
    if wanted.category:
        found["categories"] = [wanted.category]
    return found


def _named_product(tenant_id: int, product: str) -> list[ColumnElement[bool]]:
    """A product by its number, or those with this name."""
    c = table(Product).c
    either = or_(c.external_id == product, func.lower(c.name) == product.lower())
    return [c.tenant_id == tenant_id, either]


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


def _purchases(
    session: Session, tenant_id: int, wanted: CustomerFilter
) -> list[ColumnElement[bool]]:
    settings = tenant_settings(session, tenant_id)
    where = _of_customer(tenant_id, wanted, company_zone(settings))
    source: FromClause = table(Receipt)
    amount: ColumnElement[int] = table(Receipt).c.amount
    if wanted.bought:
        ids = _product_ids(session, tenant_id, wanted)
        source, lines = _lines(tenant_id, ids)
        where, amount = [*where, *lines], table(ReceiptLine).c.amount
    found: list[ColumnElement[bool]] = []
    if wanted.bought or not wanted.has_sum:
        found.append(exists().select_from(source).where(*where).correlate(table(Customer)))
    if wanted.has_sum:
        total = select(func.coalesce(func.sum(amount), 0)).select_from(source).where(*where)
        minor = 10 ** get_currency_precision(settings.currency)
        found += _compared(total.correlate(table(Customer)).scalar_subquery(), wanted, minor)
    return found


def _compared(total: Any, wanted: CustomerFilter, minor: int) -> list[ColumnElement[bool]]:
    found = []
    if wanted.sum_from is not None:
        found.append(total >= round(wanted.sum_from * minor))
    if wanted.sum_to is not None:
        found.append(total <= round(wanted.sum_to * minor))
    return found


def _of_customer(tenant_id: int, wanted: CustomerFilter, zone: tzinfo) -> list[ColumnElement[bool]]:
    """A customer's receipts within the period: whole days of the company."""
    receipt, now = table(Receipt).c, datetime.now(UTC)
    where = [
        receipt.tenant_id == tenant_id,
        receipt.customer_id == table(Customer).c.id,
        ~receipt.cancelled,
    ]
    if wanted.days is not None:
        first = now.astimezone(zone).date() - timedelta(days=wanted.days)
        return [*where, receipt.at >= datetime.combine(first, time(), zone), receipt.at <= now]
    if wanted.since is not None:
        where.append(receipt.at >= datetime.combine(wanted.since, time(), zone))
    if wanted.until is not None:
        end = wanted.until + timedelta(days=1)
        where.append(receipt.at < datetime.combine(end, time(), zone))
    return where


def _lines(tenant_id: int, products: Sequence[int]) -> tuple[Any, list[ColumnElement[bool]]]:
    receipt, line = table(Receipt), table(ReceiptLine)
    joined = receipt.join(
        line, and_(line.c.tenant_id == tenant_id, line.c.receipt_id == receipt.c.id)
    )
    return joined, [line.c.product_id.in_(products)]


def _product_ids(session: Session, tenant_id: int, wanted: CustomerFilter) -> list[int]:
    """The products meant, asked for first: the planner guesses well by their numbers only."""
    c = table(Product).c
    query = select(c.id).where(c.tenant_id == tenant_id)
    if wanted.product:
        query = query.where(*_named_product(tenant_id, wanted.product))
    if wanted.category:
        query = query.where(c.category == wanted.category)
    return list(session.scalars(query))
