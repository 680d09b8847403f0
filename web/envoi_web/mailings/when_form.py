"""Reads the form of the third step, and shows stored settings as the form has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from flask_babel import gettext as _

from envoi.audience.window import COMPANY, SendingWindow
from envoi.delivery.prices import UNITS as PRICE_UNITS
from envoi.errors import NO_TIME, Problem, ValidationFailedError
from envoi.mailings.calendar import chosen_moment
from envoi.mailings.changes import (
    MAX_ATTRIBUTION_DAYS,
    MAX_BUDGET,
    MAX_LIFETIME_MINUTES,
    MAX_PER_MINUTE,
)
from envoi.mailings.models import Mailing
from envoi.webkit.formats import number
from envoi_web.clocks import clock_of, minute_of
from envoi_web.mailings.forms import Form

Parsed = TypeVar("Parsed")

_USUAL_DAYS = 14
_FIRST_SHOWN = {"window_from": "08:00", "window_until": "21:00"}

UNITS = {"days": 24 * 60, "hours": 60, "minutes": 1}


def when_changes(
    form: Form,
    zone: ZoneInfo,
    company: SendingWindow | None,
    currency: str,
    planned: datetime | None = None,
) -> dict[str, Any]:
    """Read the third step; every field that is wrong is told at once.

    Args:
        form: The form.
        zone: The company's time zone, in which the start is meant.
        company: The company's own sending window.
        currency: The currency of the least amount.
        planned: The start that the form showed.
    """
    reader = _Reader(form)
    changes: dict[str, Any] = {"starts_at": None, "watcher_group_id": None}
    if form.get("start") == "later":
        changes["starts_at"] = reader.moment(zone, planned)
    changes["lifetime_minutes"] = reader.lifetime()
    changes["limit_per_minute"] = reader.whole("limit_per_minute", 1, MAX_PER_MINUTE, optional=True)
    if "budget" in form:
        changes["budget"] = reader.budget()
    changes |= reader.window(company)
    changes |= reader.attribution()
    changes["attribution_conditions"] = reader.conditions(currency)
    changes["watcher_group_id"] = form.get("watcher_group_id", None, type=int)
    if reader.problems:
        raise ValidationFailedError(reader.problems)
    return changes


def when_values(mailing: Mailing, zone: ZoneInfo, currency: str) -> dict[str, str]:
    """Return what the form shows of a mailing; the twin of `when_changes`."""
    start = mailing.starts_at.astimezone(zone) if mailing.starts_at else None
    unit = next(u for u, minutes in UNITS.items() if mailing.lifetime_minutes % minutes == 0)
    window = SendingWindow.of(mailing.window_from, mailing.window_until, mailing.window_zone)
    wanted = mailing.attribution_conditions
    amount = wanted.get("min_amount")
    by_dates = mailing.attribution_until is not None
    return {
        "start": "later" if start else "now",
        "date": start.date().isoformat() if start else "",
        "time": start.strftime("%H:%M") if start else "10:00",
        "lifetime": str(mailing.lifetime_minutes // UNITS[unit]),
        "lifetime_unit": unit,
        "limit_per_minute": str(mailing.limit_per_minute or ""),
        "budget": shown_budget(mailing),
        "window": "own" if window else "none",
        "window_from": clock_of(window.start) if window else _FIRST_SHOWN["window_from"],
        "window_until": clock_of(window.end) if window else _FIRST_SHOWN["window_until"],
        "window_zone": mailing.window_zone,
        "attribution": "dates" if by_dates else "days" if mailing.attribution_days else "none",
        "attribution_days": str(mailing.attribution_days or _USUAL_DAYS),
        "attribution_from": _iso(mailing.attribution_from),
        "attribution_until": _iso(mailing.attribution_until),
        "min_items": str(wanted.get("min_items") or ""),
        "min_amount": str(Decimal(amount).scaleb(-_precision(currency))) if amount else "",
        "products": ", ".join(wanted.get("products", [])),
        "categories": ", ".join(wanted.get("categories", [])),
        "watcher_group_id": str(mailing.watcher_group_id or ""),
    }


def shown_budget(mailing: Mailing) -> str:
    """Return what a mailing may cost as it is typed."""
    return f"{Decimal(mailing.budget) / PRICE_UNITS:f}" if mailing.budget else ""


def read_budget(form: Form) -> int | None:
    """Read what a mailing may cost; nothing is any amount."""
    reader = _Reader(form)
    found = reader.budget()
    if reader.problems:
        raise ValidationFailedError(reader.problems)
    return found


class _Reader:
    """Reads fields one by one and collects what is wrong with them."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.problems: list[Problem] = []

    def whole(
        self, name: str, low: int, high: int, *, optional: bool = False, absent: str = ""
    ) -> int | None:
        """Read a whole number within bounds; `absent` stands for a field that is not there."""
        text = self.form.get(name, absent).strip()
        if optional and not text:
            return None
        digits = text if text.isascii() and text.isdecimal() and len(text) < 12 else ""
        if digits and low <= int(digits) <= high:
            return int(digits)
        bounds = {"low": number(low), "high": number(high)}
        self._refuse(name, _("Enter a whole number from %(low)s to %(high)s.", **bounds))
        return None

    def moment(self, zone: ZoneInfo, planned: datetime | None) -> datetime | None:
        """Read the start, which must be to come."""
        text = f"{self.form.get('date', '')}T{self.form.get('time', '')}"
        try:
            wanted = datetime.fromisoformat(text)
            moment = chosen_moment(wanted.date(), wanted.time(), zone, planned)
        except ValidationFailedError as error:
            self.problems.extend(error.problems)
            return None
        except (ValueError, OverflowError):
            self._refuse("date", _("Enter date and time of the start, or choose Now."))
            return None
        if moment <= datetime.now(UTC):
            problem = _("This moment has passed. Choose a later one, or choose Now.")
            self._refuse("date", problem)
            return None
        return moment

    def lifetime(self) -> int | None:
        """Read the lifetime in its unit."""
        unit = UNITS.get(self.form.get("lifetime_unit", ""), 60)
        found = self.whole("lifetime", 1, MAX_LIFETIME_MINUTES // unit)
        return found * unit if found else None

    def window(self, company: SendingWindow | None) -> dict[str, Any]:
        """Read the sending window: the company's, another one, or none."""
        chosen, zone = self.form.get("window", "none"), self.form.get("window_zone", COMPANY)
        window = company if chosen == "company" else None
        if chosen == "own":
            start, end = (self._minute(name) for name in ("window_from", "window_until"))
            window = SendingWindow.of(start, end, zone)
            if window is not None and start == end:
                self._refuse("window_from", _("The interval is empty. Choose another end."))
        return {
            "window_from": window.start if window else None,
            "window_until": window.end if window else None,
            "window_zone": window.zone if window else COMPANY,
        }

    def attribution(self) -> dict[str, Any]:
        """Read what purchases are attributed: within days, in a range of dates, or none."""
        chosen = self.form.get("attribution", "days")
        changes: dict[str, Any] = {
            "attribution_days": 0,
            "attribution_from": None,
            "attribution_until": None,
        }
        if chosen == "days":
            found = self.whole("attribution_days", 1, MAX_ATTRIBUTION_DAYS, absent=str(_USUAL_DAYS))
            changes["attribution_days"] = found
        if chosen == "dates":
            first, last = self._day("attribution_from"), self._day("attribution_until")
            if first and last and not 0 <= (last - first).days < MAX_ATTRIBUTION_DAYS:
                problem = _("The end is on or after the beginning, at most a year later.")
                self._refuse("attribution_until", problem)
            changes |= {"attribution_from": first, "attribution_until": last}
        return changes

    def conditions(self, currency: str) -> dict[str, Any]:
        """Read what a receipt must be to be attributed."""
        given = {
            "min_items": self.whole("min_items", 1, 1_000_000, optional=True),
            "min_amount": self._amount("min_amount", currency),
            "products": self._list("products"),
            "categories": self._list("categories"),
        }
        return {name: value for name, value in given.items() if value}

    def budget(self) -> int | None:
        """Read what the mailing may cost."""
        if not self.form.get("budget", "").strip():
            return None

        def units(text: str) -> int:
            amount = Decimal(text.replace(",", ".")) * PRICE_UNITS
            if not 1 <= amount <= MAX_BUDGET:
                raise ValueError(text)
            return int(amount.to_integral_value())

        return self._parsed("budget", units, _("Enter an amount such as 25 or 25.50."))

    def _minute(self, name: str) -> int | None:
        return self._parsed(name, minute_of, NO_TIME, _FIRST_SHOWN[name])

    def _day(self, name: str) -> date | None:
        late = timedelta(days=_USUAL_DAYS if name == "attribution_until" else 0)
        shown = (datetime.now(UTC).date() + late).isoformat()
        return self._parsed(name, date.fromisoformat, _("Enter a date."), shown)

    def _amount(self, name: str, currency: str) -> int | None:
        if not self.form.get(name, "").strip():
            return None

        def minor(text: str) -> int:
            amount = Decimal(text.replace(",", ".")).scaleb(_precision(currency))
            if not 0 < amount < 10**15:
                raise ValueError(text)
            return int(amount.to_integral_value())

        return self._parsed(name, minor, _("Enter an amount such as 25 or 25.50."))

    def _list(self, name: str) -> list[str]:
        parts = [part.strip()[:200] for part in self.form.get(name, "").split(",")]
        return list(dict.fromkeys(part for part in parts if part))[:500]

    def _parsed(
        self, name: str, parse: Callable[[str], Parsed], problem: str, absent: str = ""
    ) -> Parsed | None:
        """Read a field; `absent` is what it will show where the form does not have it yet."""
        try:
            return parse(self.form.get(name, absent).strip())
        except (ValueError, InvalidOperation, OverflowError):
            self._refuse(name, problem)
            return None

    def _refuse(self, name: str, problem: str) -> None:
        self.problems.append(Problem(name, problem))


def _precision(currency: str) -> int:
    return int(get_currency_precision(currency))


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""
