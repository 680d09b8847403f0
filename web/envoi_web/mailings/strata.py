"""Stratification on the page: the dialog's fields, and characteristics in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from envoi.audience.choices import common_cities, common_zones, stratified_fields
from envoi.audience.estimate import Share
from envoi.audience.strata import (
    MOST_VALUES,
    PERIODS,
    Characteristic,
    Value,
    read_strata,
    write_values,
)
from envoi.audience.volume import Volume
from envoi.customers.models import CustomField, FieldType
from envoi.errors import Problem, ValidationFailedError
from envoi.mailings.audience import balance_of
from envoi.mailings.models import Mailing
from envoi.webkit.formats import day, number

USUAL_AGES = "18, 30, 45, 60"
USUAL_CITIES = 5


@dataclass(frozen=True)
class Offer:
    """A characteristic that the dialog offers; `given` are its bands as a person types them."""

    key: str
    label: str
    chosen: bool
    kind: str = ""
    given: str = ""
    hint: str = ""


def offers(session: Session, mailing: Mailing) -> list[Offer]:
    """Return what the dialog offers, with what is chosen."""
    chosen = {_key(read): read for read in read_strata(mailing.strata)}
    return [_offer(offer, chosen.get(offer.key)) for offer in _all(session, mailing.tenant_id)]


def strata_of(session: Session, tenant_id: int, form: MultiDict[str, str]) -> list[str]:
    """Read the dialog: every characteristic with its bands or values, as it is stored."""
    fields = {field.code: field for field in stratified_fields(session, tenant_id)}
    strata = []
    for key in form.getlist("strata"):
        given = ", ".join(part for part in form.get(f"given.{key}", "").split(",") if part.strip())
        if key.startswith("field:") and key[6:] in fields:
            strata.append(_written_field(fields[key[6:]], given))
        else:
            strata.append(_written(session, tenant_id, key, given))
    return strata


def characteristic_words(read: Characteristic, fields: dict[str, str]) -> str:
    """Name a characteristic."""
    names = {
        "gender": _("Gender"),
        "age": _("Age band"),
        "registered": _("Registered in"),
        "city": _("City"),
        "zone": _("Time zone"),
    }
    return names.get(read.kind) or fields.get(read.code_name, read.code_name)


def value_words(value: Value) -> str:
    """Say a value of a characteristic."""
    words = {
        "missing": _("Not stated"),
        "others": _("Others"),
        "yes": _("Yes"),
        "no": _("No"),
        "not_stated": _("Not stated"),
        "female": _("Female"),
        "male": _("Male"),
    }
    if value.kind == "band":
        return _band_words(value)
    return words.get(value.text if value.kind == "gender" else value.kind) or value.text


def balance_rows(
    mailing: Mailing, fields: dict[str, str]
) -> list[tuple[str, list[tuple[str, Share]]]]:
    """Return both groups by every characteristic, with words for each value."""
    volume = Volume.from_document(mailing.volume)
    if volume is None or not volume.control:
        return []
    on = volume.computed_at.date()
    shares = [shares for _name, shares in balance_of(mailing, volume)]
    return [
        (
            characteristic_words(read, fields),
            [(value_words(read.value(share.code, on)), share) for share in found],
        )
        for read, found in zip(read_strata(mailing.strata), shares, strict=False)
    ]


def field_labels(session: Session, tenant_id: int) -> dict[str, str]:
    """Return the labels of custom attributes by their codes."""
    return {field.code: field.label for field in stratified_fields(session, tenant_id)}


def _all(session: Session, tenant_id: int) -> Iterator[Offer]:
    bands = _("Where a band begins, separated by commas.")
    yield Offer("gender", _("Gender"), False)
    yield Offer("age", _("Age"), False, "text", USUAL_AGES, bands)
    yield Offer("registered", _("Registration date"), False, "period", "quarter")
    most = _("How many of the largest; the rest is one more.")
    yield Offer("city", _("City"), False, "number", str(USUAL_CITIES), most)
    yield Offer("zone", _("Time zone"), False, "number", str(USUAL_CITIES), most)
    for field in stratified_fields(session, tenant_id):
        banded = field.type in (FieldType.NUMBER, FieldType.DATE)
        example = _("For example 2025-01-01, 2026-01-01.") if field.type == FieldType.DATE else ""
        hint = f"{bands} {example}".strip() if banded else ""
        yield Offer(f"field:{field.code}", field.label, False, "text" if banded else "", "", hint)


def _offer(offer: Offer, chosen: Characteristic | None) -> Offer:
    if chosen is None:
        return offer
    given = offer.given
    if chosen.kind in ("city", "zone"):
        given = str(len(chosen.values))
    elif chosen.kind == "registered":
        given = chosen.values[0]
    elif chosen.bounds:
        given = ", ".join(_plain(bound) for bound in chosen.bounds)
    return Offer(offer.key, offer.label, True, offer.kind, given, offer.hint)


def _key(read: Characteristic) -> str:
    return f"field:{read.code_name}" if read.kind == "field" else read.kind


def _plain(bound: Any) -> str:
    return bound.isoformat() if isinstance(bound, date) else f"{bound:g}"


def _written(session: Session, tenant_id: int, key: str, given: str) -> str:
    if key == "age":
        return "age:" + ",".join(part.strip() for part in (given or USUAL_AGES).split(","))
    if key == "registered":
        return f"registered:{given if given in PERIODS else 'quarter'}"
    if key not in ("city", "zone"):
        return key
    count = int(given) if given.isdecimal() and len(given) < 4 else USUAL_CITIES
    common = common_cities if key == "city" else common_zones
    values = common(session, tenant_id, max(1, min(count, MOST_VALUES)))
    if not values:
        raise _problem(key, _("No customer has one yet. Leave this characteristic out."))
    return write_values(key, values)


def _written_field(field: CustomField, given: str) -> str:
    key = f"field:{field.code}"
    if field.type == FieldType.CHOICE:
        if not field.choices:
            raise _problem(key, _("This attribute has no choices yet. Leave it out."))
        return write_values(key, field.choices[:MOST_VALUES])
    if field.type == FieldType.YES_NO:
        return key
    if not given:
        problem = _(
            "Enter where the bands of %(name)s begin, for example 10, 20.", name=field.label
        )
        raise _problem(key, problem)
    return f"{key}:{','.join(part.strip() for part in given.split(','))}"


def _problem(key: str, message: str) -> ValidationFailedError:
    return ValidationFailedError([Problem(f"given.{key}", message)])


def _band_words(value: Value) -> str:
    if value.low is None and isinstance(value.high, float):
        said = _("Under %(value)s", value=_bound_words(value.high))
    elif value.low is None:
        said = _("Before %(value)s", value=_bound_words(value.high))
    elif value.high is None:
        said = _("%(value)s and over", value=_bound_words(value.low))
    elif isinstance(value.low, float) and isinstance(value.high, float):
        said = _range_words(value.low, value.high)
    else:
        said = _("From %(value)s", value=_bound_words(value.low))
    return str(said)


def _range_words(low: float, high: float) -> str:
    """Whole bounds end one below the next, as people say ages."""
    if low.is_integer() and high.is_integer():
        last = int(high) - 1
        return number(int(low)) if last == low else f"{number(int(low))}–{number(last)}"
    return str(_("%(low)s to below %(high)s", low=number(low), high=number(high)))


def _bound_words(bound: Any) -> str:
    return day(bound) if isinstance(bound, date) else number(bound)
