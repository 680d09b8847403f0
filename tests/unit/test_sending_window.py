"""When a sending window is open, and when it opens next, over every clock there is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envoi.audience.window import SendingWindow
from envoi.errors import ValidationFailedError
from envoi.mailings.calendar import chosen_moment, local_moment

ZONES = ["Europe/Berlin", "UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
MINUTES = st.integers(0, 24 * 60 - 1)
WINDOWS = st.builds(SendingWindow, MINUTES, MINUTES).filter(lambda w: w.start != w.end)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(second=0, microsecond=0)
)


def local_minute(moment: datetime, zone: str) -> int:
    local = moment.astimezone(ZoneInfo(zone))
    return local.hour * 60 + local.minute


@given(window=WINDOWS, moment=MOMENTS, zone=st.sampled_from(ZONES))
def test_it_opens_within_a_day_and_then_it_is_open(
    window: SendingWindow, moment: datetime, zone: str
) -> None:
    opens_at = window.opens_at(moment, ZoneInfo(zone))
    assert (opens_at is None) == window.holds(local_minute(moment, zone))
    if opens_at is None:
        return
    assert moment < opens_at <= moment + timedelta(hours=25)
    shifted = ZoneInfo(zone).utcoffset(opens_at) != ZoneInfo(zone).utcoffset(moment)
    assert window.holds(local_minute(opens_at, zone)) or shifted


@given(window=WINDOWS, minute=MINUTES)
def test_it_and_its_opposite_make_a_day(window: SendingWindow, minute: int) -> None:
    opposite = SendingWindow(window.end, window.start)
    assert window.holds(minute) != opposite.holds(minute)
    assert window.covers(window)
    assert not window.covers(opposite)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-24T07:59", "2026-11-24T08:00"),
        ("2026-11-24T08:00", None),
        ("2026-11-24T20:59", None),
        ("2026-11-24T21:00", "2026-11-25T08:00"),
        ("2026-03-28T22:00", "2026-03-29T08:00"),
    ],
)
def test_from_eight_to_nine_in_the_evening(at: str, opens: str | None) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = SendingWindow(8 * 60, 21 * 60).opens_at(
        datetime.fromisoformat(at).replace(tzinfo=berlin), berlin
    )
    assert (found and found.astimezone(berlin).isoformat()[:16]) == opens


def test_one_that_crosses_midnight() -> None:
    night = SendingWindow(22 * 60, 2 * 60)
    assert [night.holds(hour * 60) for hour in (21, 22, 0, 1, 2)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert SendingWindow(21 * 60, 3 * 60).covers(night)
    assert not night.covers(SendingWindow(8 * 60, 21 * 60))


@given(
    wall=st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(
        lambda moment: moment.replace(second=0, microsecond=0)
    ),
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
)
def test_a_start_is_at_the_time_that_was_chosen_or_where_clocks_skip_it_later(
    wall: datetime, zone: ZoneInfo
) -> None:
    moment = local_moment(wall.date(), wall.time(), zone)
    shown = moment.astimezone(zone).replace(tzinfo=None)
    exists = any(
        wall.replace(tzinfo=zone, fold=fold).astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        == wall
        for fold in (0, 1)
    )
    assert shown == wall if exists else wall < shown <= wall + timedelta(hours=24)
    assert local_moment(shown.date(), shown.time(), zone) == moment, "saving it again moves nothing"


@pytest.mark.parametrize(
    ("chosen", "zone", "starts"),
    [
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30+00:00"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30+00:00"),
        ("2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00+00:00"),
        ("2026-03-08T02:15", "America/New_York", "2026-03-08T07:15+00:00"),
        ("2026-10-04T02:10", "Australia/Lord_Howe", "2026-10-03T15:40+00:00"),
    ],
)
def test_starts_on_days_on_which_clocks_change(chosen: str, zone: str, starts: str) -> None:
    wall = datetime.fromisoformat(chosen)
    found = local_moment(wall.date(), wall.time(), ZoneInfo(zone))
    assert found == datetime.fromisoformat(starts)


@given(
    planned=st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
)
@example(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
@example(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
@example(datetime(2026, 10, 24, 20, 30, 7, tzinfo=UTC), ZoneInfo("Asia/Omsk"))
def test_a_start_that_is_saved_as_it_was_shown_stays(planned: datetime, zone: ZoneInfo) -> None:
    shown = planned.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)
    assert chosen_moment(shown.date(), shown.time(), zone, planned) == planned


@pytest.mark.parametrize(
    ("chosen", "zone", "starts"),
    [
        ("2026-10-25T02:15", "Europe/Berlin", "2026-10-25T00:15+00:00"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00+00:00"),
        ("2026-03-29T02:30", "Asia/Omsk", "2026-03-28T20:30+00:00"),
        ("2026-10-25T02:15", "Asia/Omsk", "2026-10-24T20:15+00:00"),
    ],
)
def test_another_start_is_by_the_clock_and_the_first_of_two(
    chosen: str, zone: str, starts: str
) -> None:
    wall, planned = datetime.fromisoformat(chosen), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    found = chosen_moment(wall.date(), wall.time(), ZoneInfo(zone), planned)
    assert found == datetime.fromisoformat(starts)


@pytest.mark.parametrize("at", ["02:00", "02:59"])
def test_a_start_that_no_clock_shows_is_refused(at: str) -> None:
    day, berlin = date(2026, 3, 29), ZoneInfo("Europe/Berlin")
    with pytest.raises(ValidationFailedError, match="put forward") as refused:
        chosen_moment(day, time.fromisoformat(at), berlin, None)
    assert [p.field for p in refused.value.problems] == ["time"]
