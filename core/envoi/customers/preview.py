"""What a person sees of a file before it is imported, and what it tells of dates and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict

from envoi.customers.csv_reader import TableFile
from envoi.customers.values import Style, day_first

_SAMPLE = 1_000
_SHOWN_ROWS = 5
_LONGEST_SHOWN = 80
_SLASHED = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/[0-9]{4}\b", re.ASCII)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:([,.])[0-9]{3})+\Z", re.ASCII)
_COMMA_LAST = re.compile(r"[+-]?[0-9. ]+,[0-9]+\Z", re.ASCII)
_POINT_LAST = re.compile(r"[+-]?[0-9, ]*,[0-9]{3}\.[0-9]+\Z", re.ASCII)

DateHint = Literal["", "day", "month", "unclear"]
NumberHint = Literal["", ",", ".", "unclear"]


class Preview(BaseModel):
    """The first rows of a file, and for each column what its dates and numbers look like."""

    model_config = ConfigDict(frozen=True)

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: int
    dates: tuple[DateHint, ...]
    """Which part of dates like 03/04/2026 comes first; empty where the column has none."""
    numbers: tuple[NumberHint, ...]
    """The decimal sign of numbers like 1,234; empty where the column has none."""


def preview_of(file: TableFile) -> Preview:
    """Look at the first rows of a file."""
    rows = [row.cells for row in islice(file.rows(lambda *_: None), _SAMPLE)]
    columns = list(zip(*rows, strict=True)) or [()] * len(file.header)
    return Preview(
        header=tuple(_short(name) for name in file.header),
        rows=tuple(tuple(_short(cell) for cell in row) for row in rows[:_SHOWN_ROWS]),
        lines=file.lines,
        dates=tuple(_date_hint(column) for column in columns),
        numbers=tuple(_number_hint(column) for column in columns),
    )


def agreed(hints: Iterable[str]) -> str:
    """Return what the hints of several columns say together: one answer, "unclear" or nothing."""
    said = {hint for hint in hints if hint}
    clear = said - {"unclear"}
    if len(clear) == 1:
        return clear.pop()
    return "unclear" if said else ""


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_SHOWN else cell[: _LONGEST_SHOWN - 1] + "…"


def _date_hint(column: Sequence[str]) -> DateHint:
    found = [match for cell in column if cell and (match := _SLASHED.match(cell))]
    said = {
        day_first(int(match[1]), int(match[2]), Style()) for match in found if match[1] != match[2]
    }
    if not found:
        return ""
    if said - {None} == {True}:
        return "day"
    return "month" if said - {None} == {False} else "unclear"


def _number_hint(column: Sequence[str]) -> NumberHint:
    grouped = {match[1] for cell in column if (match := _GROUPED.match(cell))}
    commas = any(_COMMA_LAST.match(cell) and not _GROUPED.match(cell) for cell in column)
    points = any(_POINT_LAST.match(cell) for cell in column)
    if commas != points:
        return "," if commas else "."
    return "unclear" if "," in grouped or commas else ""
