"""The quality of an address, judged from all its bounces, complaints and successes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, case, func, select, text, true, update
from sqlalchemy.orm import Session

from envoi.customers.models import Customer, Quality
from envoi.db import table
from envoi.errors import ConflictError
from envoi.feedback.models import Bounce, Fault
from envoi.subscriptions.models import Suppression
from envoi.subscriptions.service import Source

CHANNEL = "email"
"""Bounces in the mail's own form concern this channel."""

PHONE_CHANNELS = frozenset({"sms", "viber", "social"})
"""These reach customers by their telephone number."""

MONTH = timedelta(days=30)
MOST_SOFT = 7
"""So many soft bounces within a month exhaust an address."""

_HARDEST = Quality.NO_ADDRESS
_LOOK_BACK = timedelta(days=120)

_KNOWN = text(
    """
    WITH success AS (
        SELECT max(greatest(m.delivered_at, m.opened_at, m.clicked_at)) AS at
        FROM customer c JOIN message m ON m.tenant_id = :tenant AND m.customer_id = c.id
            AND m.launched_on BETWEEN :first_day AND :last_day
        WHERE c.tenant_id = :tenant AND c.email = :address
    ), counted AS (
        SELECT b.at, b.fault, b.quality,
            lag(b.at, :before) OVER (PARTITION BY b.fault ORDER BY b.at) AS first_of_many
        FROM bounce b CROSS JOIN success s
        WHERE b.tenant_id = :tenant AND b.address = :address AND NOT b.forgiven
            AND (b.fault = :hard OR b.fault = :soft AND b.at > coalesce(s.at, '-infinity'))
    )
    SELECT (array_agg(quality ORDER BY at, quality) FILTER (WHERE fault = :hard))[1] AS hard,
        coalesce(bool_or(fault = :soft AND first_of_many >= at - CAST(:month AS interval)), false)
            AS exhausted,
        (array_agg(quality ORDER BY at DESC, quality) FILTER (WHERE fault = :soft))[1] AS soft
    FROM counted
    """
)


def judge_contact(session: Session, tenant_id: int, address: str) -> None:
    """Bring the quality of every customer with this address up to date.

    What excludes for good is never softened here: only a person or a new value does that.
    """
    if not address:
        return
    # One at a time: two bounces at once would each be judged without the other.
    key = func.hashtextextended(f"envoi.address:{address}", tenant_id)
    session.execute(select(func.pg_advisory_xact_lock(key)))
    found = _quality(session, tenant_id, address)
    c = table(Customer).c
    theirs = update(table(Customer)).where(
        c.tenant_id == tenant_id, c.email == address, c.email_quality != found
    )
    if found < _HARDEST:
        theirs = theirs.where(c.email_quality < _HARDEST)
    session.execute(theirs.values(email_quality=found))


def judge_phone(session: Session, tenant_id: int, phone: str) -> None:
    """Mark a number of which a provider says that it does not exist, until a message arrives."""
    if not phone:
        return
    b, c = table(Bounce).c, table(Customer).c
    wrong = (b.tenant_id == tenant_id, b.address == phone, b.quality == Quality.NOT_EXISTING)
    exists = select(b.run_id).where(*wrong, ~b.forgiven).exists()
    known = (Quality.GOOD, Quality.NOT_EXISTING)
    found = case((exists, int(Quality.NOT_EXISTING)), else_=int(Quality.GOOD))
    theirs = update(table(Customer)).where(
        c.tenant_id == tenant_id,
        c.phone == phone,
        c.phone_quality.in_(known),
        c.phone_quality != found,
    )
    session.execute(theirs.values(phone_quality=found))


def forgive_address(session: Session, tenant_id: int, address: str) -> None:
    """Let an address count as good again, because a person says so.

    Raises:
        ConflictError: Its owner complained: only they can want messages again.
    """
    if _complained(session, tenant_id, address):
        raise ConflictError(
            "The owner of this address reported a message as spam, so it stays excluded."
        )
    b, c = table(Bounce).c, table(Customer).c
    theirs = (b.tenant_id == tenant_id, b.address == address)
    session.execute(update(table(Bounce)).where(*theirs).values(forgiven=True))
    customers = update(table(Customer)).where(
        c.tenant_id == tenant_id, c.email == address, c.email_quality != Quality.FORMAT_ERROR
    )
    session.execute(customers.values(email_quality=Quality.GOOD))


def forgive_old(session: Session, tenant_id: int) -> int:
    """Let soft bounces pass of which a month has heard nothing more; return how many customers."""
    b, c = table(Bounce).c, table(Customer).c
    lately = select(b.address).where(
        b.tenant_id == tenant_id, b.address == c.email, b.at > func.now() - MONTH
    )
    passed = update(table(Customer)).where(
        c.tenant_id == tenant_id,
        c.email_quality > Quality.GOOD,
        c.email_quality < _HARDEST,
        ~lately.exists(),
    )
    return session.connection().execute(passed.values(email_quality=Quality.GOOD)).rowcount


def _quality(session: Session, tenant_id: int, address: str) -> Quality:
    if _complained(session, tenant_id, address):
        return Quality.COMPLAINT
    today = datetime.now(UTC).date()
    known = session.execute(
        _KNOWN,
        {
            "tenant": tenant_id,
            "address": address,
            "first_day": today - _LOOK_BACK,
            "last_day": today + timedelta(days=1),
            "before": MOST_SOFT - 1,
            "month": MONTH,
            "hard": int(Fault.HARD),
            "soft": int(Fault.SOFT),
        },
    ).one()
    if known.hard:
        return Quality(known.hard)
    return Quality.EXHAUSTED if known.exhausted else Quality(known.soft or 0)


def _complained(session: Session, tenant_id: int, address: str) -> bool:
    s = table(Suppression).c
    theirs = and_(s.tenant_id == tenant_id, s.channel == CHANNEL, s.address == address)
    query = select(true()).where(theirs, s.reason == Source.COMPLAINT)
    return session.scalar(query) is not None
