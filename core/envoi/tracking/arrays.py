"""Rows as array parameters, written out here: the driver's own way took half of a hit's time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any


def columns(rows: Iterable[tuple[Any, ...]], *names: str) -> dict[str, str]:
    """Turn rows of numbers, truths, texts and times into a literal for each column."""
    return {
        name: f"{{{_elements(values)}}}"
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def _elements(values: Sequence[Any]) -> str:
    if isinstance(values[0], str):
        return ",".join(map(_quoted, values))
    if isinstance(next((value for value in values if value is not None), None), datetime):
        return ",".join([f'"{value}"' if value else "NULL" for value in values])
    return str(list(values))[1:-1].replace("None", "NULL")


@lru_cache(8_192)
def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
