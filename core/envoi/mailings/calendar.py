"""The messaging calendar: what leaves on which day, how much a day carries, moving a start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Run
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.jobs import Work, announce, withdraw
from envoi.mailings.approval import require_moved_alone
from envoi.mailings.models import Mailing, MailingState, channel_names
from envoi.mailings.service import get_mailing
from envoi.mailings.status import Status, status_column

USUAL_START = time(10)
"""When a mailing starts that was created for a day."""

MOVABLE = frozenset({Status.DRAFT, Status.CREATED})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A mailing on its day; `messages` is what it was counted to, or what it sent."""

    id: int
    name: str
    channels: Sequence[str]
    """Those of its steps."""
    status: Status
    at: datetime
    """In the company's zone."""
    messages: int

    @property
    def movable(self) -> bool:
        """Whether its start can still be moved."""
        return self.status in MOVABLE


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day of the company with what leaves on it."""

    date: date
    entries: Sequence[Entry]
    messages: int
    """Of all channels, because the limit of a day is for all."""
    quiet: str | None
    """The name of a quiet day, empty where it has none; None on other days."""

    @property
    def weekend(self) -> bool:
        """Whether it is a Saturday or a Sunday."""
        return self.date.isoweekday() > 5


def month_days(year: int, month: int) -> list[date]:
    """Return the days of a month in whole weeks from Monday on."""
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    begin = first - timedelta(days=first.weekday())
    weeks = -(-(following - begin).days // 7)
    return [begin + timedelta(days=n) for n in range(7 * weeks)]


def week_days(year: int, week: int) -> list[date]:
    """Return the seven days of an ISO week; raise `ValueError` where the year has none such."""
    monday = date.fromisocalendar(year, week, 1)
    return [monday + timedelta(days=n) for n in range(7)]


def days_of(
    session: Session,
    tenant_id: int,
    dates: Sequence[date],
    zone: ZoneInfo,
    *,
    quiet: Sequence[Mapping[str, str]] = (),
    channel: str | None = None,
) -> list[Day]:
    """Return consecutive days with their mailings; drafts without a start are on none.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        dates: The days, one after the other.
        zone: The company's zone, which says when a day begins.
        quiet: The company's quiet days, as `tenant_settings.quiet_days` lists them.
        channel: Show only mailings of this channel; the load of a day stays everything's.
    """
    by_day: dict[date, list[Entry]] = defaultdict(list)
    for entry in _entries(session, tenant_id, dates, zone):
        by_day[entry.at.date()].append(entry)
    names = {given.get("date", ""): given.get("name", "") for given in quiet}
    return [
        Day(
            date=day,
            entries=[e for e in by_day[day] if channel is None or channel in e.channels],
            messages=sum(e.messages for e in by_day[day]),
            quiet=names.get(day.isoformat()),
        )
        for day in dates
    ]


def local_moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return a moment of the company's clocks.

    A time that the clocks skip in spring is as much later; of one that they show twice in
    autumn the first counts.
    """
    return datetime.combine(day, at, zone).astimezone(UTC)


def chosen_moment(day: date, at: time, zone: ZoneInfo, planned: datetime | None) -> datetime:
    """Return the moment that a person chose by the company's clocks.

    Of a time that the clocks show twice in autumn, the one that was planned stays planned.

    Raises:
        ValidationFailedError: The clocks skip this time in spring.
    """
    wanted = datetime.combine(day, at)
    if planned is not None and _shown(planned, zone) == wanted:
        return planned
    found = local_moment(day, at, zone)
    if _shown(found, zone) != wanted.replace(second=0, microsecond=0):
        problem = "The clocks are put forward past this time on that day. Choose another time."
        raise ValidationFailedError([Problem("time", problem)])
    return found


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """What a person reads of a moment: date, hour and minute."""
    return moment.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)


def first_start(day: date, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Propose a start on a day: at the usual hour, today the next hour but one, never before."""
    usual = local_moment(day, USUAL_START, zone)
    if usual > now:
        return usual
    soon = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    return soon if soon.astimezone(zone).date() == day else None


def reschedule(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    at: datetime,
    now: datetime | None = None,
    *,
    account_id: int | None = None,
    may_start_large: bool = True,
) -> Mailing:
    """Move the start of a mailing that has not started; of a confirmed one the launch as well.

    Args:
        at: The new start.
        account_id: Who moves it.
        may_start_large: Whether they may start mailings above the company's threshold.

    Raises:
        ForbiddenError: Another person approved the start.
        ConflictError: It has started, has ended, or has no start that could be moved.
        ValidationFailedError: The new start has passed.
    """
    now = now or datetime.now(UTC)
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    _refuse_fixed(mailing, now)
    if at <= now:
        raise ValidationFailedError(
            [Problem("date", "This moment has passed. Choose a later one.")]
        )
    if mailing.starts_at == at:
        return mailing
    if mailing.state == MailingState.CREATED:
        require_moved_alone(session, mailing, account_id, may_start_large=may_start_large)
    mailing.starts_at, mailing.updated_at = at, now
    mailing.version += 1
    if mailing.state == MailingState.CREATED:
        # Announcing alone would keep the earlier of both moments.
        withdraw(session, tenant_id, Work.LAUNCH, mailing_id)
        announce(session, tenant_id, Work.LAUNCH, mailing_id, at)
    return mailing


def _refuse_fixed(mailing: Mailing, now: datetime) -> None:
    if mailing.state == MailingState.DRAFT:
        if mailing.starts_at is None:
            raise ConflictError("This draft has no start yet. Choose one in its third step.")
        return
    due = mailing.starts_at is not None and mailing.starts_at <= now
    if mailing.state != MailingState.CREATED or due:
        raise ConflictError(
            "This mailing has started or ended, so its start cannot be moved. Copy it instead."
        )


def _entries(
    session: Session, tenant_id: int, dates: Sequence[date], zone: ZoneInfo
) -> list[Entry]:
    mailing, run = table(Mailing).c, table(Run).c
    columns = (mailing.id, mailing.name, mailing.channel, mailing.cascade, mailing.starts_at)
    query = (
        select(*columns, status_column().label("status"), _messages().label("messages"))
        .select_from(
            table(Mailing).outerjoin(
                table(Run), and_(run.tenant_id == mailing.tenant_id, run.id == mailing.run_id)
            )
        )
        .where(
            mailing.tenant_id == tenant_id,
            ~mailing.hidden,
            mailing.starts_at >= local_moment(dates[0], time(), zone),
            mailing.starts_at < local_moment(dates[-1] + timedelta(days=1), time(), zone),
        )
        .order_by(mailing.starts_at, mailing.id)
    )
    return [
        Entry(
            id=row.id,
            name=row.name,
            channels=channel_names(row.channel, row.cascade),
            status=Status(row.status),
            at=row.starts_at.astimezone(zone),
            messages=row.messages,
        )
        for row in session.execute(query)
    ]


def _messages() -> ColumnElement[int]:
    """Planned by the count made last; a run by its collection, and by the ledger once it ended."""
    mailing, run = table(Mailing).c, table(Run).c
    counted = case(
        (run.finished_at.is_not(None), run.sent),
        (mailing.state == MailingState.CANCELLED, 0),
        (and_(mailing.state == MailingState.DRAFT, mailing.starts_at < func.now()), 0),
    )
    return func.coalesce(
        counted,
        run.volume["recipients"].as_integer(),
        mailing.confirmed_count,
        mailing.volume["recipients"].as_integer(),
        0,
    )
