"""Fields of customers: those of the system, and the company's own with type, group and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.customers.field_settings import (
    COUNTED_UP_TO,
    FieldForm,
    create_field,
    get_field,
    list_fields,
    move_field,
    order_fields,
    update_field,
)
from envoi.customers.fields import delete_field
from envoi.customers.models import FieldType
from envoi.errors import Problem, ValidationFailedError
from envoi.webkit import current, page, permission, see_other, toast
from envoi_web.customers.edit import LABELS
from envoi_web.settings_pages.blueprint import settings

TYPES = {
    FieldType.TEXT: lazy_gettext("Text"),
    FieldType.NUMBER: lazy_gettext("Number"),
    FieldType.DATE: lazy_gettext("Date"),
    FieldType.YES_NO: lazy_gettext("Yes or no"),
    FieldType.CHOICE: lazy_gettext("Choice"),
}
_SYSTEM_DATES = ("birth_date", "registered_on")
_NAMES = ("label", "code", "type", "group", "choices")


@settings.get("/fields")
@permission("settings.data")
def fields() -> Response:
    """List the fields and offer to add one."""
    return _page(None, {})


@settings.get("/fields/<int:field_id>")
@permission("settings.data")
def field(field_id: int) -> Response:
    """Show the list with one field open for editing."""
    with current.session() as session:
        found = get_field(session, current.tenant_id, field_id)
    values = {
        "label": found.label,
        "code": found.code,
        "type": str(int(found.type)),
        "group": found.group,
        "choices": "\n".join(found.choices),
    }
    return _page(field_id, values)


@settings.post("/fields")
@permission("settings.data")
def add_field() -> Response:
    """Make a field."""
    return _save(None)


@settings.post("/fields/<int:field_id>")
@permission("settings.data")
def change_field(field_id: int) -> Response:
    """Change a field."""
    return _save(field_id)


@settings.post("/fields/<int:field_id>/move")
@permission("settings.data")
def shift_field(field_id: int) -> Response:
    """Move a field one place up or down."""
    steps = -1 if request.form.get("to") == "up" else 1
    with current.session() as session:
        move_field(session, current.tenant_id, field_id, steps)
    return see_other(url_for("settings.fields"))


@settings.post("/fields/order")
@permission("settings.data")
def arrange_fields() -> Response:
    """Put the fields into the order in which they were dragged."""
    ids = [int(part) for part in request.form.get("order", "").split(",") if _is_number(part)]
    with current.session() as session:
        order_fields(session, current.tenant_id, ids)
    return see_other(url_for("settings.fields"))


@settings.post("/fields/<int:field_id>/delete")
@permission("settings.data")
def remove_field(field_id: int) -> Response:
    """Delete a field with its values."""
    with current.session() as session:
        delete_field(session, current.tenant_id, field_id)
    toast(_("Field deleted."))
    return see_other(url_for("settings.fields"))


def _save(field_id: int | None) -> Response:
    values = {name: request.form.get(name, "").replace("\0", "") for name in _NAMES}
    try:
        with current.session() as session:
            if field_id is None:
                create_field(session, current.tenant_id, _form(values))
            else:
                update_field(session, current.tenant_id, field_id, _form(values))
    except ValidationFailedError as error:
        return _page(field_id, values, error.problems)
    toast(_("Field saved."))
    return see_other(url_for("settings.fields"))


def _form(values: Mapping[str, str]) -> FieldForm:
    known = {str(int(kind)): kind for kind in FieldType}
    lines = (line.strip() for line in values["choices"].splitlines())
    return FieldForm(
        label=values["label"],
        code=values["code"],
        type=known.get(values["type"], FieldType.TEXT),
        group=values["group"],
        choices=tuple(dict.fromkeys(line for line in lines if line)),
    )


def _page(
    open_id: int | None, values: Mapping[str, str], problems: Sequence[Problem] = ()
) -> Response:
    with current.session() as session:
        found = list_fields(session, current.tenant_id)
    opened = next((row for row in found if row.field.id == open_id), None)
    return page(
        "settings/fields.html",
        status=422 if problems else 200,
        rows=found,
        opened=opened,
        values=values,
        types={int(kind): str(label) for kind, label in TYPES.items()},
        choice_type=int(FieldType.CHOICE),
        counted_up_to=COUNTED_UP_TO,
        groups=sorted({row.field.group for row in found if row.field.group}),
        system=_system(),
        problems=problems,
        errors={problem.field: problem.message for problem in problems},
    )


def _system() -> list[tuple[str, str, str]]:
    """The fields that every customer has: label, code and type."""
    kinds = {"gender": FieldType.CHOICE} | dict.fromkeys(_SYSTEM_DATES, FieldType.DATE)
    own = [(_("External id"), "external_id", str(TYPES[FieldType.TEXT]))]
    return own + [
        (str(label), name, str(TYPES[kinds.get(name, FieldType.TEXT)]))
        for name, label in LABELS.items()
    ]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
