"""The days that a report's charts show, chosen in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from envoi.mailings.report import MailingReport
from envoi.webkit import current


@dataclass(frozen=True)
class Period:
    """Some days of a report, both ends included; `chosen` where they are not all of them."""

    first: date
    last: date
    chosen: bool

    @property
    def days(self) -> list[date]:
        """Every day of the period."""
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    def __contains__(self, day: date) -> bool:
        """Whether a day is shown."""
        return self.first <= day <= self.last


def whole(report: MailingReport) -> Period:
    """From the launch to now or to the end of the window, and whatever was counted besides."""
    zone = current.company.zone
    counted = [day.day for day in report.sales.days]
    first = min([report.launched_at.astimezone(zone).date(), *counted])
    window = report.launched_at + timedelta(days=report.attribution_days)
    last = max([min(report.as_of, window).astimezone(zone).date(), first, *counted])
    return Period(first, last, chosen=False)


def period_of(report: MailingReport, arguments: Mapping[str, str]) -> Period:
    """Read the chosen days; what cannot be read, or lies outside, is not chosen."""
    every = whole(report)
    opened = [hour.day for hour in report.opens]
    latest = max([every.last, *opened])
    first = _day(arguments.get("day_from", "")) or every.first
    last = _day(arguments.get("day_to", "")) or latest
    first, last = max(first, every.first), min(last, latest)
    chosen = first <= last and (first, last) != (every.first, latest)
    return Period(first, last, chosen=True) if chosen else every


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
