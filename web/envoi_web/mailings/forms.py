"""Reads the forms of the mailing editor; what is wrong becomes a problem at its field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from envoi.errors import Problem, ValidationFailedError
from envoi.mailings.changes import MAX_ATTRIBUTION_DAYS, MAX_LIFETIME_MINUTES
from envoi.webkit.formats import number

Form = MultiDict[str, str]

_MOST_DIGITS = 18


def version_of(form: Form) -> int:
    """Return the version of the mailing that the editor saw."""
    return form.get("version", 0, type=int)


def who_changes(form: Form) -> dict[str, Any]:
    """Read the first step: segment, policy, category, control group."""
    return {
        "segment_id": form.get("segment_id", None, type=int),
        "policy_id": form.get("policy_id", None, type=int),
        "control_share": _share(form.get("control_share", "0")),
        "strata": form.getlist("strata"),
        "one_per_address": form.get("one_per_address") == "1",
    }


def content_of(form: Form, fields: Mapping[str, Any]) -> dict[str, str]:
    """Read the second step: every field that the channel's content has and the form gives."""
    return {name: form[name].replace("\r\n", "\n") for name in fields if name in form}


def when_changes(form: Form, zone: ZoneInfo) -> dict[str, Any]:
    """Read the third step: start in the company's zone, lifetime, attribution."""
    changes: dict[str, Any] = {
        "attribution_days": _whole(form, "attribution_days", range(MAX_ATTRIBUTION_DAYS + 1)),
        "lifetime_minutes": 60
        * _whole(form, "lifetime_hours", range(1, MAX_LIFETIME_MINUTES // 60 + 1)),
        "starts_at": None,
    }
    if form.get("start") == "later":
        changes["starts_at"] = _moment(form.get("date", ""), form.get("time", ""), zone)
    return changes


def typed_number(form: Form) -> int | None:
    """Return the number a person typed; separators and spaces do not matter."""
    digits = "".join(c for c in form.get("typed", "") if c.isdecimal())
    return int(digits) if 0 < len(digits) <= _MOST_DIGITS else None


def _share(text: str) -> float:
    try:
        share = float(text.replace(",", ".").replace("%", "").strip() or 0)
    except ValueError:
        share = -1
    if not 0 <= share <= 50:
        raise ValidationFailedError(
            [
                Problem(
                    "control_share", _("Enter a share from 0 to 50 per cent, for example 7 or 7.5.")
                )
            ]
        )
    return round(share, 1)


def _whole(form: Form, name: str, allowed: range) -> int:
    found = form.get(name, None, type=int)
    if found is None or found not in allowed:
        bounds = {"low": number(allowed.start), "high": number(allowed.stop - 1)}
        problem = _("Enter a whole number from %(low)s to %(high)s.", **bounds)
        raise ValidationFailedError([Problem(name, problem)])
    return found


def _moment(date: str, time: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(f"{date}T{time}").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        problem = _("Enter date and time of the start, or choose Now.")
        raise ValidationFailedError([Problem("date", problem)]) from None
    if moment <= datetime.now(UTC):
        problem = _("This moment has passed. Choose a later one, or choose Now.")
        raise ValidationFailedError([Problem("date", problem)])
    return moment
