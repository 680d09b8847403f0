"""Finds the message that a report is about: by our key, or else by whom it was sent to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.delivery.steps import channel_at
from envoi.feedback.contacts import CHANNEL
from envoi.feedback.models import NOBODY
from envoi.tenants.models import Tenant
from envoi.tracking.tokens import InvalidTokenError, MessageRef, TokenSigner

RECENT = timedelta(days=7)
"""A report without a key is only thought to be about a message sent so lately."""

MOST_TENANTS = 50


def channel_of_message() -> ColumnElement[str]:
    """The channel by which a message left: that of its step."""
    return channel_at(table(Message).c.step)


def by_key(signer: TokenSigner, keys: Iterable[str]) -> MessageRef | None:
    """The message that the first genuine key names."""
    for key in keys:
        with suppress(InvalidTokenError):
            return signer.read_message_key(key)
    return None


def by_recipient(
    database: Database, addresses: Iterable[str], at: datetime, tenant_id: int = NOBODY
) -> MessageRef | None:
    """The last message to one of these addresses, if only one company wrote to it lately."""
    wanted = [address for address in addresses if address]
    tenants = [tenant_id] if tenant_id else _tenants(database)
    if not wanted or len(tenants) > MOST_TENANTS:
        return None
    found: list[MessageRef] = []
    for each in tenants:
        with database.tenant_session(each) as session:
            last = last_message_to(session, each, wanted, at)
        found += [last] if last else []
    return found[0] if len(found) == 1 else None


def _tenants(database: Database) -> list[int]:
    with database.system_session() as session:
        return list(session.scalars(select(table(Tenant).c.id).limit(MOST_TENANTS + 1)))


def last_message_to(
    session: Session, tenant_id: int, addresses: Collection[str], at: datetime
) -> MessageRef | None:
    """The last message of a company to one of these addresses, if it left lately."""
    m, c, r = table(Message).c, table(Customer).c, table(Run).c
    since = at - RECENT
    query = (
        select(m.run_id, m.customer_id, m.launched_on, m.step, m.variant)
        .select_from(table(Customer))
        .join(table(Message), and_(m.tenant_id == c.tenant_id, m.customer_id == c.id))
        .join(table(Run), and_(r.tenant_id == m.tenant_id, r.id == m.run_id))
        .where(c.tenant_id == tenant_id, c.email.in_(addresses))
        .where(m.launched_on.between((since - RECENT).date(), at.date()))
        .where(m.state == MessageState.ACCEPTED, m.accepted_at.between(since, at))
        .where(r.kind == RunKind.MAILING, r.channel == CHANNEL)
        .order_by(m.accepted_at.desc())
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    return MessageRef(
        tenant_id=tenant_id,
        run_id=row.run_id,
        customer_id=row.customer_id,
        launched_on=row.launched_on,
        step=row.step,
        variant=row.variant or 0,
    )
