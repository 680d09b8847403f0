"""Custom fields of customers: found, made and deleted; their values read from text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.orm import Session

from envoi.customers.csv_reader import LineRefusedError
from envoi.customers.models import CustomField, FieldType
from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError

_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?\Z")
_LONGEST_TEXT = 1_000
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class Field(NamedTuple):
    """A custom field as the rest of the code sees it."""

    id: int
    code: str
    label: str
    type: FieldType

    @property
    def value_column(self) -> str:
        """The column of `customer_value` that holds values of this type."""
        return f"{self.type.name.lower()}_value"


def fields_of(session: Session | Connection, tenant_id: int) -> list[Field]:
    """List the custom fields of a tenant in their order."""
    c = table(CustomField).c
    query = select(c.id, c.code, c.label, c.type).where(c.tenant_id == tenant_id)
    rows = session.execute(query.order_by(c.position, c.id))
    return [Field(row.id, row.code, row.label or row.code, FieldType(row.type)) for row in rows]


def ensure_fields(
    connection: Session | Connection, tenant_id: int, codes: Iterable[str]
) -> dict[str, Field]:
    """Return the fields of these codes; those that do not exist are made, as text."""
    known = {field.code: field for field in fields_of(connection, tenant_id)}
    missing = [code for code in codes if code not in known]
    problems = [
        Problem("", f"field.{code}: use a-z, 0-9 and _, at most 40, beginning with a letter.")
        for code in missing
        if not _CODE.match(code)
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


def read_text(cell: str, column: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text that fits, or refuse the line."""
    if len(cell) > longest:
        raise LineRefusedError(
            f"{column} has {len(cell):,} characters, at most {longest:,} fit. Shorten it."
        )
    return cell


def read_date(cell: str, column: str) -> str | None:
    """Return an ISO date that exists, None for an empty cell, or refuse the line."""
    if not cell:
        return None
    if _ISO_DATE.match(cell):
        try:
            date.fromisoformat(cell)
        except ValueError:
            pass
        else:
            return cell
    raise LineRefusedError(f"{column} is {cell[:40]!r}, no date. Write it like 1990-12-31.")


def read_number(cell: str, column: str) -> float | None:
    """Return a number, None for an empty cell, or refuse the line."""
    if not cell:
        return None
    if not _NUMBER.match(cell):
        raise LineRefusedError(f"{column} is {cell[:40]!r}, no number. Write it like 12.5.")
    return float(cell)
