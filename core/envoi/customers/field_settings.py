"""The custom fields of a company as its settings show them: made, changed, put in order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, exists, func, insert, select, update
from sqlalchemy.orm import Session

from envoi.customers.fields import CODE, Field, fields_of
from envoi.customers.models import CustomerValue, CustomField, FieldType
from envoi.customers.tokens import fold
from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.segments.models import Segment
from envoi.segments.tree import conditions, parse

MOST_FIELDS = 200
COUNTED_UP_TO = 10_000
"""Values of a field are counted up to here."""
_MOST_CHOICES = 200
_LONGEST_LABEL = 100


@dataclass(frozen=True, kw_only=True)
class FieldForm:
    """What a person says of a field; an empty code is made from the label."""

    label: str
    type: FieldType
    group: str = ""
    choices: tuple[str, ...] = ()
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class FieldRow:
    """A field with how many customers have a value (at most one above `COUNTED_UP_TO`)."""

    field: Field
    values: int
    segments: tuple[str, ...]


def list_fields(session: Session, tenant_id: int) -> list[FieldRow]:
    """List the custom fields in their order, with what would be lost with each."""
    used = _used_by(session, tenant_id)
    return [
        FieldRow(
            field=field,
            values=_count_values(session, tenant_id, field.id),
            segments=tuple(used[field.code]),
        )
        for field in fields_of(session, tenant_id)
    ]


def create_field(session: Session, tenant_id: int, form: FieldForm) -> int:
    """Make a field at the end of the list and return its number."""
    fields = fields_of(session, tenant_id)
    code = form.code.strip() or _code_of(form.label)
    problems = _problems(form)
    if not CODE.match(code):
        problems.append(Problem("code", "Use a-z, 0-9 and _, beginning with a letter."))
    elif code in {field.code for field in fields}:
        problems.append(Problem("code", "There is a field with this code. Enter another."))
    if len(fields) >= MOST_FIELDS:
        problems.append(Problem("", "There are 200 fields already. Delete one first."))
    if problems:
        raise ValidationFailedError(problems)
    c = table(CustomField).c
    row = {"tenant_id": tenant_id, "code": code, "position": len(fields), **_values(form)}
    return int(session.execute(insert(table(CustomField)).values(row).returning(c.id)).scalar_one())


def update_field(session: Session, tenant_id: int, field_id: int, form: FieldForm) -> None:
    """Change a field; its code stays, and its type too once a customer has a value."""
    field = get_field(session, tenant_id, field_id)
    problems = _problems(form)
    if form.type != field.type and _count_values(session, tenant_id, field_id):
        problems.append(
            Problem("type", "The type is fixed, because customers have values. Make a new field.")
        )
    elif form.type == FieldType.CHOICE and _lost(session, tenant_id, field_id, form.choices):
        problems.append(
            Problem("choices", "Customers have a choice that is missing here. Keep it in the list.")
        )
    if problems:
        raise ValidationFailedError(problems)
    fields = table(CustomField)
    mine = (fields.c.tenant_id == tenant_id, fields.c.id == field_id)
    session.execute(update(fields).where(*mine).values(_values(form)))


def get_field(session: Session, tenant_id: int, field_id: int) -> Field:
    """Return a field, or raise `NotFoundError`."""
    for field in fields_of(session, tenant_id):
        if field.id == field_id:
            return field
    raise NotFoundError("There is no such field. It may have been deleted already.")


def move_field(session: Session, tenant_id: int, field_id: int, steps: int) -> None:
    """Move a field up (below zero) or down by some places."""
    get_field(session, tenant_id, field_id)
    ids = [field.id for field in fields_of(session, tenant_id)]
    place = ids.index(field_id)
    ids.insert(min(max(place + steps, 0), len(ids) - 1), ids.pop(place))
    order_fields(session, tenant_id, ids)


def order_fields(session: Session, tenant_id: int, ids: Sequence[int]) -> None:
    """Put the fields in this order; those that are not named follow as they were."""
    present = [field.id for field in fields_of(session, tenant_id)]
    named = [number for number in dict.fromkeys(ids) if number in present]
    order = [*named, *(number for number in present if number not in named)]
    if not order:
        return
    fields = table(CustomField)
    places = case({number: place for place, number in enumerate(order)}, value=fields.c.id)
    session.execute(update(fields).where(fields.c.tenant_id == tenant_id).values(position=places))


def _values(form: FieldForm) -> dict[str, Any]:
    choices = list(form.choices) if form.type == FieldType.CHOICE else []
    return {
        "label": form.label.strip(),
        "type": int(form.type),
        "group_label": form.group.strip(),
        "choices": choices,
    }


def _problems(form: FieldForm) -> list[Problem]:
    found = []
    if not 0 < len(form.label.strip()) <= _LONGEST_LABEL:
        found.append(Problem("label", "Enter a name of 1 to 100 characters."))
    if len(form.group.strip()) > _LONGEST_LABEL:
        found.append(Problem("group", "Shorten the group to at most 100 characters."))
    if form.type == FieldType.CHOICE and not form.choices:
        found.append(Problem("choices", "Enter at least one choice, each on a line."))
    if len(form.choices) > _MOST_CHOICES or any(len(c) > _LONGEST_LABEL for c in form.choices):
        found.append(Problem("choices", "Enter at most 200 choices of at most 100 characters."))
    return found


def _code_of(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", fold(label)).strip("_")[:40]


def _count_values(session: Session, tenant_id: int, field_id: int) -> int:
    c = table(CustomerValue).c
    found = select(c.customer_id).where(c.tenant_id == tenant_id, c.field_id == field_id)
    bounded = found.limit(COUNTED_UP_TO + 1).subquery()
    return session.scalar(select(func.count()).select_from(bounded)) or 0


def _lost(session: Session, tenant_id: int, field_id: int, choices: Sequence[str]) -> bool:
    c = table(CustomerValue).c
    lost = exists().where(
        c.tenant_id == tenant_id,
        c.field_id == field_id,
        c.text_value.is_not(None),
        c.text_value.not_in(choices),
    )
    return bool(session.scalar(select(lost)))


def _used_by(session: Session, tenant_id: int) -> dict[str, list[str]]:
    """The names of the segments that ask for a field, by its code."""
    used: dict[str, list[str]] = defaultdict(list)
    c = table(Segment).c
    query = select(c.name, c.tree).where(c.tenant_id == tenant_id).order_by(c.name, c.id)
    for name, tree in session.execute(query):
        for code in _fields_in(tree):
            used[code].append(name)
    return used


def _fields_in(tree: Any) -> set[str]:
    try:
        found = conditions(parse(tree))
    except ValidationFailedError:
        return set()
    return {
        str(condition.settings.get("criterion"))
        for _, condition in found
        if condition.source == "custom_field"
    }
