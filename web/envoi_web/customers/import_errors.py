"""The error file of an import as its reader gets it: in words, with the labels of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flask_babel import gettext as _

from envoi.customers.csv_reader import plain_cell, safe_cell
from envoi.webkit.formats import translated

_AT_ONCE = 500


def said_lines(path: Path, labels: Mapping[str, str]) -> Iterator[str]:
    """Yield an error file in the employee's language, some lines at a time.

    The file itself is written by a worker, who does not know who is going to read it.
    """
    kinds = {"refused": _("refused"), "warning": _("warning")}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream)
        next(lines, None)
        rows: list[Sequence[str]] = [(_("Line"), _("Kind"), _("Reason"), _("What stands there"))]
        yield "\ufeff"
        for line, kind, reason, original in lines:
            said = safe_cell(translated(plain_cell(reason), labels))
            rows.append((line, kinds.get(kind, kind), said, original))
            if len(rows) >= _AT_ONCE:
                yield _csv(rows)
                rows = []
        yield _csv(rows)


def _csv(rows: list[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
