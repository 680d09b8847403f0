"""The form of a customer: what was typed is never lost, whatever happened meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.customers.editing import field_name, seen_mark, texts_of, update_customer
from envoi.customers.fields import Field
from envoi.customers.models import FieldType
from envoi.customers.profile import Profile, customer_profile
from envoi.errors import ConflictError, Problem, ValidationFailedError
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.customers.blueprint import customers
from envoi_web.customers.context import GENDERS, full_name

LABELS = {
    "first_name": lazy_gettext("First name"),
    "middle_name": lazy_gettext("Middle name"),
    "last_name": lazy_gettext("Last name"),
    "gender": lazy_gettext("Gender"),
    "birth_date": lazy_gettext("Birth date"),
    "registered_on": lazy_gettext("Registered on"),
    "city": lazy_gettext("City"),
    "time_zone": lazy_gettext("Time zone"),
    "email": lazy_gettext("Email"),
    "phone": lazy_gettext("Phone"),
}


@customers.get("/<int:customer_id>/edit")
@permission("customers.edit")
def edit(customer_id: int) -> Response:
    """Show the form of a customer."""
    with current.session() as session:
        found = customer_profile(session, current.tenant_id, customer_id)
    return _form(found, texts_of(found), seen_mark(found.customer))


@customers.post("/<int:customer_id>/edit")
@permission("customers.edit")
def save(customer_id: int) -> Response:
    """Change a customer, or show the form again with what was typed."""
    typed = {name: text for name, text in request.form.items() if name != "csrf_token"}
    seen = typed.pop("seen", "")
    try:
        with current.session() as session:
            update_customer(session, current.tenant_id, customer_id, seen=seen, texts=typed)
    except ValidationFailedError as error:
        return _form(_load(customer_id), typed, seen, error.problems, status=422)
    except ConflictError:
        found = _load(customer_id)
        return _form(found, typed, seen_mark(found.customer), status=409)
    toast(_("Customer saved."))
    return see_other(url_for("customers.profile", customer_id=customer_id))


def _load(customer_id: int) -> Profile:
    with current.session() as session:
        return customer_profile(session, current.tenant_id, customer_id)


def _form(
    found: Profile,
    typed: Mapping[str, str],
    seen: str,
    problems: tuple[Problem, ...] = (),
    status: int = 200,
) -> Response:
    name = full_name(found.customer)
    here = url_for("customers.profile", customer_id=found.customer.id)
    stored = texts_of(found)
    return page(
        "customers/edit.html",
        status=status,
        profile=found,
        name=name,
        texts={**stored, **typed},
        stored=stored,
        differing=_differing(found, typed, stored) if status == 409 else [],
        seen=seen,
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
        genders=[(str(int(gender)), label) for gender, label in GENDERS.items()],
        zones=[
            ("", _("as the company")),
            *((zone, zone) for zone in sorted(available_timezones())),
        ],
        groups=_groups(found),
        crumbs=[(_("Customers"), url_for("customers.index")), (name, here), (_("Edit"), "")],
    )


def _differing(
    found: Profile, typed: Mapping[str, str], stored: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Each value that was typed and is another now: its label, what was typed, what is stored."""
    labels = {name: str(label) for name, label in LABELS.items()}
    labels |= {field_name(field): field.label for field, _value in found.fields}
    return [
        (label, typed[name], stored[name])
        for name, label in labels.items()
        if name in typed and typed[name].strip() != stored[name]
    ]


def _groups(found: Profile) -> dict[str, list[dict[str, Any]]]:
    """The custom fields by group, each with what its input needs."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for field, _value in found.fields:
        entry: dict[str, Any] = {
            "name": field_name(field),
            "label": field.label,
            "options": _options(field),
        }
        entry["type"] = "date" if field.type == FieldType.DATE else "text"
        entry["mode"] = {"inputmode": "decimal"} if field.type == FieldType.NUMBER else {}
        groups.setdefault(field.group, []).append(entry)
    return groups


def _options(field: Field) -> list[tuple[str, str]]:
    if field.type == FieldType.YES_NO:
        return [("", _("Not stated")), ("yes", _("Yes")), ("no", _("No"))]
    if field.type == FieldType.CHOICE:
        return [("", _("Not stated")), *((choice, choice) for choice in field.choices)]
    return []
