"""Lists of mailings with what they did, and the totals above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.status import FINISHED, Status, status_column
from envoi.receipts.models import Attribution

PAGE_SIZES = (10, 25, 50, 100)

_RECIPIENT_STATES = (
    MessageState.READY,
    MessageState.CLAIMED,
    MessageState.ACCEPTED,
    MessageState.FAILED,
    MessageState.UNCONFIRMED,
    MessageState.BLOCKED,
    MessageState.EXPIRED,
    MessageState.CANCELLED,
)


@dataclass(frozen=True, kw_only=True)
class MailingFilter:
    """What the address of the list says."""

    channel: str | None = None
    text: str = ""
    statuses: tuple[str, ...] = ()
    created_from: date | None = None
    sort: str = "-created_at"
    page: int = 1
    size: int = 25


@dataclass(frozen=True, kw_only=True)
class MailingRow:
    """One line of the list; numbers are None where there is nothing to count yet."""

    id: int
    name: str
    channel: str
    subject: str
    status: Status
    failed: int
    created_at: datetime
    sent_at: datetime | None
    starts_at: datetime | None
    receipts: int | None = None
    amount: int | None = None
    recipients: int | None = None
    sent: int | None = None
    delivered: int | None = None


@dataclass(frozen=True, kw_only=True)
class MailingPage:
    """One page of the list, with the number of all that match and of all there are."""

    rows: Sequence[MailingRow]
    matching: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The cards above the list; they do not follow its filters."""

    mailings: int
    receipts: int
    amount: int
    by_month: Sequence[tuple[str, int, int, int]] = field(default=())
    """Month (YYYY-MM), mailings sent, receipts and amount; twelve months, oldest first."""


def list_mailings(session: Session, tenant_id: int, wanted: MailingFilter) -> MailingPage:
    """Return one page of mailings with what each did."""
    base = _matching(tenant_id, wanted)
    counted = session.scalar(select(func.count()).select_from(base.subquery())) or 0
    everything = _matching(tenant_id, MailingFilter(channel=wanted.channel))
    total = session.scalar(select(func.count()).select_from(everything.subquery())) or 0
    last = max(1, -(-counted // wanted.size))
    offset = (min(max(wanted.page, 1), last) - 1) * wanted.size
    page = session.execute(
        base.order_by(*_order(wanted.sort)).limit(wanted.size).offset(offset)
    ).all()
    runs = [row.run_id for row in page if row.run_id]
    sent, sold = _outcomes(session, tenant_id, runs), _sales(session, tenant_id, runs)
    rows = [_row(row, sent.get(row.run_id), sold.get(row.run_id)) for row in page]
    return MailingPage(rows=rows, matching=counted, total=total)


def totals(session: Session, tenant_id: int, channel: str | None = None) -> Totals:
    """Count sent mailings and what was attributed to them, all time and by month."""
    run, sale = table(Run), table(Attribution)
    sent = [
        run.c.tenant_id == tenant_id,
        run.c.mailing_id.is_not(None),
        run.c.finished_at.is_not(None),
    ]
    if channel:
        sent.append(run.c.channel == channel)
    month = func.to_char(run.c.launched_on, "YYYY-MM")
    sales = (
        select(sale.c.run_id, func.count().label("n"), func.sum(sale.c.amount).label("amount"))
        .where(sale.c.tenant_id == tenant_id)
        .group_by(sale.c.run_id)
        .subquery()
    )
    query = (
        select(
            month.label("month"),
            func.count().label("mailings"),
            func.coalesce(func.sum(sales.c.n), 0).label("receipts"),
            func.coalesce(func.sum(sales.c.amount), 0).label("amount"),
        )
        .select_from(run.outerjoin(sales, sales.c.run_id == run.c.id))
        .where(*sent)
        .group_by(month)
        .order_by(month)
    )
    months = [(r.month, r.mailings, int(r.receipts), int(r.amount)) for r in session.execute(query)]
    return Totals(
        mailings=sum(m[1] for m in months),
        receipts=sum(m[2] for m in months),
        amount=sum(m[3] for m in months),
        by_month=_last_twelve(months, date.today()),
    )


def count_by_channel(session: Session, tenant_id: int) -> dict[str, int]:
    """Count the mailings of each channel, for the tabs."""
    c = table(Mailing).c
    query = (
        select(c.channel, func.count().label("mailings"))
        .where(c.tenant_id == tenant_id, ~c.hidden)
        .group_by(c.channel)
    )
    return {row.channel: row.mailings for row in session.execute(query)}


def _matching(tenant_id: int, wanted: MailingFilter) -> Select[Any]:
    mailing, run, variant = table(Mailing), table(Run), table(Variant)
    status = status_column().label("status")
    subject = variant.c.content["subject"].astext.label("subject")
    joined = mailing.outerjoin(
        run, and_(run.c.tenant_id == mailing.c.tenant_id, run.c.id == mailing.c.run_id)
    ).outerjoin(
        variant,
        and_(
            variant.c.tenant_id == mailing.c.tenant_id,
            variant.c.mailing_id == mailing.c.id,
            variant.c.number == 1,
        ),
    )
    columns = (
        *(
            mailing.c.id,
            mailing.c.name,
            mailing.c.channel,
            mailing.c.created_at,
            mailing.c.starts_at,
        ),
        *(mailing.c.run_id, run.c.finished_at, run.c.launched_on, status, subject),
    )
    conditions: list[ColumnElement[bool]] = [mailing.c.tenant_id == tenant_id, ~mailing.c.hidden]
    if wanted.channel:
        conditions.append(mailing.c.channel == wanted.channel)
    if wanted.text:
        conditions.append(
            or_(
                mailing.c.name.icontains(wanted.text, autoescape=True),
                variant.c.content["subject"].astext.icontains(wanted.text, autoescape=True),
            )
        )
    if wanted.statuses:
        conditions.append(status_column().in_(wanted.statuses))
    if wanted.created_from:
        conditions.append(mailing.c.created_at >= wanted.created_from)
    return select(*columns).select_from(joined).where(*conditions)


def _order(sort: str) -> list[ColumnElement[Any]]:
    mailing, run = table(Mailing).c, table(Run).c
    columns: dict[str, ColumnElement[Any]] = {
        "name": mailing.name,
        "status": status_column(),
        "created_at": mailing.created_at,
        "sent_at": run.finished_at,
    }
    name = sort.removeprefix("-")
    column = columns.get(name, mailing.created_at)
    ordered = column.desc() if sort.startswith("-") or name not in columns else column.asc()
    return [ordered.nulls_last(), mailing.id.desc()]


def _outcomes(session: Session, tenant_id: int, runs: Sequence[int]) -> dict[int, Row[Any]]:
    if not runs:
        return {}
    run, c = table(Run).c, table(Message).c
    days = session.execute(
        select(func.min(run.launched_on), func.max(run.launched_on)).where(
            run.tenant_id == tenant_id, run.id.in_(runs)
        )
    ).one()
    query = (
        select(
            c.run_id,
            func.count().filter(c.state.in_(_RECIPIENT_STATES)).label("recipients"),
            func.count().filter(c.state == MessageState.ACCEPTED).label("sent"),
            func.count().filter(c.state == MessageState.FAILED).label("failed"),
            func.count()
            .filter(c.state == MessageState.ACCEPTED, c.bounced_at.is_(None))
            .label("delivered"),
        )
        .where(c.tenant_id == tenant_id, c.run_id.in_(runs), c.launched_on.between(*days))
        .group_by(c.run_id)
    )
    return {row.run_id: row for row in session.execute(query)}


def _sales(session: Session, tenant_id: int, runs: Sequence[int]) -> dict[int, Row[Any]]:
    if not runs:
        return {}
    c = table(Attribution).c
    query = (
        select(c.run_id, func.count().label("receipts"), func.sum(c.amount).label("amount"))
        .where(c.tenant_id == tenant_id, c.run_id.in_(runs))
        .group_by(c.run_id)
    )
    return {row.run_id: row for row in session.execute(query)}


def _row(row: Row[Any], outcome: Row[Any] | None, sale: Row[Any] | None) -> MailingRow:
    status = Status(row.status)
    launched = outcome is not None and status is not Status.COLLECTING
    return MailingRow(
        id=row.id,
        name=row.name,
        channel=row.channel,
        subject=row.subject or "",
        status=status,
        failed=outcome.failed if outcome else 0,
        created_at=row.created_at,
        sent_at=row.finished_at if status in FINISHED else None,
        starts_at=row.starts_at,
        receipts=(sale.receipts if sale else 0) if launched else None,
        amount=(int(sale.amount) if sale else 0) if launched else None,
        recipients=outcome.recipients if outcome and launched else None,
        sent=outcome.sent if outcome and launched else None,
        delivered=outcome.delivered if outcome and launched else None,
    )


def _last_twelve(
    months: Sequence[tuple[str, int, int, int]], today: date
) -> list[tuple[str, int, int, int]]:
    known = {m[0]: m for m in months}
    numbers = [today.year * 12 + today.month - 1 - back for back in range(11, -1, -1)]
    names = [f"{n // 12}-{n % 12 + 1:02d}" for n in numbers]
    return [known.get(name, (name, 0, 0, 0)) for name in names]
