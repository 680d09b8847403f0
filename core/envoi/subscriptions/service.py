"""What a customer wants no more of: opt-outs of channels and categories, and suppression.

An opt-out acts on the customer and on the address, so the same person imported twice is left
in peace in both rows. Every change adds a row to the consent log, which only grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, true
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Message, Run
from envoi.subscriptions.models import (
    WHOLE_CHANNEL,
    ConsentLog,
    MailingCategory,
    OptOut,
    Suppression,
)


class Source(StrEnum):
    """Where a change of a subscription came from."""

    ONE_CLICK = "one_click"
    PAGE = "page"
    REPLY = "reply"
    EMPLOYEE = "employee"
    IMPORT = "import"
    COMPLAINT = "complaint"
    BOUNCE = "bounce"


class Reason(StrEnum):
    """Why a customer left, as offered on the unsubscribe page."""

    TOO_MANY = "too_many"
    NOT_INTERESTING = "not_interesting"
    NEVER_ASKED = "never_asked"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class OptedOut:
    """One thing a customer gets no more: a channel, or a category of it."""

    channel: str
    category_id: int
    category: str
    address: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ConsentChange:
    """One row of the consent log."""

    at: datetime
    channel: str
    category_id: int
    action: str
    source: str
    reason: str
    run_id: int | None


def opt_out(
    session: Session,
    tenant_id: int,
    customer_id: int,
    channel: str,
    category_id: int = WHOLE_CHANNEL,
    *,
    source: str,
    reason: str = "",
    run_id: int | None = None,
    address: str | None = None,
) -> bool:
    """Take a customer out of a channel or category; false when they had left it before.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        customer_id: The customer who leaves.
        channel: The channel's name.
        category_id: The mailing category, or `WHOLE_CHANNEL`.
        source: Where the wish came from (`Source`).
        reason: Why, a code of `Reason` or the customer's own words.
        run_id: The run whose message was answered, where it is known.
        address: The address that the wish also acts on.
    """
    row = {
        "tenant_id": tenant_id,
        "channel": channel,
        "category_id": category_id,
        "customer_id": customer_id,
        "address": address,
    }
    new = upsert(table(OptOut)).values(row).on_conflict_do_nothing()
    changed = session.execute(new.returning(table(OptOut).c.at)).first() is not None
    if changed:
        _log(session, row, action="opt_out", source=source, reason=reason, run_id=run_id)
    if run_id is not None:
        _mark_message(session, tenant_id, run_id, customer_id)
    return changed


def opt_in(
    session: Session,
    tenant_id: int,
    customer_id: int,
    channel: str,
    category_id: int = WHOLE_CHANNEL,
    *,
    source: str,
    reason: str = "",
) -> bool:
    """Let a customer in again who asked for it; never called for a wish that is only assumed.

    Only this customer's own opt-out ends: another one's on the same address stays.
    """
    out = table(OptOut)
    mine = _of_customer(tenant_id, customer_id, channel, category_id)
    gone = session.execute(out.delete().where(mine).returning(out.c.address)).first()
    if gone is None:
        return False
    row = {
        "tenant_id": tenant_id,
        "channel": channel,
        "category_id": category_id,
        "customer_id": customer_id,
        "address": gone.address,
    }
    _log(session, row, action="opt_in", source=source, reason=reason, run_id=None)
    return True


def is_opted_out(
    session: Session,
    tenant_id: int,
    customer_id: int,
    channel: str,
    category_id: int = WHOLE_CHANNEL,
    address: str | None = None,
) -> bool:
    """Tell whether the customer, or the address, has left the channel or the category."""
    out = table(OptOut).c
    whose: ColumnElement[bool] = out.customer_id == customer_id
    if address is not None:
        whose = or_(whose, out.address == address)
    where = and_(
        out.tenant_id == tenant_id,
        out.channel == channel,
        out.category_id.in_((WHOLE_CHANNEL, category_id)),
        whose,
    )
    return session.scalar(select(true()).where(where).limit(1)) is not None


def opted_out_of(session: Session, tenant_id: int, customer_id: int) -> list[OptedOut]:
    """List what a customer has left, whole channels first, for the profile."""
    out, category = table(OptOut).c, table(MailingCategory)
    joined = table(OptOut).outerjoin(
        category,
        and_(category.c.tenant_id == out.tenant_id, category.c.id == out.category_id),
    )
    query = (
        select(
            out.channel,
            out.category_id,
            func.coalesce(category.c.name, "").label("category"),
            out.address,
            out.at,
        )
        .select_from(joined)
        .where(out.tenant_id == tenant_id, out.customer_id == customer_id)
        .order_by(out.channel, out.category_id)
    )
    return [OptedOut(**row._mapping) for row in session.execute(query)]


def consent_history(session: Session, tenant_id: int, customer_id: int) -> list[ConsentChange]:
    """List every change of a customer's subscriptions, newest first."""
    log = table(ConsentLog).c
    columns = (log.at, log.channel, log.category_id, log.action, log.source, log.reason, log.run_id)
    query = (
        select(*columns)
        .where(log.tenant_id == tenant_id, log.customer_id == customer_id)
        .order_by(log.id.desc())
    )
    return [ConsentChange(**row._mapping) for row in session.execute(query)]


def suppress(session: Session, tenant_id: int, channel: str, address: str, reason: str) -> bool:
    """Let an address get nothing any more; false when it was suppressed before."""
    row = {"tenant_id": tenant_id, "channel": channel, "address": address, "reason": reason}
    new = upsert(table(Suppression)).values(row).on_conflict_do_nothing()
    return session.execute(new.returning(table(Suppression).c.at)).first() is not None


def _of_customer(
    tenant_id: int, customer_id: int, channel: str, category_id: int
) -> ColumnElement[bool]:
    out = table(OptOut).c
    return and_(
        out.tenant_id == tenant_id,
        out.channel == channel,
        out.category_id == category_id,
        out.customer_id == customer_id,
    )


def _log(session: Session, row: dict[str, object], **change: object) -> None:
    session.execute(insert(table(ConsentLog)).values({**row, **change}))


def _mark_message(session: Session, tenant_id: int, run_id: int, customer_id: int) -> None:
    """Note the fact at the message; the first time stays."""
    run, message = table(Run).c, table(Message)
    launched_on = session.scalar(
        select(run.launched_on).where(run.tenant_id == tenant_id, run.id == run_id)
    )
    session.execute(
        message.update()
        .values(unsubscribed_at=func.now())
        .where(
            message.c.tenant_id == tenant_id,
            message.c.run_id == run_id,
            message.c.customer_id == customer_id,
            message.c.launched_on == launched_on,
            message.c.unsubscribed_at.is_(None),
        )
    )
