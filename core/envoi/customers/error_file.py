"""The error file of an import: every line refused or doubtful, with its reason and its text."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from envoi.customers.csv_reader import safe_cell

HEADER = ("line", "kind", "reason", "original")
MOST_LINES = 50_000
"""Lines that are written down; the rest is only counted, so that no file fills the disk."""

_LONGEST_ORIGINAL = 1_000
_LONGEST_EXAMPLE = 120
_MOST_REASONS = 20
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,]*")


@dataclass
class Reason:
    """Why lines were refused: how many, and the first of them as an example."""

    count: int
    line: int
    reason: str
    original: str


class ErrorFile:
    """A CSV file that is written as an import goes along; nothing in it is a formula."""

    def __init__(self, path: Path, most_lines: int = MOST_LINES) -> None:
        """Begin the file anew, so that a repeated import tells only of itself."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.refused = 0
        self.warnings = 0
        self._reasons: dict[str, Reason] = {}
        self._room = most_lines
        self._stream = path.open("w", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._stream)
        self._writer.writerow(HEADER)

    def __enter__(self) -> ErrorFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._room < 0:
            self._writer.writerow(["", "", f"{-self._room:,} more lines are not listed.", ""])
        self._stream.close()

    @property
    def reasons(self) -> list[Reason]:
        """The reasons of the refused lines, the most frequent first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.count)

    def refuse(self, line: int, reason: str, original: str) -> None:
        """Write down that a line was not imported."""
        self.refused += 1
        self._count(line, reason, original)
        self._write(line, "refused", reason, original)

    def warn(self, line: int, reason: str, original: str) -> None:
        """Write down what is doubtful about a line that was imported."""
        self.warnings += 1
        self._write(line, "warning", reason, original)

    def _count(self, line: int, reason: str, original: str) -> None:
        alike = _VALUES.sub("*", reason)
        known = self._reasons.get(alike)
        if known:
            known.count += 1
        elif len(self._reasons) < _MOST_REASONS:
            shown = _shown(original)[:_LONGEST_EXAMPLE]
            self._reasons[alike] = Reason(1, line, reason[:300], shown)

    def _write(self, line: int, kind: str, reason: str, original: str) -> None:
        self._room -= 1
        if self._room >= 0:
            cells = [safe_cell(reason), safe_cell(_shown(original))]
            self._writer.writerow([line, kind, *cells])


def _shown(original: str) -> str:
    return original.rstrip("\r\n")[:_LONGEST_ORIGINAL].replace("\0", "")
