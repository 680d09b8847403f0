"""The filters of the list of customers as they stand in the address, and as removable tags."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import isfinite

from flask_babel import gettext as _

from envoi.customers.search import MOST_DAYS, CustomerFilter
from envoi.webkit import current, page_url
from envoi.webkit.formats import day, number

LONGEST_SEARCH = 100
_LARGEST_SUM = 1e12
_NAMES = ("q", "product", "category", "days", "since", "until", "sum_from", "sum_to")

Tag = dict[str, str]


def wanted_of(args: Mapping[str, str]) -> CustomerFilter:
    """Read the filters; what cannot be read is taken for not given, days go before dates."""
    days = _whole(args.get("days", ""))
    return CustomerFilter(
        text=args.get("q", "").strip()[:LONGEST_SEARCH],
        product=_line(args, "product"),
        category=_line(args, "category"),
        days=days,
        since=_day(args.get("since", "")) if days is None else None,
        until=_day(args.get("until", "")) if days is None else None,
        sum_from=_amount(args.get("sum_from", "")),
        sum_to=_amount(args.get("sum_to", "")),
    )


def args_of(wanted: CustomerFilter) -> dict[str, str]:
    """Return the filters as parameters of the address, those that are given."""
    values = {
        "q": wanted.text,
        "product": wanted.product,
        "category": wanted.category,
        "days": wanted.days,
        "since": wanted.since,
        "until": wanted.until,
        "sum_from": _typed(wanted.sum_from),
        "sum_to": _typed(wanted.sum_to),
    }
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def tags_of(wanted: CustomerFilter) -> list[Tag]:
    """Say each filter, with the address without it."""
    words = {
        "q": _("Search: %(text)s", text=wanted.text),
        "product": _("Bought: %(product)s", product=wanted.product),
        "category": _("Bought in: %(category)s", category=wanted.category),
        "days": _("Last %(count)s days", count=number(wanted.days)),
        "since": _("From %(day)s", day=day(wanted.since)),
        "until": _("Until %(day)s", day=day(wanted.until)),
        "sum_from": _("Spent at least %(sum)s", sum=_money(wanted.sum_from)),
        "sum_to": _("Spent at most %(sum)s", sum=_money(wanted.sum_to)),
    }
    given = args_of(wanted)
    return [
        {"label": words[name], "remove_url": page_url(**{name: None})}
        for name in _NAMES
        if name in given
    ]


def _line(args: Mapping[str, str], name: str) -> str:
    return args.get(name, "").replace("\0", "").strip()[:LONGEST_SEARCH]


def _whole(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return None
    return min(int(text), MOST_DAYS)


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1900 <= found.year < 2200 else None


def _amount(text: str) -> float | None:
    try:
        amount = float(text.replace(",", "."))
    except ValueError:
        return None
    return amount if isfinite(amount) and abs(amount) < _LARGEST_SUM else None


def _typed(amount: float | None) -> str:
    return "" if amount is None else f"{amount:.15g}"


def _money(amount: float | None) -> str:
    return f"{number(amount)} {current.company.currency}"
