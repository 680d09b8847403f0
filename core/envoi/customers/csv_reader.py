"""CSV files of people: read as a stream whatever program wrote them, refused with the line.

A file is checked as a whole before its first row is used: what is wrong with all of it (the
encoding, a missing column) stops the import before anything has changed.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from envoi.errors import EnvoiError, Problem, ValidationFailedError

LONGEST_CELL = 100_000
MOST_COLUMNS = 500
_LONGEST_LINE = 1_000_000
_CHUNK = 1 << 20
_DELIMITERS = (",", ";", "\t")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")

Refuse = Callable[[int, str, str], None]
"""Is told the line, the reason and the line's text."""


class Row(NamedTuple):
    """A row of a file: the line it begins at, its cells, and its text as it stands there."""

    line: int
    cells: list[str]
    text: str


class LineRefusedError(EnvoiError):
    """A line cannot be imported; the message is the reason."""


def safe_cell(value: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; reading it gives the value back."""
    return "'" + value if _FORMULA.match(value) else value


def plain_cell(cell: str) -> str:
    """Return a cell's value: without spaces around it and the quote that disarms a formula."""
    value = cell.strip()
    return value[1:] if value.startswith("'") and _QUOTED_FORMULA.match(value) else value


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that a kind of file may have, in the order in which they are documented."""

    required: Sequence[str]
    optional: Sequence[str]
    free_prefix: str = ""

    def check(self, found: Sequence[str]) -> None:
        """Raise `ValidationFailedError` that names what is missing, unknown or doubled."""
        missing = [name for name in self.required if name not in found]
        unknown = [name for name in found if not self.knows(name)]
        doubled = sorted({name for name in found if found.count(name) > 1})
        sentences = [
            _sentence("The file has no column", missing),
            _sentence("It has columns that are not known:", unknown),
            _sentence("It has columns twice:", doubled),
        ]
        if missing or unknown or doubled:
            raise refused(
                f"{' '.join(s for s in sentences if s)} Found: {', '.join(found) or 'nothing'}."
                f" Expected: {', '.join(self._names())}. Rename the columns in the first line."
            )

    def knows(self, name: str) -> bool:
        """Tell whether a file may have a column of this name."""
        free = bool(self.free_prefix) and name.startswith(self.free_prefix)
        return free or name in self.required or name in self.optional

    def _names(self) -> list[str]:
        free = [f"{self.free_prefix}<code>"] if self.free_prefix else []
        return [*self.required, *self.optional, *free]


def _sentence(start: str, names: Sequence[str]) -> str:
    return f"{start} {', '.join(names)}." if names else ""


def refused(message: str) -> ValidationFailedError:
    """Make the error that refuses a whole file."""
    return ValidationFailedError([Problem("", f"{message} Nothing was imported.")])


class TableFile(Protocol):
    """A file of rows, whatever program wrote it."""

    header: list[str]
    lines: int
    """How many lines follow the header; in a workbook what it says of itself."""

    def rows(self, refuse: Refuse) -> Iterator[Row]:
        """Yield the rows that have the form of the header; tell of the others."""


class CsvFile:
    """A checked file: its header, how many lines it has, and its rows one at a time."""

    def __init__(self, path: Path) -> None:
        """Check encoding and header; raise `ValidationFailedError` with the line and the reason."""
        self.path = path
        self.lines = _count_lines(path)
        self.header = checked_header(self._header())

    def rows(self, refuse: Refuse) -> Iterator[Row]:
        """Yield the rows that have the form of the header; tell of the others."""
        with self.path.open("rb") as stream:
            lines = _Lines(stream)
            reader = csv.reader(lines, delimiter=self.delimiter, strict=False)
            next(reader)
            width = len(self.header)
            while True:
                lines.begin_row()
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    refuse(lines.first, _csv_reason(error), lines.text)
                    continue
                if len(cells) == width and not lines.unusable:
                    yield Row(lines.first, [plain_cell(cell) for cell in cells], lines.text)
                elif cells:
                    refuse(lines.first, lines.unusable or width_reason(cells, width), lines.text)

    def _header(self) -> list[str]:
        with self.path.open("rb") as stream:
            lines = _Lines(stream)
            first = next(iter(lines), "")
        self.delimiter = max(_DELIMITERS, key=first.count)
        if not first.strip() or lines.unusable:
            raise refused("The file is empty or does not begin with a line of column names.")
        try:
            return next(csv.reader([first], delimiter=self.delimiter))
        except csv.Error as error:
            raise refused(f"Line 1 holds no column names: {_csv_reason(error)}") from None


def checked_header(cells: Sequence[str]) -> list[str]:
    """Return the names of the columns, or raise `ValidationFailedError`."""
    names = [plain_cell(cell) for cell in cells]
    if not any(names):
        raise refused("The file is empty or does not begin with a line of column names.")
    if len(names) > MOST_COLUMNS:
        raise refused(f"The file has {len(names):,} columns, at most {MOST_COLUMNS} can be read.")
    return names


class _Lines:
    """The decoded lines of a stream, each bounded, and what is wrong with the current row's."""

    def __init__(self, stream: IO[bytes]) -> None:
        csv.field_size_limit(LONGEST_CELL)
        self._stream = stream
        self._number = 0
        self.begin_row()

    def begin_row(self) -> None:
        self.first = self._number + 1
        self.text = ""
        self.unusable = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._stream.readline(_LONGEST_LINE)
        if not raw:
            raise StopIteration
        if not self._number:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        self._number += 1
        if len(raw) == _LONGEST_LINE and not raw.endswith(b"\n"):
            self._skip_rest()
        line = raw.decode("utf-8", "ignore")
        if "\0" in line:
            self.unusable = "It contains a NUL byte. Remove it."
        self.text = self.text + line if self.text else line
        return line

    def _skip_rest(self) -> None:
        self.unusable = f"The line is longer than {_LONGEST_LINE:,} bytes."
        while raw := self._stream.readline(_CHUNK):
            if raw.endswith(b"\n"):
                return


def _csv_reason(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"A cell is longer than {LONGEST_CELL:,} characters. Is a quotation mark not closed?"
    return f"The line is no CSV: {error}."


def width_reason(cells: Sequence[str], width: int) -> str:
    """Say that a row has another number of cells than the header."""
    return f"The line has {len(cells)} cells, but there are {width} columns."


def _count_lines(path: Path) -> int:
    """Count the lines after the header while making sure that all of them are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, last = 0, b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                bad = lines + error.object.count(b"\n", 0, error.start) + 1
                raise refused(_encoding_reason(bad, error)) from None
            lines, last = lines + chunk.count(b"\n"), chunk
    if decoder.getstate()[0]:
        raise refused(f"Line {lines + 1} ends in the middle of a character: the file is cut off.")
    return lines - 1 + (not last.endswith(b"\n"))


def _encoding_reason(line: int, error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return (
        f"Line {line} is not UTF-8 (byte {byte:#04x}); the file was probably saved in another"
        " encoding. Save it as CSV UTF-8 and try again."
    )
