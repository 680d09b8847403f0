"""The tenant's rows that conditions look at, for an estimate only those of a sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from sqlalchemy import ColumnElement, FromClause, Select, Subquery, and_, func, select, union_all
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from envoi.customers.models import Customer, CustomerValue
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.delivery.states import LONGEST_LIFETIME
from envoi.delivery.steps import channel_at
from envoi.receipts.models import Product, Receipt, ReceiptLine
from envoi.sql import CustomerIds
from envoi.subscriptions.models import WHOLE_CHANNEL, OptOut
from envoi.target_audiences.models import AudienceMember
from envoi.tenants.models import TimeZone
from envoi.types import AddressKind, ChannelSpec

ALL_BUCKETS = 10_000
Buckets = tuple[int, int]
"""A sample: the first bucket and the one after the last, of 10,000."""

_LEFT = (MessageState.ACCEPTED, MessageState.UNCONFIRMED)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rows:
    """Subqueries over one tenant's tables, at one moment.

    What belongs to customers is found through the sampled customers: a few thousand looks
    into an index instead of a walk through a million rows that have to be thrown away. The
    receipts and lines of a sample are read once for all conditions of a statement.
    """

    session: Session
    tenant_id: int
    now: datetime
    buckets: Buckets | None
    ledgers: dict[tuple[date, date], FromClause] = field(default_factory=dict)

    @cached_property
    def customers(self) -> FromClause:
        """The customers themselves."""
        return self._rows(Customer, *self._sampled()).subquery("customers")

    @cached_property
    def receipts(self) -> FromClause:
        """Receipts that were not cancelled."""
        receipt = table(Receipt).c
        rows = self._rows(Receipt, ~receipt.cancelled, *self._of(receipt.customer_id))
        return rows.subquery() if self.buckets is None else rows.cte("receipts")

    @cached_property
    def lines(self) -> FromClause:
        """Lines of receipts, cancelled ones included."""
        rows = self._rows(ReceiptLine)
        if self.buckets is None:
            return rows.subquery()
        mine = table(ReceiptLine).c.receipt_id.in_(select(self.receipts.c.id))
        return rows.where(mine).cte("receipt_lines")

    def products(self) -> Subquery:
        """Products."""
        return self._rows(Product).subquery()

    def values(self) -> Subquery:
        """Values of custom attributes."""
        return self._rows(CustomerValue, *self._of(table(CustomerValue).c.customer_id)).subquery()

    def zones(self) -> Subquery:
        """The known time zones, which belong to everybody."""
        return select(table(TimeZone)).subquery()

    def audience(self, audience_id: int) -> CustomerIds:
        """The customers of a target audience."""
        member = table(AudienceMember).c
        return select(member.customer_id).where(
            member.tenant_id == self.tenant_id,
            member.audience_id == audience_id,
            *self._of(member.customer_id),
        )

    def opted_out(self, channel: ChannelSpec, category: int | None) -> CustomerIds:
        """Who left a channel or a category of it, by their own word or by their address."""
        left, customer = table(OptOut).c, self.customers.c
        asked = (
            left.tenant_id == self.tenant_id,
            left.channel == channel.name,
            left.category_id.in_([WHOLE_CHANNEL, category or WHOLE_CHANNEL]),
        )
        own = select(left.customer_id).where(*asked, *self._of(left.customer_id))
        address = {AddressKind.EMAIL: customer.email, AddressKind.PHONE: customer.phone}
        if channel.address_kind not in address:
            return own
        shared = select(customer.id).join(
            table(OptOut), and_(*asked, left.address == address[channel.address_kind])
        )
        found = union_all(own, shared).subquery()
        return select(found.c.customer_id)

    def messages(
        self,
        *,
        mailing: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Subquery:
        """Messages that have left, see `envoi.sql.Messages`; always a bounded range of days."""
        ledger = self._ledger(*self._launched(mailing, since, until))
        message = ledger.c
        holds = [
            message.at <= self.now,
            *([message.mailing_id == mailing] if mailing is not None else []),
            *([message.at >= since] if since is not None else []),
            *([message.at < until] if until is not None else []),
        ]
        return select(ledger).where(*holds).subquery()

    def _ledger(self, first: date, last: date) -> FromClause:
        """What runs of these days sent; a sample's is read once for conditions that agree."""
        if (first, last) in self.ledgers:
            return self.ledgers[first, last]
        message, run = table(Message).c, table(Run).c
        same = and_(run.tenant_id == self.tenant_id, run.id == message.run_id)
        at = func.coalesce(message.accepted_at, message.due_at).label("at")
        channel = channel_at(message.step).label("channel")
        query = (
            select(
                *(message.customer_id, run.mailing_id, channel, at),
                *(message.opened_at, message.clicked_at),
            )
            .join_from(table(Message), table(Run), same)
            .where(
                message.tenant_id == self.tenant_id,
                run.kind == RunKind.MAILING,
                message.state.in_(_LEFT),
                message.bounced_at.is_(None),
                *(c.launched_on.between(first, last) for c in (message, run)),
                *self._of(message.customer_id),
            )
        )
        name = f"messages_{len(self.ledgers)}"
        found = query.subquery() if self.buckets is None else query.cte(name)
        return self.ledgers.setdefault((first, last), found)

    def _launched(
        self, mailing: int | None, since: datetime | None, until: datetime | None
    ) -> tuple[date, date]:
        """The days on which the runs began that can have sent such messages."""
        run = table(Run).c
        query = select(func.min(run.launched_on), func.max(run.launched_on)).where(
            run.tenant_id == self.tenant_id, run.kind == RunKind.MAILING
        )
        if mailing is not None:
            query = query.where(run.mailing_id == mailing)
        first, last = self.session.execute(query).one()
        today = self.now.astimezone(UTC).date()
        first, last = first or today, last or today
        if since is not None:
            first = max(first, since.astimezone(UTC).date() - LONGEST_LIFETIME - _DAY)
        if until is not None:
            last = min(last, until.astimezone(UTC).date() + _DAY)
        return first, last

    def _rows(self, model: type[SQLModel], *only: ColumnElement[bool]) -> Select[tuple[object]]:
        rows = table(model)
        return select(rows).where(rows.c.tenant_id == self.tenant_id, *only)

    def _sampled(self) -> tuple[ColumnElement[bool], ...]:
        if self.buckets is None:
            return ()
        bucket, (first, end) = table(Customer).c.bucket, self.buckets
        return bucket >= first, bucket < end

    def _of(self, customer_id: ColumnElement[int]) -> tuple[ColumnElement[bool], ...]:
        """Narrows what belongs to customers to the sampled ones."""
        if self.buckets is None:
            return ()
        customer = table(Customer).c
        sampled = select(customer.id).where(customer.tenant_id == self.tenant_id, *self._sampled())
        return (customer_id.in_(sampled),)
