"""The messaging calendar: months and weeks, the load of a day, and moving a start."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from desk import Desk, Shown
from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.errors import ConflictError, ValidationFailedError
from envoi.jobs import Work, announce
from envoi.mailings import calendar, service
from envoi.mailings.models import Mailing, MailingState
from envoi.tenants.models import DueWork
from envoi.tenants.service import create_tenant, tenant_settings
from ledger_rows import add_run
from pages import SignIn

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime.now(UTC)
SOON = (NOW + timedelta(days=40)).astimezone(BERLIN).date()


@pytest.fixture
def desk(signed_in: SignIn) -> Desk:
    return Desk(signed_in())


def planned(
    database: Database,
    tenant_id: int,
    name: str,
    at: datetime | None,
    state: MailingState = MailingState.CREATED,
    recipients: int = 0,
) -> int:
    """A mailing that waits for its start, announced as confirming it does."""
    with database.tenant_session(tenant_id) as session:
        made = service.create_draft(session, tenant_id, channel="email", name=name)
        made.state, made.starts_at = state, at
        made.volume = {"recipients": recipients}
        if state == MailingState.CREATED:
            announce(session, tenant_id, Work.LAUNCH, made.id, at)
        return made.id


def moment(day: date, at: str = "10:00") -> datetime:
    return calendar.local_moment(day, time.fromisoformat(at), BERLIN)


def launch_due_at(database: Database, tenant_id: int, mailing_id: int) -> list[datetime]:
    work = table(DueWork).c
    mine = (work.tenant_id == tenant_id, work.kind == Work.LAUNCH.value, work.ref == mailing_id)
    with database.system_session() as session:
        return list(session.scalars(select(work.due_at).where(*mine)))


def starts_of(database: Database, tenant_id: int, mailing_id: int) -> datetime | None:
    with database.tenant_session(tenant_id) as session:
        return service.get_mailing(session, tenant_id, mailing_id).starts_at


def cell(page: Shown, day: date, word: str) -> bool:
    """Whether a word stands in the table's cell of this day."""
    [found] = re.findall(rf'<td[^>]*data-ev-day="{day}".*?</td>', page.source, re.DOTALL)
    return word in found


class TestDays:
    @given(st.integers(2000, 2199), st.integers(1, 12))
    def test_a_month_stands_in_whole_weeks(self, year: int, month: int) -> None:
        days = calendar.month_days(year, month)
        assert len(days) % 7 == 0
        assert days[0].isoweekday() == 1
        assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
        inside = [d for d in days if (d.year, d.month) == (year, month)]
        assert inside[0].day == 1
        assert (inside[-1] + timedelta(days=1)).day == 1
        assert len(days) - len(inside) < 14

    @given(st.dates(date(2000, 1, 3), date(2199, 12, 20)))
    def test_every_day_is_in_its_week(self, day: date) -> None:
        year, week, weekday = day.isocalendar()
        assert calendar.week_days(year, week)[weekday - 1] == day

    @given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.times())
    def test_a_moment_is_on_its_day_whatever_the_clocks_do(self, day: date, at: time) -> None:
        local = calendar.local_moment(day, at, BERLIN).astimezone(BERLIN)
        assert local.date() == day
        shown = datetime.combine(day, local.time())
        assert shown - datetime.combine(day, at) in (timedelta(0), timedelta(hours=1))

    @pytest.mark.parametrize(
        ("day", "at", "utc"),
        [
            (date(2027, 3, 28), "02:30", "2027-03-28T01:30"),
            (date(2027, 3, 28), "10:00", "2027-03-28T08:00"),
            (date(2027, 3, 27), "10:00", "2027-03-27T09:00"),
            (date(2026, 10, 25), "02:30", "2026-10-25T00:30"),
            (date(2026, 10, 25), "10:00", "2026-10-25T09:00"),
        ],
    )
    def test_when_the_clocks_change(self, day: date, at: str, utc: str) -> None:
        found = calendar.local_moment(day, time.fromisoformat(at), BERLIN)
        assert found == datetime.fromisoformat(utc).replace(tzinfo=UTC)

    @pytest.mark.parametrize(
        ("at", "day"),
        [
            ("2027-03-27T23:00", date(2027, 3, 28)),
            ("2027-03-28T21:59", date(2027, 3, 28)),
            ("2027-03-28T22:00", date(2027, 3, 29)),
            ("2026-10-24T22:00", date(2026, 10, 25)),
            ("2026-10-25T22:59", date(2026, 10, 25)),
            ("2026-10-25T23:00", date(2026, 10, 26)),
            ("2026-12-31T22:59", date(2026, 12, 31)),
            ("2026-12-31T23:00", date(2027, 1, 1)),
        ],
    )
    def test_a_day_is_the_companys(
        self, database: Database, tenant_id: int, at: str, day: date
    ) -> None:
        start = datetime.fromisoformat(at).replace(tzinfo=UTC)
        planned(database, tenant_id, "Leaflet", start)
        around = [day + timedelta(days=n) for n in (-1, 0, 1)]
        with database.tenant_session(tenant_id) as session:
            days = calendar.days_of(session, tenant_id, around, BERLIN)
            alone = calendar.days_of(session, tenant_id, [day], BERLIN)
        assert [len(d.entries) for d in days] == [0, 1, 0]
        assert len(alone[0].entries) == 1


class TestPages:
    def test_the_menu_leads_to_the_month_of_today(self, desk: Desk) -> None:
        today = datetime.now(BERLIN).date()
        assert desk.get("/calendar/").answer.location == f"/calendar/{today.year}/{today.month}"
        page = desk.get(f"/calendar/{today.year}/{today.month}")
        assert "No mailing is on these days." in page.words
        assert "Times in Europe/Berlin." in page.words
        assert 'href="/calendar/"' in page.source

    @pytest.mark.parametrize(
        "address", ["2026/13", "2026/0", "1999/1", "2200/1", "2025/w53", "2026/w0", "0/w1"]
    )
    def test_what_no_calendar_has_is_no_page(self, desk: Desk, address: str) -> None:
        assert desk.get(f"/calendar/{address}").status == 404

    @pytest.mark.parametrize(
        ("address", "before", "after"),
        [
            ("2026/12", "2026/11", "2027/1"),
            ("2027/1", "2026/12", "2027/2"),
            ("2026/w53", "2026/w52", "2027/w1"),
            ("2024/2", "2024/1", "2024/3"),
        ],
    )
    def test_back_and_forth(self, desk: Desk, address: str, before: str, after: str) -> None:
        source = desk.get(f"/calendar/{address}").source
        assert f'href="/calendar/{before}" rel="prev"' in source
        assert f'href="/calendar/{after}" rel="next"' in source

    def test_states_times_and_drafts_without_a_start(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        planned(database, tenant_id, "Leaflet 48", moment(SOON, "08:00"))
        planned(database, tenant_id, "Advent", moment(SOON), MailingState.DRAFT)
        planned(database, tenant_id, "Some day", None, MailingState.DRAFT)
        page = desk.get(f"/calendar/{SOON.year}/{SOON.month}")
        assert re.search(r'ev-event-planned".*?08:00</time> Leaflet 48', page.source)
        assert re.search(r"ev-event-draft.*?10:00</time> Advent", page.source)
        assert cell(page, SOON, "Leaflet 48")
        assert "Some day" not in page.source
        week = SOON.isocalendar()
        assert "Leaflet 48" in desk.get(f"/calendar/{week.year}/w{week.week}").words

    def test_what_has_left_is_grey_and_counted_as_it_was(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        run = add_run(database, tenant_id, launched_at=datetime(2026, 6, 10, 8, tzinfo=UTC))
        with database.tenant_session(tenant_id) as session:
            sql = "UPDATE run SET sent = 170988 WHERE tenant_id = :t AND id = :r"
            session.execute(text(sql), {"t": tenant_id, "r": run.run_id})
        page = desk.get("/calendar/2026/6")
        assert re.search(r'ev-event-done".*?10:00</time> Coffee week', page.source)
        assert "171\u00a0k" in page.source
        assert f'href="/mailings/{run.mailing_id}/report"' in page.source

    def test_a_day_above_the_limit_has_a_way_out(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).daily_limit = 400_000
        planned(database, tenant_id, "Leaflet", moment(SOON, "08:00"), recipients=231_000)
        page = f"/calendar/{SOON.year}/{SOON.month}"
        assert "is planned above the limit" not in desk.get(page).words
        last = planned(database, tenant_id, "Early", moment(SOON, "18:00"), recipients=190_000)
        shown = desk.get(page)
        assert "is planned above the limit: about 421 k messages" in shown.words
        assert f'href="/calendar/reschedule/{last}?view=month"' in shown.source
        assert "Reschedule Early" in shown.words

    def test_quiet_days_are_named(self, desk: Desk, database: Database, tenant_id: int) -> None:
        with database.tenant_session(tenant_id) as session:
            settings = tenant_settings(session, tenant_id)
            settings.quiet_days = [{"date": SOON.isoformat(), "name": "Founding day"}]
        page = desk.get(f"/calendar/{SOON.year}/{SOON.month}")
        assert cell(page, SOON, "Founding day")
        assert cell(page, SOON, "ev-quiet-day")
        number = planned(database, tenant_id, "Leaflet", moment(SOON + timedelta(days=1)))
        asked = desk.get(f"/calendar/reschedule/{number}?date={SOON}")
        assert "This is a quiet day: Founding day." in asked.words

    def test_a_filter_by_channel_stays_in_every_link(self, desk: Desk) -> None:
        source = desk.get("/calendar/2026/11?channel=email").source
        assert 'href="/calendar/2026/12?channel=email"' in source
        assert desk.get("/calendar/2026/11?channel=pigeon").status == 200

    def test_a_day_to_come_creates_a_mailing_a_day_past_does_not(self, desk: Desk) -> None:
        page = desk.get(f"/calendar/{SOON.year}/{SOON.month}")
        assert f'href="/mailings/new?date={SOON}"' in page.source
        assert "/mailings/new?date=" not in desk.get("/calendar/2026/1").source


class TestMoving:
    def test_the_launch_moves_with_the_start(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        number = planned(database, tenant_id, "Leaflet", moment(SOON))
        for shift in (5, -3):
            day = SOON + timedelta(days=shift)
            form = {"date": day.isoformat(), "time": "17:30", "view": "week"}
            moved = desk.post(f"/calendar/reschedule/{number}", **form)
            week = day.isocalendar()
            assert moved.answer.location == f"/calendar/{week.year}/w{week.week}"
            assert starts_of(database, tenant_id, number) == moment(day, "17:30")
            assert launch_due_at(database, tenant_id, number) == [moment(day, "17:30")]
        assert "Leaflet now starts on" in desk.get("/calendar/2026/11").words

    def test_a_draft_with_a_start_moves_and_launches_nothing(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        number = planned(database, tenant_id, "Advent", moment(SOON), MailingState.DRAFT)
        day = SOON + timedelta(days=1)
        desk.post(f"/calendar/reschedule/{number}", date=day.isoformat(), time="09:00")
        assert starts_of(database, tenant_id, number) == moment(day, "09:00")
        assert launch_due_at(database, tenant_id, number) == []

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ({"date": "2020-01-01", "time": "10:00"}, "This moment has passed."),
            ({"date": "", "time": "10:00"}, "Enter date and time of the start."),
            ({"date": "2026-02-30", "time": "10:00"}, "Enter date and time of the start."),
            ({"date": "9999-12-31", "time": "10:00"}, "Enter date and time of the start."),
            ({"date": "2027-01-01", "time": "25:00"}, "Enter date and time of the start."),
            ({"date": "2029-03-25", "time": "02:30"}, "The clocks are put forward past this time"),
        ],
    )
    def test_what_cannot_be_is_refused_and_kept(
        self, desk: Desk, database: Database, tenant_id: int, form: dict[str, str], said: str
    ) -> None:
        number = planned(database, tenant_id, "Leaflet", moment(SOON))
        refused = desk.post(f"/calendar/reschedule/{number}", **form)
        assert refused.status == 422
        assert said in refused.words
        assert f'value="{form["time"]}"' in refused.source
        assert starts_of(database, tenant_id, number) == moment(SOON)

    def test_what_has_started_or_ended_stays(self, database: Database, tenant_id: int) -> None:
        due = planned(database, tenant_id, "Due", NOW - timedelta(seconds=1))
        sent = add_run(database, tenant_id).mailing_id
        cancelled = planned(database, tenant_id, "Cancelled", moment(SOON), MailingState.CANCELLED)
        undated = planned(database, tenant_id, "Draft", None, MailingState.DRAFT)
        for number in (due, sent, cancelled, undated):
            before = starts_of(database, tenant_id, number)
            with pytest.raises(ConflictError), database.tenant_session(tenant_id) as session:
                calendar.reschedule(session, tenant_id, number, moment(SOON))
            assert starts_of(database, tenant_id, number) == before

    def test_the_same_start_twice_changes_nothing(self, database: Database, tenant_id: int) -> None:
        number = planned(database, tenant_id, "Leaflet", moment(SOON))
        wanted = moment(SOON + timedelta(days=1))
        versions = []
        for _ in range(2):
            with database.tenant_session(tenant_id) as session:
                versions.append(calendar.reschedule(session, tenant_id, number, wanted).version)
        assert versions[0] == versions[1]
        with pytest.raises(ValidationFailedError), database.tenant_session(tenant_id) as session:
            calendar.reschedule(session, tenant_id, number, NOW - timedelta(minutes=1))

    def test_who_may_only_look_is_not_offered_it(
        self, signed_in: SignIn, database: Database, tenant_id: int
    ) -> None:
        number = planned(database, tenant_id, "Leaflet", moment(SOON))
        analyst = Desk(signed_in(Role.ANALYST))
        page = analyst.get(f"/calendar/{SOON.year}/{SOON.month}")
        assert "Leaflet" in page.words
        assert "draggable" not in page.source
        assert "/mailings/new" not in page.source
        assert analyst.get(f"/calendar/reschedule/{number}").status == 403
        form = {"date": SOON.isoformat(), "time": "11:00"}
        assert analyst.post(f"/calendar/reschedule/{number}", **form).status == 403

    def test_another_companys_is_not_there(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        foreign = create_tenant(database, slug=f"calendar-{tenant_id}", name="Nuthatch").id
        number = planned(database, foreign, "Theirs", moment(SOON))
        assert "Theirs" not in desk.get(f"/calendar/{SOON.year}/{SOON.month}").words
        form = {"date": SOON.isoformat(), "time": "11:00"}
        assert desk.post(f"/calendar/reschedule/{number}", **form).status == 404
        assert starts_of(database, foreign, number) == moment(SOON)

    def test_asked_as_a_dialog_with_what_else_is_that_day(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        number = planned(database, tenant_id, "Leaflet", moment(SOON))
        planned(database, tenant_id, "Early access", moment(SOON, "18:00"), recipients=190_000)
        headers = {"HX-Request": "true", "HX-Target": "ask"}
        asked = desk.get(f"/calendar/reschedule/{number}", **headers)
        assert "<html" not in asked.source
        assert "Also on this day" in asked.words
        assert "18:00 Early access 190,000" in asked.words
        other = SOON + timedelta(days=1)
        headers["HX-Target"] = "that-day"
        day = desk.get(f"/calendar/reschedule/{number}?date={other}", **headers)
        assert "Nothing else is on this day." in day.words
        assert "<form" not in day.source


def test_a_day_lists_its_mailings_by_time(database: Database, tenant_id: int) -> None:
    for number in range(5):
        planned(database, tenant_id, f"M{number}", moment(SOON, f"1{number}:00"))
    with database.tenant_session(tenant_id) as session:
        days = calendar.days_of(
            session, tenant_id, calendar.month_days(SOON.year, SOON.month), BERLIN
        )
        [full] = [d for d in days if d.entries]
        assert [e.name for e in full.entries] == [f"M{n}" for n in range(5)]
        assert session.get(Mailing, (tenant_id, full.entries[0].id)) is not None
