"""When a sending window is open, and when it opens next, over every clock there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.audience.window import SendingWindow

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
