"""The error file of an import: every line refused or doubtful, with its reason and its text."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from envoi.customers.csv_reader import safe_cell

HEADER = ("line", "kind", "reason", "original")
_LONGEST_ORIGINAL = 1_000


class ErrorFile:
    """A CSV file that is written as an import goes along; nothing in it is a formula."""

    def __init__(self, path: Path) -> None:
        """Begin the file anew, so that a repeated import tells only of itself."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.refused = 0
        self.warnings = 0
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
        self._stream.close()

    def refuse(self, line: int, reason: str, original: str) -> None:
        """Write down that a line was not imported."""
        self.refused += 1
        self._write(line, "refused", reason, original)

    def warn(self, line: int, reason: str, original: str) -> None:
        """Write down what is doubtful about a line that was imported."""
        self.warnings += 1
        self._write(line, "warning", reason, original)

    def _write(self, line: int, kind: str, reason: str, original: str) -> None:
        shown = original.rstrip("\r\n")[:_LONGEST_ORIGINAL].replace("\0", "")
        self._writer.writerow([line, kind, safe_cell(reason), safe_cell(shown)])
