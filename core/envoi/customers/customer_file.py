"""The form of a customers file: its columns, and how a row becomes values of the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from envoi.customers.contacts import Contact, check_email, check_phone
from envoi.customers.csv_reader import Columns, LineRefusedError, Row
from envoi.customers.fields import NO, YES, Field, read_value
from envoi.customers.models import FieldType, Gender, Quality
from envoi.customers.values import UNKNOWN_STYLE, Style, read_date, read_text

FIELD_PREFIX = "field."
CHANNELS = {"subscribed_email": "email", "subscribed_sms": "sms", "subscribed_push": "push"}
"""Subscription columns with the channel that an N opts out of."""

DATES = ("birth_date", "registered_on")

COLUMNS = Columns(
    required=("external_id",),
    optional=(
        "first_name",
        "middle_name",
        "last_name",
        "gender",
        "birth_date",
        "registered_on",
        "city",
        "time_zone",
        "email",
        "phone",
        *CHANNELS,
    ),
    free_prefix=FIELD_PREFIX,
)

_LONGEST_ID = 200
_LONGEST_NAME = 200
_GENDERS = {
    **dict.fromkeys(("", "-", "n", "not stated", "unknown", "не указан"), Gender.NOT_STATED),
    **dict.fromkeys(("f", "female", "w", "woman", "ж", "жен", "женский"), Gender.FEMALE),
    **dict.fromkeys(("m", "male", "man", "м", "муж", "мужской"), Gender.MALE),
}
_KINDS = {"text_value": "text", "number_value": "float8", "date_value": "date"}

Note = Callable[[str], None]
Read = Callable[[str], tuple[Any, ...]]


class Target(NamedTuple):
    """Where a cell goes: columns of the staging table, their types, and how it is read."""

    position: int
    columns: tuple[tuple[str, str], ...]
    read: Read


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What reading a file depends on besides the file."""

    country: str
    zones: Mapping[str, int]
    fields: Mapping[str, Field]
    style: Style = UNKNOWN_STYLE

    def field(self, code: str) -> Field:
        """Return a field; one that does not exist is going to be made, as text."""
        return self.fields.get(code) or Field(0, code, code, FieldType.TEXT)


class CustomerFile:
    """Turns rows into values in the order of `staging`, and gathers what is doubtful."""

    def __init__(self, columns: Sequence[str], around: Surroundings) -> None:
        self.notes: list[str] = []
        note = self.notes.append
        targets = [_target(i, name, around, note) for i, name in enumerate(columns) if name]
        self._targets = targets
        self.staging = [column for target in targets for column in target.columns]
        self.channels = {f"left_{CHANNELS[c]}": CHANNELS[c] for c in columns if c in CHANNELS}
        self.fields = {
            f"field_{position}": name.removeprefix(FIELD_PREFIX)
            for position, name in enumerate(columns)
            if name.startswith(FIELD_PREFIX)
        }
        apart = {"external_id", *self.channels, *self.fields}
        self.customer_columns = [name for name, _ in self.staging if name not in apart]

    def read(self, row: Row) -> list[Any]:
        """Return a row's values; raise `LineRefusedError` with the reason."""
        values: list[Any] = []
        for target in self._targets:
            values.extend(target.read(row.cells[target.position]))
        return values


def _target(position: int, name: str, around: Surroundings, note: Note) -> Target:
    if name.startswith(FIELD_PREFIX):
        return _field_target(position, name, around)
    if name in CHANNELS:
        return Target(position, ((f"left_{CHANNELS[name]}", "boolean"),), partial(_left, name))
    if name in ("email", "phone"):
        check = check_email if name == "email" else partial(check_phone, country=around.country)
        columns = ((name, "text"), (f"{name}_quality", "smallint"))
        return Target(position, columns, partial(_contact, name, check, note))
    if name in DATES:
        return Target(position, ((name, "date"),), partial(_date, name, around.style))
    special: dict[str, tuple[str, str, Read]] = {
        "external_id": ("external_id", "text", _external_id),
        "gender": ("gender", "smallint", _gender),
        "time_zone": ("zone_id", "smallint", partial(_zone, around.zones)),
    }
    column, kind, read = special.get(name) or (name, "text", partial(_name, name))
    return Target(position, ((column, kind),), read)


def _field_target(position: int, name: str, around: Surroundings) -> Target:
    field, style = around.field(name.removeprefix(FIELD_PREFIX)), around.style
    kind = _KINDS[field.value_column]

    def read(cell: str) -> tuple[Any]:
        return (read_value(field, cell, name, style),)

    return Target(position, ((f"field_{position}", kind),), read)


def _date(name: str, style: Style, cell: str) -> tuple[str | None]:
    return (read_date(cell, name, style),)


def _external_id(cell: str) -> tuple[str]:
    if not cell:
        raise LineRefusedError("external_id is empty. Every customer needs one.")
    return (read_text(cell, "external_id", _LONGEST_ID),)


def _name(column: str, cell: str) -> tuple[str]:
    return (read_text(cell, column, _LONGEST_NAME),)


def _gender(cell: str) -> tuple[int]:
    gender = _GENDERS.get(cell.lower())
    if gender is None:
        raise LineRefusedError(f"gender is {cell[:40]!r}. Write F, M or nothing.")
    return (int(gender),)


def _zone(zones: Mapping[str, int], cell: str) -> tuple[int | None]:
    zone = zones.get(cell)
    if zone is None and cell:
        raise LineRefusedError(
            f"time_zone is {cell[:40]!r}, which is not known. Write it like Europe/Berlin."
        )
    return (zone,)


def _left(column: str, cell: str) -> tuple[bool]:
    answer = cell.lower()
    if answer in NO:
        return (True,)
    if answer and answer not in YES:
        raise LineRefusedError(f"{column} is {cell[:40]!r}. Write Y, N or nothing.")
    return (False,)


def _contact(
    name: str, check: Callable[[str], Contact], note: Note, cell: str
) -> tuple[str | None, int]:
    value, quality = check(cell)
    if quality == Quality.FORMAT_ERROR:
        note(f"{name} {cell[:60]!r} is not valid. The customer was imported, the {name} is marked.")
    return value, int(quality)
