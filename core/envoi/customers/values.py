"""Cells read as dates, moments and numbers, in every form that people's programs write."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from envoi.customers.csv_reader import LineRefusedError

_LONGEST_TEXT = 1_000
_YEARS = range(1800, 2201)
_SERIAL_ZERO = datetime(1899, 12, 30)
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_DATE = re.compile(
    r"(?P<iso>[0-9]{4})-(?P<iso_month>[0-9]{1,2})-(?P<iso_day>[0-9]{1,2})"
    r"|(?P<day>[0-9]{1,2})\.(?P<month>[0-9]{1,2})\.(?P<year>[0-9]{4})(?:\s?г\.?)?"
    r"|(?P<one>[0-9]{1,2})/(?P<two>[0-9]{1,2})/(?P<slashed>[0-9]{4})"
    r"|(?P<worded_day>[0-9]{1,2})[ -](?P<word>[^\W\d_]{3,12})\.?[ -](?P<worded>[0-9]{4})"
    r"|(?P<compact>[0-9]{8})"
    r"|(?P<serial>[0-9]{5}(?:[.,][0-9]{1,12})?)"
)
_TIME = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]{1,9})?)?"
    r"\s?(?P<half>[AaPp][Mm])?\Z"
)
_MONTHS = {
    name: number
    for names in (
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "янв фев мар апр мая июн июл авг сен окт ноя дек",
        "янв фев мар апр май июн июл авг сен окт ноя дек",
    )
    for number, name in enumerate(names.split(), 1)
}
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?\Z", re.ASCII)
_COMMA_DECIMAL = re.compile(r"[+-]?[0-9]{1,15},(?:[0-9]{1,2}|[0-9]{4,15})\Z", re.ASCII)
_GROUPED = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(?:[, '][0-9]{3})*(?:\.[0-9]{1,15})?\Z", re.ASCII),
    ",": re.compile(r"[+-]?[0-9]{1,3}(?:[. '][0-9]{3})*(?:,[0-9]{1,15})?\Z", re.ASCII),
}
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009", " "))


class Style(NamedTuple):
    """What a file's dates like 03/04/2026 and numbers like 1,234 mean; None or "" is not known."""

    day_first: bool | None = None
    decimal: str = ""


UNKNOWN_STYLE = Style()


def read_text(cell: str, column: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text that fits, or refuse the line."""
    if len(cell) > longest:
        raise LineRefusedError(
            f"{column} has {len(cell):,} characters, at most {longest:,} fit. Shorten it."
        )
    return cell


def read_date(cell: str, column: str, style: Style = UNKNOWN_STYLE) -> str | None:
    """Return an ISO date that exists, None for an empty cell, or refuse the line."""
    if not cell:
        return None
    found = _moment(cell, column, style)
    return found.date().isoformat()


def read_moment(cell: str, column: str, zone: tzinfo, style: Style = UNKNOWN_STYLE) -> str:
    """Return an ISO moment, in the zone given where the cell has none, or refuse the line."""
    found = _moment(cell, column, style)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).isoformat()


def _moment(cell: str, column: str, style: Style) -> datetime:
    try:
        if _ISO_DATE.match(cell):
            found = datetime.fromisoformat(cell)
        else:
            found = _written(cell.translate(_SPACES), style) or datetime.fromisoformat(cell)
    except (ValueError, OverflowError):
        raise LineRefusedError(
            f"{column} is {cell[:40]!r}, no date. Write it like 1990-12-31."
        ) from None
    if found.year not in _YEARS:
        raise LineRefusedError(f"{column} is {cell[:40]!r}, a year that cannot be. Correct it.")
    return found


def _written(cell: str, style: Style) -> datetime | None:
    """Read the forms that are not ISO; None where the cell is none of them."""
    found = _DATE.match(cell)
    if not found:
        return None
    rest = cell[found.end() :].lstrip(" ,T")
    clock = _TIME.match(rest) if rest else None
    if (rest and not clock) or (rest and found["iso"]):
        return None
    if found["serial"]:
        days = float(found["serial"].replace(",", "."))
        return _SERIAL_ZERO + timedelta(seconds=round(days * 86_400)) if not rest else None
    return datetime.combine(_day(found, style), _clock(clock) if clock else time())


def _day(found: re.Match[str], style: Style) -> date:
    if found["iso"]:
        return date(int(found["iso"]), int(found["iso_month"]), int(found["iso_day"]))
    if found["day"]:
        return date(int(found["year"]), int(found["month"]), int(found["day"]))
    if found["compact"]:
        return date.fromisoformat(found["compact"])
    if found["word"]:
        month = _MONTHS.get(found["word"][:3].lower(), 0)
        return date(int(found["worded"]), month, int(found["worded_day"]))
    first, second = int(found["one"]), int(found["two"])
    if day_first(first, second, style) is None:
        raise LineRefusedError(
            f"{found[0]!r} may be two dates. Say in the mapping whether day or month comes first."
        )
    day, month = (first, second) if day_first(first, second, style) else (second, first)
    return date(int(found["slashed"]), month, day)


def day_first(first: int, second: int, style: Style) -> bool | None:
    """Tell whether the first number of a date with slashes is the day; None is not known."""
    if style.day_first is not None:
        return style.day_first
    if first == second or first > 12:
        return True
    return False if second > 12 else None


def _clock(found: re.Match[str]) -> time:
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + 12 * (found["half"].lower() == "pm")
    return time(hour, int(found["minute"]), int(found["second"] or 0))


def plain_number(cell: str, style: Style = UNKNOWN_STYLE) -> str | None:
    """Return a number with a decimal point and nothing else, or None where it is none."""
    if _PLAIN_NUMBER.match(cell) and style.decimal != ",":
        return cell
    cell = cell.translate(_SPACES)
    if style.decimal:
        decimals: tuple[str, ...] = (style.decimal,)
    elif _COMMA_DECIMAL.match(cell):
        return cell.replace(",", ".")
    else:
        decimals = _likely(cell)
    for decimal in decimals:
        if _GROUPED[decimal].match(cell) or _ungrouped(cell, decimal):
            kept = [
                sign for sign in cell if sign not in " '" and (sign == decimal or sign not in ".,")
            ]
            return "".join(kept).replace(",", ".")
    return None


def _likely(cell: str) -> tuple[str, ...]:
    """The decimal signs that a cell allows of which nothing more is known."""
    comma, point = cell.rfind(","), cell.rfind(".")
    if comma < 0:
        return (".",)
    if point < 0:
        return (".",) if cell.count(",") > 1 else (",",) if " " in cell else ()
    return (".",) if point > comma else (",",)


def _ungrouped(cell: str, decimal: str) -> bool:
    return bool(_PLAIN_NUMBER.match(cell.replace(decimal, ".", 1))) and (
        decimal == "." or "." not in cell
    )


def read_number(cell: str, column: str, style: Style = UNKNOWN_STYLE) -> float | None:
    """Return a number, None for an empty cell, or refuse the line."""
    if not cell:
        return None
    plain = plain_number(cell, style)
    if plain is None:
        raise LineRefusedError(f"{column} is {cell[:40]!r}, no number. Write it like 12.5.")
    return float(plain)
