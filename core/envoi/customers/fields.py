"""Custom fields of customers: found, made and deleted; their values read from text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.orm import Session

from envoi.customers.csv_reader import LineRefusedError
from envoi.customers.models import CustomField, FieldType
from envoi.customers.values import UNKNOWN_STYLE, Style, read_date, read_number, read_text
from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError

CODE = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")

YES = frozenset(("y", "yes", "true", "1", "да"))
NO = frozenset(("n", "no", "false", "0", "нет"))
_COLUMNS = {
    FieldType.TEXT: "text_value",
    FieldType.NUMBER: "number_value",
    FieldType.DATE: "date_value",
    FieldType.YES_NO: "number_value",
    FieldType.CHOICE: "text_value",
}

Value = str | float | date
"""What a customer has in a custom field."""


class Field(NamedTuple):
    """A custom field as the rest of the code sees it."""

    id: int
    code: str
    label: str
    type: FieldType
    group: str = ""
    choices: tuple[str, ...] = ()

    @property
    def value_column(self) -> str:
        """The column of `customer_value` that holds values of this type."""
        return _COLUMNS[self.type]


def fields_of(session: Session | Connection, tenant_id: int) -> list[Field]:
    """List the custom fields of a tenant in their order."""
    c = table(CustomField).c
    query = select(c.id, c.code, c.label, c.type, c.group_label, c.choices)
    rows = session.execute(query.where(c.tenant_id == tenant_id).order_by(c.position, c.id))
    return [
        Field(
            id=row.id,
            code=row.code,
            label=row.label or row.code,
            type=FieldType(row.type),
            group=row.group_label,
            choices=tuple(row.choices),
        )
        for row in rows
    ]


def ensure_fields(
    connection: Session | Connection, tenant_id: int, codes: Iterable[str]
) -> dict[str, Field]:
    """Return the fields of these codes; those that do not exist are made, as text."""
    known = {field.code: field for field in fields_of(connection, tenant_id)}
    missing = [code for code in codes if code not in known]
    problems = [
        Problem("", f"field.{code}: use a-z, 0-9 and _, at most 40, beginning with a letter.")
        for code in missing
        if not CODE.match(code)
    ]
    if problems:
        raise ValidationFailedError(problems)
    if missing:
        last = select(func.count()).select_from(table(CustomField))
        rows = [{"tenant_id": tenant_id, "code": code, "label": code} for code in missing]
        position = last.where(table(CustomField).c.tenant_id == tenant_id).scalar_subquery()
        for row in rows:
            connection.execute(insert(table(CustomField)).values(**row, position=position))
        known = {field.code: field for field in fields_of(connection, tenant_id)}
    return known


def delete_field(session: Session, tenant_id: int, field_id: int) -> None:
    """Delete a custom field with every customer's value of it.

    A segment that asks for the field stays and says that it is broken.
    """
    c = table(CustomField).c
    mine = (c.tenant_id == tenant_id, c.id == field_id)
    deleted = session.execute(delete(table(CustomField)).where(*mine).returning(c.id)).first()
    if deleted is None:
        raise NotFoundError("There is no such field. It may have been deleted already.")


def read_yes_no(cell: str, column: str) -> float | None:
    """Return 1 or 0, None for an empty cell, or refuse the line."""
    answer = cell.lower()
    if answer in YES | NO:
        return float(answer in YES)
    if not answer:
        return None
    raise LineRefusedError(f"{column} is {cell[:40]!r}. Write Y, N or nothing.")


def read_choice(cell: str, column: str, choices: Sequence[str]) -> str | None:
    """Return one of the choices as it is spelled there, None for an empty cell, or refuse."""
    if not cell:
        return None
    found = {choice.casefold(): choice for choice in choices}.get(cell.casefold())
    if found is None:
        raise LineRefusedError(f"{column} is {cell[:40]!r}. Write one of: {', '.join(choices)}.")
    return found


def read_value(field: Field, cell: str, column: str, style: Style = UNKNOWN_STYLE) -> Value | None:
    """Return a cell as a value of the field's type, None for an empty one, or refuse the line."""
    match field.type:
        case FieldType.NUMBER:
            return read_number(cell, column, style)
        case FieldType.DATE:
            return read_date(cell, column, style)
        case FieldType.YES_NO:
            return read_yes_no(cell, column)
        case FieldType.CHOICE:
            return read_choice(cell, column, field.choices)
    return read_text(cell, column) or None
