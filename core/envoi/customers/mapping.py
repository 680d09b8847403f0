"""Which column of a file is what, and how its dates and numbers are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from envoi.customers.csv_reader import Columns
from envoi.customers.values import Style
from envoi.errors import Problem, ValidationFailedError


class Mapping(BaseModel):
    """What each column of a file is, in the order of the file; empty is not imported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = ()
    day_first: bool | None = None
    """Whether 03/04/2026 is in April; None is not known."""
    decimal: Literal["", ".", ","] = ""
    """The decimal sign where 1,234 may be two things; empty is not known."""
    options: dict[str, str] = Field(default_factory=dict)
    """What a kind of file asks besides, such as the audience that a list of customers is for."""

    @property
    def style(self) -> Style:
        """How dates and numbers of the file are read."""
        return Style(self.day_first, self.decimal)


def by_header(header: Sequence[str], columns: Columns) -> Mapping:
    """Map a file whose first line names our columns; raise `ValidationFailedError`."""
    names = tuple(name.lower() for name in header)
    columns.check(names)
    return Mapping(columns=names)


def check_mapping(mapping: Mapping, columns: Columns) -> None:
    """Raise `ValidationFailedError` that names what is missing, unknown or chosen twice."""
    chosen = Counter(name for name in mapping.columns if name)
    missing = [name for name in columns.required if name not in chosen]
    doubled = [name for name, count in chosen.items() if count > 1]
    unknown = [name for name in chosen if not columns.knows(name)]
    problems = [
        *(Problem(name, "Choose the column of the file that holds it.") for name in missing),
        *(
            Problem(name, "Two columns of the file cannot be the same. Choose one.")
            for name in doubled
        ),
        *(Problem(name, "This cannot be imported. Choose another.") for name in unknown),
    ]
    if problems:
        raise ValidationFailedError(problems)
