"""Months, weeks and days of the calendar in the employee's language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from babel import dates
from flask_babel import get_locale
from flask_babel import gettext as _

from envoi.webkit.formats import day


def month_name(first: date) -> str:
    """November 2026."""
    name = dates.format_date(first, "LLLL y", locale=get_locale())
    return name[:1].upper() + name[1:]


def week_name(days: Sequence[date]) -> str:
    """Week 48: 23 Nov – 29 Nov 2026."""
    first = dates.format_date(days[0], "d MMM", locale=get_locale())
    number = days[0].isocalendar().week
    return str(
        _("Week %(number)s: %(first)s – %(last)s", number=number, first=first, last=day(days[-1]))
    )


def weekday_name(value: date) -> str:
    """Thu."""
    return dates.format_date(value, "ccc", locale=get_locale())


def full_day(value: date) -> str:
    """Thu 26 Nov."""
    return dates.format_date(value, "ccc d MMM", locale=get_locale())
