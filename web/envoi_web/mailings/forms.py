"""Reads the forms of the mailing editor; what is wrong becomes a problem at its field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from envoi.errors import Problem, ValidationFailedError
from envoi.mailings.audience import EVERYBODY

Form = MultiDict[str, str]

_MOST_DIGITS = 18


def version_of(form: Form) -> int:
    """Return the version of the mailing that the editor saw."""
    return form.get("version", 0, type=int)


def who_changes(form: Form) -> dict[str, Any]:
    """Read the first step, or the part of it that a form has: source, exclusions, control group."""
    changes = source_of(form.get("source", ""))
    if "policy_id" in form:
        changes |= {
            "policy_id": form.get("policy_id", None, type=int),
            "category_id": form.get("category_id", None, type=int),
            "one_per_address": form.get("one_per_address") == "1",
        }
    if "control_share" in form:
        changes["control_share"] = _share(form["control_share"])
        changes["control_audience_id"] = _control_audience(form)
    return changes


def source_of(text: str) -> dict[str, Any]:
    """Read who is to get a mailing: `segment:12`, `audience:3`, `all`, or nothing yet."""
    kind, _colon, number = text.partition(":")
    if kind == "all":
        return {"tree": dict(EVERYBODY)}
    if kind in ("segment", "audience") and number.isdecimal() and len(number) <= _MOST_DIGITS:
        return {f"{kind}_id": int(number)}
    return {}


def content_of(form: Form, fields: Mapping[str, Any]) -> dict[str, str]:
    """Read the second step: every field that the channel's content has and the form gives."""
    return {name: form[name].replace("\r\n", "\n") for name in fields if name in form}


def typed_number(form: Form, name: str = "typed") -> int | None:
    """Return the number a person typed; separators and spaces do not matter."""
    digits = "".join(c for c in form.get(name, "") if c.isdecimal())
    return int(digits) if 0 < len(digits) <= _MOST_DIGITS else None


def _control_audience(form: Form) -> int | None:
    """Return the audience that gets nothing; just switched to, it is chosen next."""
    if form.get("control") != "audience" or "control_audience_id" not in form:
        return None
    chosen = form.get("control_audience_id", None, type=int)
    if chosen is None:
        problem = _("Choose the target audience that is to get nothing, or take a share.")
        raise ValidationFailedError([Problem("control_audience_id", problem)])
    return chosen


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


def typed(form: Form | None) -> dict[str, str]:
    """Return what a person typed into a form that was refused; nothing for any other field."""
    return defaultdict(str, form.to_dict() if form else {})
