"""Rows as array parameters, written out here: the driver's own way took half of a hit's time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any


def columns(rows: Iterable[tuple[Any, ...]], *names: str) -> dict[str, str]:
    """Turn rows of one shape into a literal of PostgreSQL for each column."""
    return {
        name: f"{{{','.join(map(_element, values))}}}"
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def _element(value: object) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "NULL"
    return f'"{value.isoformat()}"' if isinstance(value, datetime) else str(value)


@lru_cache(8_192)
def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
