"""Lists of mailings with what they did, and the totals above them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.db import table
from envoi.delivery.figures import RunFigures, count_figures
from envoi.delivery.glimpses import glimpse
from envoi.delivery.models import Run
from envoi.delivery.steps import uses_channel
from envoi.mailings.headline import headline_of
from envoi.mailings.models import Mailing, MailingState, Variant, channel_names
from envoi.mailings.status import Status, status_column
from envoi.segments.models import Segment

PAGE_SIZES = (10, 25, 50, 100)
SORTED_BY = (
    *("status", "channel", "name", "created_at", "sent_at"),
    *("receipts", "amount", "recipients", "sent", "delivered"),
)


@dataclass(frozen=True, kw_only=True)
class MailingFilter:
    """What the address of the list says; days are the company's, both ends included."""

    channel: str | None = None
    text: str = ""
    statuses: tuple[str, ...] = ()
    created_from: date | None = None
    created_to: date | None = None
    sent_from: date | None = None
    sent_to: date | None = None
    author_id: int | None = None
    segment_id: int | None = None
    sort: str = "-created_at"
    page: int = 1
    size: int = 25


@dataclass(frozen=True, kw_only=True)
class MailingRow:
    """One line of the list; numbers are None where there is nothing to count yet."""

    id: int
    name: str
    channels: Sequence[str]
    """Those of its steps."""
    subject: str
    status: Status
    created_at: datetime
    created_by: int | None
    starts_at: datetime | None
    pause_reason: str
    planned: int | None
    """Recipients as counted last; of a mailing that has not started."""
    approval: str = ""
    """"asked" while a second person is to approve a draft, "declined" once it was sent back."""
    failed: int = 0
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
    """The cards above the list; they do not follow its filters, only a period."""

    mailings: int
    recent: int
    """Mailings of the last thirty days."""
    receipts: int
    amount: int
    by_month: Sequence[tuple[str, int, int, int]] = field(default=())
    """Month (YYYY-MM), mailings sent, receipts and amount; twelve months, oldest first."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the filters offer: authors and segments of the mailings there are, by name."""

    authors: Sequence[tuple[int, str]]
    segments: Sequence[tuple[int, str]]


def list_mailings(
    session: Session, tenant_id: int, wanted: MailingFilter, zone: tzinfo
) -> MailingPage:
    """Return one page of mailings with what each did.

    The ledger is counted only for the runs of the page that are still at work.
    """
    conditions = _conditions(tenant_id, wanted, zone)
    everything = _conditions(tenant_id, MailingFilter(channel=wanted.channel), zone)
    counted, total = (
        session.scalar(select(func.count()).select_from(_joined()).where(*where)) or 0
        for where in (conditions, everything)
    )
    last = max(1, -(-counted // wanted.size))
    offset = (min(max(wanted.page, 1), last) - 1) * wanted.size
    query = _columns().where(*conditions).order_by(*_order(wanted.sort))
    page = session.execute(query.limit(wanted.size).offset(offset)).all()
    rows = _rows(session, tenant_id, page)
    return MailingPage(rows=rows, matching=counted, total=total)


def mailings_by_id(session: Session, tenant_id: int, ids: Sequence[int]) -> list[MailingRow]:
    """Return these mailings in the order of their names; what is not there is left out."""
    mailing = table(Mailing).c
    mine = (mailing.tenant_id == tenant_id, ~mailing.hidden, mailing.id.in_(ids))
    page = session.execute(_columns().where(*mine).order_by(mailing.name, mailing.id)).all()
    return _rows(session, tenant_id, page)


def totals(
    session: Session,
    tenant_id: int,
    channel: str | None = None,
    *,
    today: date,
    days: int | None = None,
) -> Totals:
    """Add up what sent mailings did, by month and in a period that ends today.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        channel: Only mailings of this channel.
        today: The day the period ends with.
        days: How many days the period has; None means all time. The months are always twelve.
    """
    run = table(Run).c
    sent = [
        run.tenant_id == tenant_id,
        run.mailing_id.is_not(None),
        run.finished_at.is_not(None),
    ]
    if channel:
        sent.append(uses_channel(channel))
    period = run.launched_on > today - timedelta(days=days) if days else run.id.is_not(None)
    recent = run.launched_on > today - timedelta(days=30)
    month = func.to_char(run.launched_on, "YYYY-MM")
    query = (
        select(
            month.label("month"),
            func.count().label("mailings"),
            func.coalesce(func.sum(run.receipts), 0).label("receipts"),
            func.coalesce(func.sum(run.amount), 0).label("amount"),
            func.count().filter(period).label("mailings_in"),
            func.coalesce(func.sum(run.receipts).filter(period), 0).label("receipts_in"),
            func.coalesce(func.sum(run.amount).filter(period), 0).label("amount_in"),
            func.count().filter(recent).label("recent"),
        )
        .where(*sent)
        .group_by(month)
    )
    rows = session.execute(query).all()
    months = {r.month: (r.month, r.mailings, int(r.receipts), int(r.amount)) for r in rows}
    return Totals(
        mailings=sum(r.mailings_in for r in rows),
        recent=sum(r.recent for r in rows),
        receipts=sum(int(r.receipts_in) for r in rows),
        amount=sum(int(r.amount_in) for r in rows),
        by_month=[months.get(name, (name, 0, 0, 0)) for name in _last_twelve(today)],
    )


def count_by_channel(session: Session, tenant_id: int) -> dict[str, int]:
    """Count the mailings of each channel, and all of them by no name, for the tabs.

    A cascade counts with each of its channels.
    """
    c = table(Mailing).c
    query = (
        select(c.channel, c.cascade, func.count().label("mailings"))
        .where(c.tenant_id == tenant_id, ~c.hidden)
        .group_by(c.channel, c.cascade)
    )
    found: Counter[str] = Counter()
    for row in session.execute(query):
        found.update(dict.fromkeys(["", *channel_names(row.channel, row.cascade)], row.mailings))
    return found


def choices(session: Session, tenant_id: int) -> Choices:
    """List who made mailings and the segments they go to, for the filters."""
    mailing, account, segment = table(Mailing).c, table(Account).c, table(Segment).c
    mine = (mailing.tenant_id == tenant_id, ~mailing.hidden)
    made = select(mailing.created_by).where(*mine)
    used = select(mailing.segment_id).where(*mine)
    name = func.coalesce(func.nullif(account.name, ""), account.email)
    authors = select(account.id, name).where(account.id.in_(made)).order_by(name, account.id)
    segments = (
        select(segment.id, segment.name)
        .where(segment.tenant_id == tenant_id, segment.id.in_(used))
        .order_by(segment.name, segment.id)
    )
    return Choices(
        authors=[(row[0], row[1]) for row in session.execute(authors)],
        segments=[(row[0], row[1]) for row in session.execute(segments)],
    )


def _joined() -> FromClause:
    mailing, run, variant = table(Mailing), table(Run), table(Variant)
    return mailing.outerjoin(
        run, and_(run.c.tenant_id == mailing.c.tenant_id, run.c.id == mailing.c.run_id)
    ).outerjoin(
        variant,
        and_(
            variant.c.tenant_id == mailing.c.tenant_id,
            variant.c.mailing_id == mailing.c.id,
            variant.c.number == 1,
        ),
    )


def _columns() -> Select[Any]:
    mailing, run = table(Mailing).c, table(Run).c
    columns = (
        *(mailing.id, mailing.name, mailing.channel, mailing.cascade, mailing.created_at),
        *(mailing.created_by, mailing.starts_at, mailing.run_id, run.finished_at, run.pause_reason),
        *(run.recipients, run.sent, run.delivered, run.failed, run.receipts, run.amount),
    )
    return select(
        *columns,
        status_column().label("status"),
        _subject().label("subject"),
        _approval().label("approval"),
        mailing.volume["recipients"].as_integer().label("planned"),
    ).select_from(_joined())


def _subject() -> ColumnElement[str]:
    return headline_of(table(Variant).c.content)


def _approval() -> ColumnElement[str]:
    """A draft's open question or its answer; a change of the draft makes both void."""
    mailing = table(Mailing).c
    asked = mailing.approval["version"].as_integer() == mailing.version
    open_ = and_(mailing.state == int(MailingState.DRAFT), asked)
    declined = mailing.approval["declined_by"].as_integer().is_not(None)
    return case(
        (and_(open_, declined), literal("declined")), (open_, literal("asked")), else_=literal("")
    )


def _conditions(tenant_id: int, wanted: MailingFilter, zone: tzinfo) -> list[ColumnElement[bool]]:
    mailing = table(Mailing).c
    found: list[ColumnElement[bool]] = [mailing.tenant_id == tenant_id, ~mailing.hidden]
    if wanted.channel:
        later = mailing.cascade.contains([{"channel": wanted.channel}])
        found.append(or_(mailing.channel == wanted.channel, later))
    if wanted.text:
        texts = (mailing.name, _subject())
        found.append(or_(*(t.icontains(wanted.text, autoescape=True) for t in texts)))
    if wanted.statuses:
        found.append(status_column().in_(wanted.statuses))
    if wanted.author_id is not None:
        found.append(mailing.created_by == wanted.author_id)
    if wanted.segment_id is not None:
        found.append(mailing.segment_id == wanted.segment_id)
    found += _within(mailing.created_at, wanted.created_from, wanted.created_to, zone)
    found += _within(mailing.starts_at, wanted.sent_from, wanted.sent_to, zone)
    return found


def _within(
    column: ColumnElement[Any], first: date | None, last: date | None, zone: tzinfo
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if first:
        found.append(column >= datetime.combine(first, time(), zone))
    if last and last < date.max:
        found.append(column < datetime.combine(last + timedelta(days=1), time(), zone))
    return found


def _order(sort: str) -> list[ColumnElement[Any]]:
    mailing, run = table(Mailing).c, table(Run).c
    columns: dict[str, ColumnElement[Any]] = {
        "name": func.coalesce(func.nullif(_subject(), ""), mailing.name),
        "status": status_column(),
        "channel": mailing.channel,
        "created_at": mailing.created_at,
        "sent_at": mailing.starts_at,
        **{name: run[name] for name in SORTED_BY[5:]},
    }
    name = sort.removeprefix("-")
    column = columns.get(name, mailing.created_at)
    descending = sort.startswith("-") or name not in columns
    ordered = column.desc() if descending else column.asc()
    return [ordered.nulls_last(), mailing.id.desc()]


def _rows(session: Session, tenant_id: int, page: Sequence[Row[Any]]) -> list[MailingRow]:
    uncounted = [r.run_id for r in page if r.run_id and (not r.finished_at or r.sent is None)]
    live = glimpse(
        session,
        ("figures", tenant_id, tuple(uncounted)),
        lambda: count_figures(session.connection(), tenant_id, uncounted),
    )
    return [_row(row, live.get(row.run_id)) for row in page]


def _row(row: Row[Any], live: RunFigures | None) -> MailingRow:
    status = Status(row.status)
    launched = row.run_id is not None and status is not Status.COLLECTING
    figures = live or row
    return MailingRow(
        **{name: getattr(row, name) for name in ("id", "name", "created_at")},
        channels=channel_names(row.channel, row.cascade),
        subject=row.subject or "",
        status=status,
        created_by=row.created_by,
        starts_at=row.starts_at,
        approval=row.approval,
        pause_reason=row.pause_reason or "",
        planned=None if row.run_id else row.planned,
        failed=(figures.failed or 0) if launched else 0,
        receipts=(row.receipts or 0) if launched else None,
        amount=(row.amount or 0) if launched else None,
        recipients=figures.recipients if launched else None,
        sent=figures.sent if launched else None,
        delivered=figures.delivered if launched else None,
    )


def _last_twelve(today: date) -> list[str]:
    numbers = [today.year * 12 + today.month - 1 - back for back in range(11, -1, -1)]
    return [f"{n // 12}-{n % 12 + 1:02d}" for n in numbers]
