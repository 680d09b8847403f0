"""The error file of an import as its reader gets it: in words, with the labels of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from flask_babel import gettext as _

from envoi.customers.csv_reader import plain_cell, safe_cell
from envoi.webkit.formats import translated

SHOWN = 20
"""Refused lines that the page of an import shows."""

_LOOKED_AT = 500
_AT_ONCE = 500


def said_lines(path: Path, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield an error file in the employee's language, some lines at a time.

    The file itself is written by a worker, who does not know who is going to read it.
    """
    kinds = {"refused": _("refused"), "warning": _("warning")}
    rows: list[Sequence[str]] = [(_("Line"), _("Kind"), _("Reason"), _("What stands there"))]
    yield "\ufeff"
    for line, kind, reason, original in _written(path):
        said = safe_cell(translated(plain_cell(reason), labels))
        rows.append((line, kinds.get(kind, kind), said, original))
        if len(rows) >= _AT_ONCE:
            yield _csv(rows)
            rows = []
    yield _csv(rows)


def first_refused(path: Path) -> list[tuple[int, str, str]]:
    """Return the first refused lines: number, reason, text; none where the file is gone.

    Only the beginning of the file is read, however long it is.
    """
    if not path.is_file():
        return []
    beginning = islice(_written(path), _LOOKED_AT)
    refused = (row for row in beginning if row[1] == "refused")
    return [
        (int(line), plain_cell(reason), plain_cell(original))
        for line, _kind, reason, original in islice(refused, SHOWN)
    ]


def _written(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream)
        next(lines, None)
        yield from lines


def _csv(rows: list[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
