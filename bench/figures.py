"""What is measured: figures with the bounds that they must keep, as a table and as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number; `ok` tells whether it keeps its bound."""

    name: str
    value: float
    unit: str
    bound: str
    ok: bool


def at_least(name: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that must not be smaller."""
    return Figure(name=name, value=value, unit=unit, bound=f">= {bound:,}", ok=value >= bound)


def at_most(name: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that must not be larger."""
    return Figure(name=name, value=value, unit=unit, bound=f"<= {bound:,}", ok=value <= bound)


def info(name: str, value: float, unit: str) -> Figure:
    """A figure without a bound."""
    return Figure(name=name, value=value, unit=unit, bound="-", ok=True)


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(box=None)
    for heading in ("figure", "value", "unit", "bound", ""):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for figure in figures:
        mark = "[green]ok[/]" if figure.ok else "[red]missed[/]"
        table.add_row(figure.name, f"{figure.value:,.6g}", figure.unit, figure.bound, mark)
    Console().print(table)


def keep(figures: Sequence[Figure], path: Path) -> None:
    """Write the file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
