"""Writing rows as CSV that spreadsheets open as it is: UTF-8 with a mark, no formulas."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from envoi.customers.contacts import masked
from envoi.customers.csv_reader import safe_cell


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], zone: tzinfo
) -> int:
    """Write a file that appears under its name only when it is whole; return the rows."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    count = 0
    with unfinished.open("w", encoding="utf-8-sig", newline="") as target:
        unfinished.chmod(0o600)
        writer = csv.writer(target)
        writer.writerow([safe_cell(name) for name in header])
        for row in rows:
            writer.writerow([_cell(value, zone) for value in row])
            count += 1
    unfinished.replace(path)
    return count


def masking(
    header: Sequence[str], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Iterator[list[Any]]:
    """Hide most of the contacts in these columns."""
    hidden = [header.index(name) for name in names if name in header]
    for row in rows:
        cells = list(row)
        for place in hidden:
            cells[place] = masked(cells[place])
        yield cells


def counting(
    rows: Iterable[Sequence[Any]], every: int, told: Callable[[int], None]
) -> Iterator[Sequence[Any]]:
    """Pass rows on and tell how many they are, every so many."""
    for number, row in enumerate(rows, start=1):
        if number % every == 0:
            told(number)
        yield row


def _cell(value: Any, zone: tzinfo) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(sep=" ", timespec="minutes")
    return safe_cell(value) if isinstance(value, str) else value
