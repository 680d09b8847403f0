"""Numbers, money, dates and the core's words by the employee's language and company's zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from zoneinfo import ZoneInfo

from babel import dates, numbers
from flask import Flask
from flask_babel import get_locale, gettext

from envoi.webkit import sentences
from envoi.webkit.current import current

NO_VALUE = "–"
_THIN = "\u202f"
_FIXED = "\u00a0"


def init_app(app: Flask) -> None:
    """Make the formats available in templates as filters."""
    filters = (number, money, percent, points, signed, day, moment, clock, abbreviated, translated)
    app.jinja_env.filters.update({function.__name__: function for function in filters})


def _locale() -> str:
    return str(get_locale() or "en")


def _polished(text: str) -> str:
    """Give a number the true minus and, in Russian, the narrow space between thousands."""
    return text.replace("-", "−").replace(_FIXED, _THIN if _locale().startswith("ru") else _FIXED)


def translated(text: str, labels: Mapping[str, str] = MappingProxyType({})) -> str:
    """A text that comes from a variable in the employee's language, or as it is.

    Codes of columns and channels in it are named by the labels given.
    Unlike `_()` in a template it takes the text for a text: `%` stays and HTML is escaped.
    """
    return sentences.said(text, labels) if text else ""


def number(value: float | Decimal | None, decimals: int | None = None) -> str:
    """13,257 or 27.78; `decimals` fixes how many digits follow the point."""
    if value is None:
        return NO_VALUE
    pattern = None if decimals is None else "#,##0" + ("." + "0" * decimals if decimals else "")
    return _polished(numbers.format_decimal(value, format=pattern, locale=_locale()))


def signed(value: float | Decimal | None, decimals: int | None = None) -> str:
    """A difference with its sign, zero without."""
    if value is None:
        return NO_VALUE
    return ("+" if value > 0 else "") + number(value, decimals)


def percent(share: float | Decimal | None, decimals: int = 1) -> str:
    """0.431 as 43.1 %, with a space that does not break."""
    return NO_VALUE if share is None else number(share * 100, decimals) + _FIXED + "%"


def points(difference: float | Decimal | None) -> str:
    """A difference of two shares in percentage points: 0.0321 as +3.21."""
    return NO_VALUE if difference is None else signed(float(difference) * 100, 2)


def money(minor: int | None, currency: str | None = None, *, unit: bool = True) -> str:
    """Minor units as an amount; `unit=False` leaves the sign out, for tables."""
    if minor is None:
        return NO_VALUE
    code = currency or current.company.currency
    places = numbers.get_currency_precision(code)
    amount = Decimal(minor).scaleb(-places)
    if not unit:
        return number(amount, places)
    return _with_sign(amount, code)


def price(amount: Decimal) -> str:
    """An amount in the company's currency with all its digits, such as what one message costs."""
    return _with_sign(amount, current.company.currency, exact=True)


def abbreviated(value: int | None) -> str:
    """421 k, and 1.5 k below ten, for the calendar only."""
    if value is None:
        return NO_VALUE
    steps = ((1_000_000, gettext("M")), (1_000, gettext("k")))
    size, letter = next(((size, letter) for size, letter in steps if value >= size), (1, ""))
    scaled = round(value / size, 1) if size < value < 10 * size else round(value / size)
    return number(scaled) + (_FIXED + letter if letter else "")


def _with_sign(amount: Decimal, code: str, *, exact: bool = False) -> str:
    text = numbers.format_currency(amount, code, locale=_locale(), decimal_quantization=not exact)
    head, _, sign = text.rpartition(_FIXED)
    return _polished(head) + _FIXED + sign if head else _polished(text)


def _zoned(value: datetime, zone: ZoneInfo | None) -> datetime:
    return value.astimezone(zone or current.company.zone)


def _zone_name(value: datetime) -> str:
    name = value.tzname() or "UTC"
    return name if name.isalpha() else f"UTC{name.replace('-', '−')}"


def day(value: date | datetime | None, zone: ZoneInfo | None = None) -> str:
    """24 Nov 2026, in the company's zone."""
    if value is None:
        return NO_VALUE
    local = _zoned(value, zone).date() if isinstance(value, datetime) else value
    return dates.format_date(local, "d MMM y", locale=_locale())


def clock(value: datetime | None, zone: ZoneInfo | None = None) -> str:
    """10:00, in the company's zone."""
    return NO_VALUE if value is None else _zoned(value, zone).strftime("%H:%M")


def moment(value: datetime | None, zone: ZoneInfo | None = None) -> str:
    """24 Nov 2026, 10:00 CET, in the company's zone."""
    if value is None:
        return NO_VALUE
    local = _zoned(value, zone)
    return f"{day(value, zone)}, {local.strftime('%H:%M')} {_zone_name(local)}"
