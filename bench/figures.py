"""What a benchmark returns: a figure with the bound that it must keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number; `ok` tells whether it keeps its bound."""

    name: str
    value: float
    unit: str
    bound: str
    ok: bool
