"""The messaging calendar, by month or by week, and moving a mailing's start in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from flask import Response, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.mailings import calendar as planning
from envoi.mailings import service
from envoi.mailings.calendar import Day
from envoi.mailings.models import Mailing, MailingState
from envoi.tenants.service import tenant_settings
from envoi.webkit import Blueprint, allowed, current, page, permission, see_other, toast
from envoi.webkit.formats import moment, translated
from envoi_web.calendar.words import full_day, month_name, week_name, weekday_name
from envoi_web.mailings.context import home_url

calendar = Blueprint("calendar", __name__, url_prefix="/calendar")
calendar.add_app_template_filter(full_day)
calendar.add_app_template_filter(weekday_name)

YEARS = range(2000, 2200)
WEEK, MONTH = "week", "month"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The part of the calendar on the page."""

    view: str
    title: str
    dates: Sequence[date]
    month: int | None
    """The month whose days are in full; the others fill up its weeks."""
    before: date
    after: date


@calendar.get("/")
@permission("mailings.view")
def index() -> Response:
    """Lead to the month of today."""
    return see_other(_address(MONTH, _today()))


@calendar.get("/<int:year>/<int:month>")
@permission("mailings.view")
def month(year: int, month: int) -> Response:
    """Show a month in whole weeks."""
    if year not in YEARS or month not in range(1, 13):
        raise NotFoundError("There is no such month in the calendar.")
    first = date(year, month, 1)
    dates = planning.month_days(year, month)
    sheet = Sheet(
        view=MONTH,
        title=month_name(first),
        dates=dates,
        month=month,
        before=first - timedelta(days=1),
        after=(first + timedelta(days=31)).replace(day=1),
    )
    return _show(sheet)


@calendar.get("/<int:year>/w<int:week>")
@permission("mailings.view")
def week(year: int, week: int) -> Response:
    """Show an ISO week."""
    try:
        dates = planning.week_days(year if year in YEARS else 0, week)
    except ValueError:
        raise NotFoundError("There is no such week in the calendar.") from None
    sheet = Sheet(
        view=WEEK,
        title=week_name(dates),
        dates=dates,
        month=None,
        before=dates[0] - timedelta(days=7),
        after=dates[-1] + timedelta(days=1),
    )
    return _show(sheet)


@calendar.get("/reschedule/<int:mailing_id>")
@permission("mailings.reschedule")
def ask(mailing_id: int) -> Response:
    """Ask for another start, and show what else is on that day."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        planned = mailing.starts_at
        if mailing.state not in (MailingState.DRAFT, MailingState.CREATED) or planned is None:
            return see_other(url_for("mailings.home", mailing_id=mailing_id))
        local = planned.astimezone(current.company.zone)
        day = request.args.get("date", local.date().isoformat())
        at = request.args.get("time", local.strftime("%H:%M"))
        return _form(session, mailing, day, at)


@calendar.post("/reschedule/<int:mailing_id>")
@permission("mailings.reschedule")
def reschedule(mailing_id: int) -> Response:
    """Move the start; a confirmed mailing's launch goes with it."""
    day, at = request.form.get("date", ""), request.form.get("time", "")
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        try:
            wanted = _moment(day, at, mailing.starts_at)
            planning.reschedule(
                session,
                current.tenant_id,
                mailing_id,
                wanted,
                account_id=current.account_id,
                may_start_large=allowed("mailings.start_large"),
            )
        except ValidationFailedError as error:
            return _form(session, mailing, day, at, error.problems)
        name = mailing.name
    toast(_("%(name)s now starts on %(start)s.", name=name, start=moment(wanted)))
    local = wanted.astimezone(current.company.zone).date()
    view = WEEK if request.form.get("view") == WEEK else MONTH
    return see_other(_address(view, local, request.form.get("channel") or None))


def _show(sheet: Sheet) -> Response:
    with current.session() as session:
        mine = current.plugins.for_tenant(session, current.tenant_id)
        channels = {spec.name: translated(spec.label) for spec in mine.channels.values()}
        asked = request.args.get("channel", "")
        channel = asked if asked in channels else None
        days, limit = _days(session, sheet.dates, channel)
    today = _today()
    # On narrow screens and in words, a month is its own days only.
    own = [d for d in days if sheet.month in (None, d.date.month)]
    return page(
        "calendar/calendar.html",
        sheet=sheet,
        weeks=[days[n : n + 7] for n in range(0, len(days), 7)],
        nothing=not any(d.entries for d in days),
        nothing_here=not any(d.entries for d in own),
        heavy=[d for d in own if limit and d.messages > limit and d.date >= today],
        limit=limit,
        today=today,
        channel=channel,
        channels=channels,
        address=_address,
        home_url=home_url,
    )


def _form(
    session: Session, mailing: Mailing, day: str, at: str, problems: tuple[Problem, ...] = ()
) -> Response:
    wanted = _day(day)
    found, limit = _days(session, [wanted], None) if wanted else ([], None)
    others = [e for d in found for e in d.entries if e.id != mailing.id]
    own = mailing.confirmed_count or mailing.volume.get("recipients", 0)
    return page(
        "calendar/reschedule.html",
        fragments=("ask", "that_day"),
        status=422 if problems else 200,
        mailing=mailing,
        day=day,
        time=at,
        quiet=found[0].quiet if found else None,
        others=others,
        load=own + sum(e.messages for e in others),
        limit=limit,
        problems=problems,
        errors={p.field: p.message for p in problems},
        back=_address(MONTH, wanted or _today()),
        crumbs=[
            (_("Mass messaging"), url_for("mailings.index")),
            (_("Messaging calendar"), url_for("calendar.index")),
            (mailing.name[:60], ""),
        ],
    )


def _days(
    session: Session, dates: Sequence[date], channel: str | None
) -> tuple[list[Day], int | None]:
    company = tenant_settings(session, current.tenant_id)
    days = planning.days_of(
        session,
        current.tenant_id,
        dates,
        current.company.zone,
        quiet=company.quiet_days,
        channel=channel,
    )
    return days, company.daily_limit


def _address(view: str, day: date, channel: str | None = None) -> str:
    """Return the address of the month or week that a day is in."""
    if view == MONTH:
        return url_for("calendar.month", year=day.year, month=day.month, channel=channel)
    year, number, _weekday = day.isocalendar()
    return url_for("calendar.week", year=year, week=number, channel=channel)


def _today() -> date:
    return datetime.now(current.company.zone).date()


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year in YEARS else None


def _moment(day: str, at: str, planned: datetime | None) -> datetime:
    wanted = _day(day)
    try:
        clock = time.fromisoformat(at)
    except ValueError:
        clock = None
    if wanted is None or clock is None:
        raise ValidationFailedError([Problem("date", _("Enter date and time of the start."))])
    clock = clock.replace(tzinfo=None)
    return planning.chosen_moment(wanted, clock, current.company.zone, planned)
