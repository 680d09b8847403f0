"""Dates, numbers and amounts are read in every form that programs write, or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from babel.dates import format_date
from hypothesis import given
from hypothesis import strategies as st

from envoi.customers.csv_reader import LineRefusedError
from envoi.customers.values import Style, plain_number, read_date, read_moment, read_number
from envoi.receipts.receipt_file import Surroundings, minor_units

DAY_FIRST, MONTH_FIRST = Style(day_first=True), Style(day_first=False)
_days = st.dates(date(1927, 5, 19), date(2173, 10, 13))
_clocks = st.sampled_from(["", " 10:15", " 10:15:30", "T10:15:30"])


def _forms(day: date) -> list[tuple[str, Style]]:
    serial = (day - date(1899, 12, 30)).days
    return [
        (day.isoformat(), Style()),
        (f"{day:%d.%m.%Y}", Style()),
        (f"{day.day}.{day.month}.{day.year}", Style()),
        (f"{day:%d/%m/%Y}", DAY_FIRST),
        (f"{day:%m/%d/%Y}", MONTH_FIRST),
        (f"{day:%d %b %Y}", Style()),
        (format_date(day, "d MMMM y", locale="ru"), Style()),
        (f"{day:%Y%m%d}", Style()),
        (str(serial), Style()),
    ]


@given(_days)
def test_a_date_is_read_in_each_form(day: date) -> None:
    for cell, style in _forms(day):
        assert read_date(cell, "d", style) == day.isoformat(), cell


@given(_days, _clocks)
def test_a_moment_keeps_its_day_in_each_form(day: date, clock: str) -> None:
    for cell, style in _forms(day)[:-1]:
        if clock.startswith("T") and cell.count("-") != 2:
            continue
        moment = datetime.fromisoformat(read_moment(cell + clock, "at", UTC, style))
        assert moment.date() == day
        assert (moment.hour, moment.minute) == ((10, 15) if clock else (0, 0))


@given(_days)
def test_dates_with_slashes_are_never_guessed(day: date) -> None:
    cell = f"{day:%d/%m/%Y}"
    if day.day <= 12 and day.day != day.month:
        with pytest.raises(LineRefusedError, match="may be two dates"):
            read_date(cell, "d")
    else:
        assert read_date(cell, "d") == day.isoformat()


@given(st.text(max_size=12))
def test_whatever_stands_there_is_a_date_or_refused(cell: str) -> None:
    for style in (Style(), DAY_FIRST, MONTH_FIRST):
        try:
            found = read_date(cell, "d", style)
        except LineRefusedError:
            continue
        assert found is None or date.fromisoformat(found)


@pytest.mark.parametrize(
    "cell",
    ["31.02.2020", "2020-13-01", "99999999", "0001-01-01", "1.1.20", "soon", "12:30", "1990"],
)
def test_what_is_no_date_is_refused(cell: str) -> None:
    with pytest.raises(LineRefusedError):
        read_date(cell, "d")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00+00:00"),
        ("2026-07-01 10:00+02:00", "2026-07-01T10:00:00+02:00"),
        ("46204.5", "2026-07-01T12:00:00+00:00"),
        ("7/13/2026 1:05 PM", "2026-07-13T13:05:00+00:00"),
        ("01.07.2026, 09:05", "2026-07-01T09:05:00+00:00"),
    ],
)
def test_moments(cell: str, told: str) -> None:
    assert read_moment(cell, "at", UTC) == told


@given(st.decimals(-(10**9), 10**9, places=2))
def test_a_number_is_read_with_either_decimal_sign(value: object) -> None:
    english, russian = f"{value:,}", f"{value:,}".translate(str.maketrans(",.", "\u00a0,"))
    german = f"{value:,}".translate(str.maketrans(",.", ".,"))
    assert read_number(english, "n", Style(decimal=".")) == float(str(value))
    assert read_number(russian, "n") == float(str(value))
    assert read_number(german, "n", Style(decimal=",")) == float(str(value))


@pytest.mark.parametrize(
    ("cell", "decimal", "told"),
    [
        ("1,234", "", None),
        ("1,234", ".", "1234"),
        ("1,234", ",", "1.234"),
        ("1.234", "", "1.234"),
        ("1.234", ",", "1234"),
        ("1,5", "", "1.5"),
        ("1,5", ".", None),
        ("12,34,567", "", None),
        ("1,234,567", "", "1234567"),
        ("1.234.567,8", "", "1234567.8"),
        ("1e9", "", None),
        ("٣", "", None),
        ("", "", None),
        ("nan", "", None),
    ],
)
def test_numbers_that_may_be_two_are_asked_for(cell: str, decimal: str, told: str | None) -> None:
    assert plain_number(cell, Style(decimal=decimal)) == told


@given(st.integers(-(10**11) + 1, 10**11 - 1), st.sampled_from([".", ","]))
def test_amounts_are_exact(cents: int, decimal: str) -> None:
    sign = "-" if cents < 0 else ""
    cell = f"{sign}{abs(cents) // 100}{decimal}{abs(cents) % 100:02}"
    assert minor_units(cell, Surroundings(UTC, 2, Style())) == cents


@pytest.mark.parametrize("cell", ["1.005", "1e3", "", "999999999999", "--1"])
def test_what_is_no_amount_is_refused(cell: str) -> None:
    with pytest.raises(LineRefusedError):
        minor_units(cell, Surroundings(UTC, 2, Style()))
