"""The form in which a person says what each column of a file is."""

from __future__ import annotations

from collections.abc import Mapping as Fields
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from envoi.customers.customer_file import FIELD_PREFIX
from envoi.customers.fields import fields_of
from envoi.customers.import_kinds import FORMS
from envoi.customers.imports import ImportStatus
from envoi.customers.mapping import Mapping
from envoi.customers.preview import Preview, agreed
from envoi.customers.saved_mappings import SavedMapping, saved_mappings
from envoi.customers.suggestions import suggest
from envoi.errors import Problem, ValidationFailedError
from envoi.webkit import current
from envoi.webkit.formats import translated
from envoi_web.customers.import_words import targets_of

_DAY_FIRST = {"day": True, "month": False}


@dataclass(frozen=True, kw_only=True)
class MappingForm:
    """What is asked of a file's columns, and what was chosen so far."""

    job: ImportStatus
    preview: Preview
    targets: list[tuple[str, str]]
    required: Sequence[str]
    saved: list[SavedMapping]
    saved_id: int | None
    chosen: tuple[str, ...]
    dates: str
    """"day" or "month" comes first, "unclear", or nothing where no date needs it."""
    numbers: str
    """The decimal sign, "unclear", or nothing where no number needs it."""

    @property
    def asks_dates(self) -> bool:
        """Whether the file has dates like 03/04/2026."""
        return any(self.preview.dates)

    @property
    def asks_numbers(self) -> bool:
        """Whether the file has numbers like 1,234."""
        return any(self.preview.numbers)

    @property
    def samples(self) -> list[list[str]]:
        """The first cells of each column."""
        return [
            [row[position] for row in self.preview.rows]
            for position in range(len(self.preview.header))
        ]

    def filled(self, sent: MultiDict[str, str]) -> MappingForm:
        """Return the form as a person has sent it."""
        width = len(self.preview.header)
        chosen = [*sent.getlist("columns")[:width], *[""] * width][:width]
        return replace(
            self,
            chosen=tuple(chosen),
            dates=sent.get("dates", "") or ("unclear" if self.asks_dates else ""),
            numbers=sent.get("numbers", "") or ("unclear" if self.asks_numbers else ""),
        )


def form_of(job: ImportStatus, saved_id: int | None) -> MappingForm:
    """Return the form of a file: as it was sent, by a saved mapping, or as it probably is."""
    preview = cast(Preview, job.preview)
    columns = FORMS[job.kind].columns
    with current.session() as session:
        fields = fields_of(session, current.tenant_id)
        saved = saved_mappings(session, current.tenant_id, job.kind)
    used = next((each for each in saved if each.id == saved_id), None)
    mapping = used.suits(preview.header) if used else job.mapping
    names = [*columns.required, *columns.optional]
    offered = fields if columns.free_prefix == FIELD_PREFIX else []
    return MappingForm(
        job=job,
        preview=preview,
        targets=targets_of(job.kind, fields),
        required=columns.required,
        saved=saved,
        saved_id=used.id if used else None,
        chosen=mapping.columns or tuple(suggest(preview.header, names, offered)),
        dates=_dates(mapping) or agreed(preview.dates),
        numbers=mapping.decimal or agreed(preview.numbers),
    )


def asked_mapping(form: MappingForm) -> Mapping:
    """Return the mapping that was sent; raise `ValidationFailedError` for what is still open."""
    known = {name for name, _label in form.targets}
    problems = [
        *_open("dates", form.dates, form.preview.dates, form.chosen),
        *_open("numbers", form.numbers, form.preview.numbers, form.chosen),
    ]
    if problems:
        raise ValidationFailedError(problems)
    decimal = form.numbers if form.numbers in (".", ",") else ""
    return Mapping(
        columns=tuple(name if name in known else "" for name in form.chosen),
        day_first=_DAY_FIRST.get(form.dates),
        decimal=cast(Literal["", ".", ","], decimal),
    )


def shown_problems(form: MappingForm, problems: Sequence[Problem]) -> list[Problem]:
    """Say of which column a problem is, and lead to the place where it is mended."""
    labels = dict(form.targets)
    return [_shown(form, problem, labels) for problem in problems]


def _shown(form: MappingForm, problem: Problem, labels: Fields[str, str]) -> Problem:
    if problem.field not in labels:
        return problem
    places = [i for i, name in enumerate(form.chosen) if name == problem.field]
    return Problem(
        f"column-{places[-1] if places else 0}",
        f"{labels[problem.field]}: {translated(problem.message)}",
    )


def _dates(mapping: Mapping) -> str:
    return {True: "day", False: "month"}.get(cast(bool, mapping.day_first), "")


def _open(field: str, answer: str, hints: Sequence[str], chosen: Sequence[str]) -> list[Problem]:
    """Ask for what cannot be told from the columns that are to be imported."""
    mapped = any(hint for hint, name in zip(hints, chosen, strict=True) if name)
    if not mapped or answer not in ("", "unclear"):
        return []
    sentences = {
        "dates": _("Say what comes first in dates like 03/04/2026."),
        "numbers": _("Say what the comma is in numbers like 1,234."),
    }
    return [Problem(field, sentences[field])]
