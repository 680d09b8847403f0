"""Main group beside control group, as the comparison's rows."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

from flask_babel import gettext as _

from envoi.mailings.lift import Group, Lift
from envoi.mailings.statistics import Difference
from envoi.webkit.formats import money, number, percent, signed


def groups(lift: Lift) -> dict[str, Any] | None:
    """The comparison of the groups; None without a control group."""
    if not lift.control.customers:
        return None
    rows = [_customers_row(lift), _buyers_row(lift)]
    if lift.conversion is not None:
        rows += _money_rows(lift)
    low, high = _axis(rows)
    if lift.is_open:
        rows = [_without_verdict(row) for row in rows]
    return {"rows": rows, "low": low, "high": high, "since": lift.since, "until": lift.until}


def _without_verdict(row: dict[str, Any]) -> dict[str, Any]:
    """Looked at again and again, some moment would look significant by chance."""
    return {name: value for name, value in row.items() if name not in ("p", "significant")}


def _money_rows(lift: Lift) -> list[dict[str, Any]]:
    main, control = lift.main, lift.control
    receipt = (main.average_receipt, control.average_receipt, lift.average_receipt)
    each = (main.revenue_per_customer, control.revenue_per_customer, lift.revenue_per_customer)
    whole = (main.revenue, lift.expected_revenue, lift.revenue)
    return [
        {"label": _("Average receipt")} | _money_row(*receipt),
        {"label": _("Revenue per customer")} | _money_row(*each),
        {
            "label": _("Revenue"),
            "note": _("against what was to be expected"),
            "control_note": _("expected"),
        }
        | _money_row(*whole),
    ]


def _customers_row(lift: Lift) -> dict[str, Any]:
    return {
        "label": _("Customers"),
        "main": number(lift.main.customers),
        "control": number(lift.control.customers),
    }


def _buyers_row(lift: Lift) -> dict[str, Any]:
    def figure(group: Group) -> str:
        return percent(group.conversion, 2) if lift.conversion else number(group.buyers)

    row = {
        "label": _("Buyers"),
        "note": _("conversion to purchase"),
        "main": figure(lift.main),
        "control": figure(lift.control),
    }
    if lift.conversion is None:
        return row
    found = lift.conversion
    scaled = [signed(round(value * 100, 2), 2) for value in (found.value, found.low, found.high)]
    return row | {
        "main_note": number(lift.main.buyers),
        "control_note": number(lift.control.buyers),
        "difference": _("%(points)s pp", points=scaled[0]),
        "interval": f"{scaled[1]} … {scaled[2]}",
        **_relative(found, lift.control.conversion),
    }


def _money_row(
    main: float | None, control: float | None, found: Difference | None
) -> dict[str, Any]:
    row: dict[str, Any] = {"main": _money(main), "control": _money(control)}
    if found is None:
        return row
    interval = " … ".join(_plus(value, unit=False) for value in (found.low, found.high))
    return row | {
        "difference": _plus(found.value),
        "interval": interval,
        **_relative(found, control),
    }


def _relative(found: Difference, base: float | None) -> dict[str, Any]:
    """Where the interval stands on the axis all rows share, and the verdict with its p."""
    p = "p < 0.001" if found.p < 0.001 else f"p = {number(found.p, 3 if found.p < 0.1 else 2)}"
    verdict = {"significant": found.is_significant, "p": p}
    if not base:
        return verdict
    return verdict | {"at": found.value / base, "from": found.low / base, "to": found.high / base}


def _axis(rows: list[dict[str, Any]]) -> tuple[float, float]:
    ends = [row[end] for row in rows if "at" in row for end in ("from", "to")]
    low = floor(min([-0.1, *ends]) * 10) / 10
    high = ceil(max([0.1, *ends]) * 10) / 10
    return max(low, -1.0), min(high, 3.0)


def _money(minor: float | None, *, unit: bool = True) -> str:
    return money(None if minor is None else round(minor), unit=unit)


def _plus(minor: float, *, unit: bool = True) -> str:
    return ("+" if round(minor) > 0 else "") + _money(minor, unit=unit)
