"""XLSX workbooks, read as a stream of rows of text; only the first sheet counts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook

from envoi.customers.csv_reader import (
    LONGEST_CELL,
    MOST_COLUMNS,
    Refuse,
    Row,
    checked_header,
    plain_cell,
    refused,
    width_reason,
)

_CONTENTS = "[Content_Types].xml"
_LARGEST = 1 << 30
_LARGEST_STRINGS = 96 << 20
"""Shared strings are kept in memory while a workbook is read."""
_MOST_RATIO = 200


def is_workbook(path: Path) -> bool:
    """Tell whether a file is an archive that Excel would open."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return _CONTENTS in archive.namelist()


class WorkbookFile:
    """The first sheet of a workbook: its header and its rows, one at a time."""

    def __init__(self, path: Path) -> None:
        """Check size and header; raise `ValidationFailedError` with the reason."""
        self.path = path
        _refuse_bomb(path)
        with self._cells() as (rows, lines):
            _, first = next(rows, (1, []))
        self.header = checked_header(first)
        self.lines = lines

    def rows(self, refuse: Refuse) -> Iterator[Row]:
        """Yield the rows that are not empty; tell of those that have more cells than names."""
        width = len(self.header)
        with self._cells() as (rows, _):
            next(rows)
            for line, cells in rows:
                text = ";".join(cells)
                if len(cells) > width:
                    refuse(line, width_reason(cells, width), text)
                elif any(len(cell) > LONGEST_CELL for cell in cells):
                    refuse(line, f"A cell is longer than {LONGEST_CELL:,} characters.", text)
                elif cells:
                    cells += [""] * (width - len(cells))
                    yield Row(line, [plain_cell(cell) for cell in cells], text)

    @contextmanager
    def _cells(self) -> Iterator[tuple[Iterator[tuple[int, list[str]]], int]]:
        """Open the sheet: its rows with their numbers, and how many rows it says it has."""
        try:
            book = load_workbook(self.path, read_only=True, data_only=True, keep_links=False)
            try:
                sheet = book.worksheets[0]
                lines = max((sheet.max_row or 1) - 1, 0)
                sheet.reset_dimensions()
                found = sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True)
                yield ((n, _texts(row)) for n, row in enumerate(found, 1)), lines
            finally:
                book.close()
        except (KeyError, ValueError, IndexError, OSError, ParseError, zipfile.BadZipFile):
            raise refused(
                "The workbook cannot be read. Save it again as XLSX, or as CSV UTF-8."
            ) from None


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    unpacked, packed = sum(sizes.values()), path.stat().st_size
    strings = sizes.get("xl/sharedStrings.xml", 0)
    if unpacked > min(_LARGEST, packed * _MOST_RATIO) or strings > _LARGEST_STRINGS:
        raise refused("The workbook is too large when unpacked. Save the sheet as CSV UTF-8.")


def _texts(values: tuple[Any, ...]) -> list[str]:
    cells = [_text(value) for value in values]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "Y" if value else "N"
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
    return str(value).replace("\0", "")
