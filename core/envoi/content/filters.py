"""The filters marketers may use in templates; each bounds what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

MAX_TEXT = 20_000
"""Characters that one value inside a template may hold."""

MAX_URL_TEXT = 2_000
MAX_NUMBER = 10**15

_DATE_CODE = re.compile(r"%([dmYyHM])")


def bounded(value: str) -> str:
    """Refuse a text that has grown too long to work on."""
    if len(value) > MAX_TEXT:
        raise SecurityError(f"a value is longer than {MAX_TEXT:,} characters")
    return value


def text(value: Any) -> str:
    """A value as people read it; nothing, lists and trees are empty."""
    if type(value) is str:
        return value if len(value) <= MAX_TEXT else bounded(value)
    if isinstance(value, str):
        return bounded(str(value))
    if isinstance(value, float) and value.is_integer():
        return format(value, ".0f")
    if isinstance(value, (int, float, Decimal, date)):
        return str(value)
    return ""


def decimal(value: Any) -> Decimal:
    """A value as a number of a sane size: printing `1e999999999` in full would fill the memory."""
    number = Decimal(text(value))
    if abs(number) > MAX_NUMBER:
        raise SecurityError("a number is too large")
    return number


def is_empty(value: Any) -> bool:
    """Whether marketers would call this value missing."""
    return value is None or isinstance(value, Undefined) or value == ""


def _default(value: Any, fallback: Any = "") -> Any:
    return fallback if is_empty(value) else value


def _capitalize(value: Any) -> str:
    return text(value).capitalize()


def _truncate(value: Any, length: int = 50, end: str = "…") -> str:
    plain = text(value)
    if len(plain) <= length:
        return plain
    return plain[: max(0, length - len(end))].rstrip() + end


def _urlencode(value: Any) -> str:
    plain = text(value)
    if len(plain) > MAX_URL_TEXT:
        raise SecurityError(f"urlencode takes at most {MAX_URL_TEXT:,} characters")
    return quote(plain, safe="")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list, tuple, dict)) else 0


def _join(values: Any, separator: str = ", ") -> str:
    if not isinstance(values, (list, tuple)):
        return text(values)
    return concat(part for n, v in enumerate(values) for part in ((separator, v) if n else (v,)))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (str, list, tuple)) and value else ""


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, (str, list, tuple)) and value else ""


def _round(value: Any, digits: int = 0) -> Any:
    return "" if is_empty(value) else round(decimal(value), min(max(digits, 0), 9))


def _number(
    value: Any, digits: int = 0, group: str = "\N{NO-BREAK SPACE}", point: str = ","
) -> str:
    if is_empty(value):
        return ""
    plain = format(decimal(value), f",.{min(max(digits, 0), 9)}f")
    return plain.replace(",", "\0").replace(".", point).replace("\0", group)


def _date(value: Any, pattern: str = "%d.%m.%Y") -> str:
    if is_empty(value):
        return ""
    moment = value if isinstance(value, date) else datetime.fromisoformat(text(value))
    return _DATE_CODE.sub(lambda code: moment.strftime(code[0]), pattern)


def _plural(value: Any, one: str, few: str, many: str = "") -> str:
    """Choose the form for a number: two forms as in English, three as in Russian."""
    number = abs(int(decimal(text(value) or "0")))
    if not many:
        return one if number == 1 else few
    if number % 10 == 1 and number % 100 != 11:
        return one
    return few if 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14 else many


def _replace(value: Any, old: str, new: str) -> str:
    plain = text(value)
    if plain.count(old) * len(new) > MAX_TEXT:
        raise SecurityError(f"a value would grow over {MAX_TEXT:,} characters")
    return plain.replace(old, new)


def concat(values: Any) -> str:
    """Join values, giving up as soon as the text is too long."""
    parts, size = [], 0
    for value in values:
        part = text(value)
        size += len(part)
        if size > MAX_TEXT:
            raise SecurityError(f"a value would grow over {MAX_TEXT:,} characters")
        parts.append(part)
    return "".join(parts)


FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _capitalize,
    "date": _date,
    "default": _default,
    "first": _first,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": lambda value: text(value).lower(),
    "number": _number,
    "plural": _plural,
    "replace": _replace,
    "round": _round,
    "title": lambda value: text(value).title(),
    "trim": lambda value: text(value).strip(),
    "truncate": _truncate,
    "upper": lambda value: text(value).upper(),
    "urlencode": _urlencode,
}
