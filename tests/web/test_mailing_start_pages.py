"""When a mailing is sent, and confirming it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from desk import Desk, Shown
from drafts import stored
from envoi.accounts.permissions import Role
from envoi.audience.collection import collect
from envoi.db import Database
from envoi.installation import Installation
from envoi.mailings import launch, service, variants
from envoi.plugins import Plugins
from envoi.tenants.service import tenant_settings
from factories.customers import make_customers
from factories.delivery import an_installation, email_content
from pages import SignIn

CUSTOMERS = 40


def clocks_change(month: int) -> datetime:
    """When the company's clocks change in a month of next year: on its last Sunday, 01:00 UTC."""
    last = datetime(datetime.now(UTC).year + 1, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)


@pytest.fixture
def site(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


class TestWhen:
    def save(self, desk: Desk, draft: int, **fields: Any) -> Shown:
        whole = {
            "version": 2,
            "lifetime": "24",
            "lifetime_unit": "hours",
            "attribution_days": "14",
            "start": "now",
        }
        return desk.post(f"/mailings/{draft}/when", **{**whole, **fields})

    def test_a_start_in_the_companys_time(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        day = (datetime.now(UTC) + timedelta(days=9)).date()
        shown = self.save(desk, draft, start="later", date=day.isoformat(), time="10:00")
        assert shown.status == 200
        starts = stored(database, tenant_id, draft).starts_at
        assert starts is not None
        zone = re.search(r"Company time</div><div[^>]*>([^<]+)", shown.source)
        assert zone
        assert "10:00" in shown.words
        assert starts.date() == day

    def test_a_start_in_the_hour_that_comes_twice_stays_where_it_was(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        second = clocks_change(10) + timedelta(minutes=30)
        with database.tenant_session(tenant_id) as session:
            found = service.get_mailing(session, tenant_id, draft)
            found.starts_at, version = second, found.version
        day = second.date().isoformat()
        fields = {"start": "later", "date": day, "time": "02:30", "version": version}
        shown = self.save(desk, draft, **fields, limit_per_minute="60")
        assert shown.status == 200
        assert "UTC+01:00" in shown.words
        kept = stored(database, tenant_id, draft)
        assert (kept.starts_at, kept.limit_per_minute) == (second, 60)
        fields |= {"time": "02:45", "version": kept.version}
        assert self.save(desk, draft, **fields).status == 200
        moved = stored(database, tenant_id, draft).starts_at
        assert moved == second - timedelta(minutes=45), "the first 02:45 of two"

    def test_a_start_that_no_clock_shows_is_refused(self, desk: Desk, draft: int) -> None:
        day = clocks_change(3).date().isoformat()
        shown = self.save(desk, draft, start="later", date=day, time="02:30")
        assert shown.status == 422
        assert "The clocks are put forward past this time on that day." in shown.words
        assert 'id="time-error"' in shown.source

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"start": "later", "date": "2020-01-01", "time": "10:00"}, "This moment has passed"),
            ({"start": "later", "date": "", "time": ""}, "Enter date and time of the start"),
            ({"start": "later", "date": "9999-99-99", "time": "1"}, "Enter date and time"),
            ({"lifetime": "0"}, "Enter a whole number from 1 to 1,440."),
            ({"attribution_days": "soon"}, "Enter a whole number from 1 to 365."),
            ({"limit_per_minute": "0"}, "Enter a whole number from 1 to 1,000,000."),
            ({"window": "own", "window_from": "25:00"}, "Enter a time from 00:00"),
            ({"attribution": "dates", "attribution_from": "soon"}, "Enter a date."),
            ({"min_amount": "nan"}, "Enter an amount such as 25 or 25.50."),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, desk: Desk, draft: int, fields: dict[str, str], said: str
    ) -> None:
        shown = self.save(desk, draft, **fields)
        assert shown.status == 422
        assert said in shown.words

    def test_bounds_are_told_at_their_fields(self, desk: Desk, draft: int) -> None:
        for field in ("lifetime", "attribution_days"):
            shown = self.save(desk, draft, **{field: "99999"})
            assert shown.status == 422
            assert f'id="{field}-error"' in shown.source

    def test_every_setting_is_kept_and_shown_again(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        fields = {
            "lifetime": "3",
            "lifetime_unit": "days",
            "limit_per_minute": "1200",
            "window": "own",
            "window_from": "20:00",
            "window_until": "02:30",
            "window_zone": "customer",
            "attribution": "dates",
            "attribution_from": "2026-12-01",
            "attribution_until": "2026-12-24",
            "min_items": "2",
            "min_amount": "25.50",
            "products": "P1, P2,,P1",
            "categories": "Coffee",
        }
        shown = self.save(desk, draft, **fields)
        assert shown.status == 200
        kept = stored(database, tenant_id, draft)
        assert (kept.window_from, kept.window_until) == (1200, 150)
        assert (kept.lifetime_minutes, kept.limit_per_minute) == (4320, 1200)
        assert (kept.attribution_days, str(kept.attribution_until)) == (0, "2026-12-24")
        assert kept.attribution_conditions == {
            "min_items": 2,
            "min_amount": 2550,
            "products": ["P1", "P2"],
            "categories": ["Coffee"],
        }
        assert "between 20:00 and 02:30 by each customer" in shown.words
        assert "at most 1,200 a minute" in shown.words
        copy = desk.post(f"/mailings/{draft}/copy")
        again = stored(database, tenant_id, int(copy.answer.location.split("/")[2]))
        same = ("window_from", "window_zone", "limit_per_minute", "attribution_conditions")
        assert all(getattr(again, field) == getattr(kept, field) for field in same)

    def test_by_customers_own_clocks_a_window_is_closed_for_some_only(
        self, desk: Desk, draft: int
    ) -> None:
        """An hour that begins after the lifetime here is open elsewhere in the world."""
        soon = datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(hours=3)
        times = {
            "window_from": soon.strftime("%H:%M"),
            "window_until": (soon + timedelta(hours=1)).strftime("%H:%M"),
        }
        brief: dict[str, Any] = {"lifetime": 1, "lifetime_unit": "hours", "window": "own", **times}
        shown = self.save(desk, draft, **brief, window_zone="company")
        assert "none would leave" in shown.words
        shown = self.save(desk, draft, **brief, window_zone="customer", version=3)
        assert "none would leave" not in shown.words
        assert "would get nothing" in shown.words

    def test_somebody_elses_settings_are_not_written_over(self, desk: Desk, draft: int) -> None:
        assert self.save(desk, draft, lifetime="12").status == 200
        other = self.save(desk, draft, lifetime="7", limit_per_minute="500")
        assert other.status == 409
        assert "Message lifetime 12 7" in other.words
        assert 'name="limit_per_minute" value="500"' in other.source

    def test_a_failed_check_keeps_it_from_being_sent(self, desk: Desk, draft: int) -> None:
        shown = desk.get(f"/mailings/{draft}/when")
        assert "There is no gateway for this channel. Set one up in Settings." in shown.words
        assert "disabled>Send<" in shown.source
        assert desk.post(f"/mailings/{draft}/confirm", recipients=39).status == 422

    def test_what_is_wrong_with_the_message_leads_to_its_block(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        blocks = [
            {"type": "heading", "id": "first", "text": "Tea"},
            {
                "type": "columns",
                "id": "pair",
                "columns": [[], [{"type": "text", "id": "inner", "html": "{{ oops"}]],
            },
        ]
        with database.tenant_session(tenant_id) as session:
            content = {"body": "", "body_format": "blocks", "blocks": blocks}
            variants.save_content(session, tenant_id, draft, 2, content)
        shown = desk.get(f"/mailings/{draft}/when")
        assert "blocks." not in shown.words
        assert "Block 2, column 2, Text" in shown.words
        assert f"/mailings/{draft}/what?variant=1&amp;block=inner" in shown.source

    @pytest.mark.usefixtures("gateway_id")
    def test_advice_on_the_message_does_not_keep_it_from_being_sent(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            body = '<p><a href="">Tea</a><img src="https://shop.test/tea.png"></p>'
            content = {**email_content(), "body_format": "html", "body": body, "preheader": ""}
            variants.save_content(session, tenant_id, draft, 2, content)
        shown = desk.get(f"/mailings/{draft}/when")
        for advice in ("no preheader", "no unsubscribe link", "no alternative", "leads nowhere"):
            assert advice in shown.words
        assert "The message is not cut off by mail programs" in shown.words
        assert "Send to 39 recipients" in shown.words


@pytest.mark.usefixtures("gateway_id")
class TestConfirm:
    def test_by_the_number_shown_once_and_undone(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        assert "Send to 39 recipients" in desk.get(f"/mailings/{draft}/when").words
        wrong = desk.post(f"/mailings/{draft}/confirm", recipients=38)
        assert wrong.status == 409
        assert "has changed from 38 to 39" in wrong.words
        assert stored(database, tenant_id, draft).confirmed_at is None

        sent = desk.post(f"/mailings/{draft}/confirm", recipients=39)
        assert sent.answer.location == f"/mailings/{draft}/progress"
        assert "Nothing has left yet" in desk.get(f"/mailings/{draft}/progress").words
        again = desk.post(f"/mailings/{draft}/confirm", recipients=39)
        assert again.answer.location == sent.answer.location, "the same wish, the same answer"
        assert desk.post(f"/mailings/{draft}/confirm", recipients=38).status == 409
        assert desk.post(f"/mailings/{draft}/who", version=9, control_share="5").status == 409
        for step in ("who", "what", "when"):
            elsewhere = desk.get(f"/mailings/{draft}/{step}")
            assert elsewhere.answer.location == f"/mailings/{draft}/progress"

        assert desk.post(f"/mailings/{draft}/undo").status == 303
        assert desk.get(f"/mailings/{draft}/when").status == 200
        assert desk.post(f"/mailings/{draft}/undo").status == 409

    def test_what_was_changed_since_it_was_shown_is_not_started(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        shown = desk.get(f"/mailings/{draft}/when").source
        fields = dict(re.findall(r'type="hidden" name="(version|recipients)" value="(\d+)"', shown))
        assert fields == {"version": "2", "recipients": "39"}
        desk.post(f"/mailings/{draft}/who", version=2, source="all", control_share="0")
        refused = desk.post(f"/mailings/{draft}/confirm", **fields)
        assert refused.status == 409
        assert "was changed after this page was shown" in refused.words
        assert stored(database, tenant_id, draft).confirmed_at is None

    def test_it_can_be_undone_from_every_page(self, desk: Desk, draft: int) -> None:
        undo = f'action="/mailings/{draft}/undo"'
        assert undo not in desk.get("/mailings/").source
        desk.post(f"/mailings/{draft}/confirm", recipients=39)
        assert undo in desk.get("/customers/").source
        desk.post(f"/mailings/{draft}/undo")
        assert undo not in desk.get("/customers/").source

    def threshold(self, database: Database, tenant_id: int, *, always: bool = False) -> None:
        with database.tenant_session(tenant_id) as session:
            settings = tenant_settings(session, tenant_id)
            settings.approval_from, settings.approval_always = 38, always

    def approved(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> tuple[Desk, Desk]:
        """Let a marketer ask and a senior marketer start it; the desks of both."""
        self.threshold(database, tenant_id)
        marketer, senior = Desk(signed_in(Role.MARKETER)), Desk(signed_in(Role.SENIOR_MARKETER))
        marketer.get(f"/mailings/{draft}/when")
        marketer.post(f"/mailings/{draft}/approval")
        senior.post(f"/mailings/{draft}/confirm", recipients=39)
        return marketer, senior

    def launched(self, site: Installation, tenant_id: int, draft: int, *, late: int) -> int | None:
        """Let some more customers come, and then the time of the start."""
        with site.database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, late, prefix="late-")
            service.get_mailing(session, tenant_id, draft).starts_at = datetime.now(UTC)
        return launch.launch_due(site, tenant_id, draft)

    def test_a_large_one_is_approved_by_a_senior(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.threshold(database, tenant_id)
        page = f"/mailings/{draft}/when"
        marketer, senior = Desk(signed_in(Role.MARKETER)), Desk(signed_in(Role.SENIOR_MARKETER))
        assert "Ask for approval" in marketer.get(page).words
        refused = marketer.post(f"/mailings/{draft}/confirm", recipients=39)
        assert refused.status == 403
        assert "another person has to approve it" in refused.words
        assert marketer.post(f"/mailings/{draft}/approval", comment="Spring sale").status == 303
        assert "waits for approval" in senior.get("/mailings/").words
        assert "Ask for approval" not in marketer.get(page).words
        shown = senior.get(page).words
        assert "asks for approval" in shown
        assert "Spring sale" in shown
        assert marketer.post(f"/mailings/{draft}/decline", reason="No").status == 403
        assert senior.post(f"/mailings/{draft}/decline", reason="The price is old").status == 303
        assert "The price is old" in marketer.get(page).words
        assert "sent back" in marketer.get("/mailings/").words
        assert marketer.post(f"/mailings/{draft}/approval").status == 303
        assert senior.post(f"/mailings/{draft}/confirm", recipients=39).status == 303

    def test_a_change_makes_the_question_void(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.threshold(database, tenant_id)
        marketer = Desk(signed_in(Role.MARKETER))
        marketer.get(f"/mailings/{draft}/when")
        marketer.post(f"/mailings/{draft}/approval")
        marketer.post(f"/mailings/{draft}/who", version=2, source="all", control_share="5")
        assert "waits for approval" not in marketer.get("/mailings/").words
        assert marketer.post(f"/mailings/{draft}/decline", reason="x").status == 403

    def test_with_always_two_people_nobody_starts_alone(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.threshold(database, tenant_id, always=True)
        one, other = Desk(signed_in(Role.SENIOR_MARKETER)), Desk(signed_in())
        one.get(f"/mailings/{draft}/when")
        assert one.post(f"/mailings/{draft}/confirm", recipients=39).status == 403
        one.post(f"/mailings/{draft}/approval")
        assert one.post(f"/mailings/{draft}/confirm", recipients=39).status == 403
        assert other.post(f"/mailings/{draft}/confirm", recipients=39).status == 303

    def test_one_that_has_outgrown_its_approval_asks_again(
        self, signed_in: SignIn, site: Installation, tenant_id: int, draft: int
    ) -> None:
        _, senior = self.approved(signed_in, site.database, tenant_id, draft)
        assert self.launched(site, tenant_id, draft, late=3) is None
        assert "waits for approval" in senior.get("/mailings/").words
        assert senior.post(f"/mailings/{draft}/confirm", recipients=42).status == 303

    @pytest.mark.parametrize("chosen", [None, timedelta(hours=2)])
    def test_a_small_one_of_a_marketer_does_not_grow_large(
        self,
        signed_in: SignIn,
        site: Installation,
        tenant_id: int,
        draft: int,
        chosen: timedelta | None,
    ) -> None:
        """Confirmed for a few, and then the segment is made larger before the start."""
        self.threshold(site.database, tenant_id)
        with site.database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).approval_from = 39
            mailing = service.get_mailing(session, tenant_id, draft)
            mailing.starts_at = datetime.now(UTC) + chosen if chosen else None
        marketer, senior = Desk(signed_in(Role.MARKETER)), Desk(signed_in(Role.SENIOR_MARKETER))
        assert marketer.post(f"/mailings/{draft}/confirm", recipients=39).status == 303
        assert self.launched(site, tenant_id, draft, late=1) is None
        asked = senior.get(f"/mailings/{draft}/when").words
        assert "asks for approval" in asked
        assert "It starts now" in asked
        assert marketer.post(f"/mailings/{draft}/confirm", recipients=40).status == 403
        assert senior.post(f"/mailings/{draft}/confirm", recipients=40).status == 303

    def test_a_senior_who_started_it_alone_is_not_asked_again(
        self, signed_in: SignIn, site: Installation, tenant_id: int, draft: int
    ) -> None:
        self.threshold(site.database, tenant_id)
        senior = Desk(signed_in(Role.SENIOR_MARKETER))
        assert senior.post(f"/mailings/{draft}/confirm", recipients=39).status == 303
        assert self.launched(site, tenant_id, draft, late=5) is not None

    def test_growth_between_the_start_and_the_collection_pauses_it(
        self, signed_in: SignIn, site: Installation, tenant_id: int, draft: int
    ) -> None:
        marketer, _ = self.approved(signed_in, site.database, tenant_id, draft)
        run = self.launched(site, tenant_id, draft, late=0)
        assert run is not None
        with site.database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, 3, prefix="late-")
        for _ in range(2):
            assert collect(site.database, site.plugins, tenant_id, run) is None
            assert (
                "There are 42 recipients now" in marketer.get(f"/mailings/{draft}/progress").words
            )
            marketer.post(f"/mailings/{draft}/resume")

    def test_the_approved_start_is_moved_by_who_may_approve(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.threshold(database, tenant_id)
        soon = datetime.now(UTC) + timedelta(days=3)
        with database.tenant_session(tenant_id) as session:
            service.get_mailing(session, tenant_id, draft).starts_at = soon
        marketer, senior = Desk(signed_in(Role.MARKETER)), Desk(signed_in(Role.SENIOR_MARKETER))
        senior.post(f"/mailings/{draft}/confirm", recipients=39)
        assert " s. Nothing has left yet" not in marketer.get(f"/mailings/{draft}/progress").words
        later = {"date": (soon + timedelta(days=1)).date().isoformat(), "time": "03:00"}
        refused = marketer.post(f"/calendar/reschedule/{draft}", **later)
        assert refused.status == 403
        assert "the time that was approved" in refused.words
        assert stored(database, tenant_id, draft).starts_at == soon
        assert senior.post(f"/calendar/reschedule/{draft}", **later).status == 303

    def test_an_approved_start_that_was_missed_is_made_up_for_by_who_may_approve(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.threshold(database, tenant_id)
        marketer, senior = Desk(signed_in(Role.MARKETER)), Desk(signed_in(Role.SENIOR_MARKETER))
        senior.post(f"/mailings/{draft}/confirm", recipients=39)
        with database.tenant_session(tenant_id) as session:
            missed = datetime.now(UTC) - timedelta(days=90)
            service.get_mailing(session, tenant_id, draft).starts_at = missed
        assert marketer.post(f"/mailings/{draft}/start").status == 403
        assert senior.post(f"/mailings/{draft}/start").status == 303

    def test_only_some_ignore_the_companys_interval(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            settings = tenant_settings(session, tenant_id)
            settings.window_from, settings.window_until = 8 * 60, 21 * 60
            mailing = service.get_mailing(session, tenant_id, draft)
            mailing.window_from, mailing.window_until = 8 * 60, 21 * 60
        fields = {"lifetime": "3", "lifetime_unit": "days", "attribution": "none"}
        marketer = Desk(signed_in(Role.MARKETER))
        address = f"/mailings/{draft}/when"
        assert marketer.post(address, version=2, window="none", **fields).status == 403
        narrow = {"window": "own", "window_from": "09:00", "window_until": "12:00"}
        assert marketer.post(address, version=2, **narrow, **fields).status == 200
        senior = Desk(signed_in(Role.SENIOR_MARKETER))
        assert senior.post(address, version=3, window="none", **fields).status == 200

    def test_above_a_thousand_the_number_is_typed(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            make_customers(session, tenant_id, 1_000, first=CUSTOMERS + 1)
        assert "Type the number of recipients" in desk.get(f"/mailings/{draft}/when").words
        for typed in ("", "1,038", "yes"):
            refused = desk.post(f"/mailings/{draft}/confirm", recipients=1_039, typed=typed)
            assert refused.status == 409
            assert "The number typed is not 1,039" in refused.words
        done = desk.post(f"/mailings/{draft}/confirm", recipients=1_039, typed="1 039")
        assert done.status == 303

    def test_it_can_be_cancelled_for_good(self, desk: Desk, draft: int) -> None:
        desk.post(f"/mailings/{draft}/confirm", recipients=39)
        assert desk.post(f"/mailings/{draft}/cancel").status == 303
        assert "Cancelled" in desk.get(f"/mailings/{draft}/progress").words
        assert desk.post(f"/mailings/{draft}/cancel").status == 409
