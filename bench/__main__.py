"""`python -m bench [--only GROUP]`: a table and `var/bench.json`; status 1 for a missed bound."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import audience, estimate, imports, pages, sending, tracking
from bench.figures import Figure
from bench.stage import Stage, stage

Group = Callable[[Stage], Iterable[Figure]]

GROUPS: dict[str, Group] = {
    "import_customers": lambda s: imports.run(s.database, s.tenant()),
    "volume": lambda s: audience.volume(s.database, s.tenant()),
    "estimate": lambda s: estimate.run(s.database, s.tenant()),
    "pages": pages.run,
    "collection": lambda s: audience.collection(s.database, s.tenant()),
    "send": sending.send,
    "ledger": sending.ledger,
    "memory": sending.memory,
    "tracking": tracking.run,
}


def main() -> int:
    """Run the groups asked for and tell whether every bound was kept."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--only", choices=sorted(GROUPS), help="one group instead of all")
    only = parser.parse_args().only
    figures: list[Figure] = []
    for name in [only] if only else GROUPS:
        Console(stderr=True).print(f"[dim]{name} ...[/]")
        with stage() as here:
            figures += GROUPS[name](here)
    _print(figures)
    _write(figures, Path("var") / "bench.json")
    return 0 if all(figure.ok for figure in figures) else 1


def _print(figures: list[Figure]) -> None:
    table = Table(box=None)
    for heading in ("figure", "value", "unit", "bound", ""):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for figure in figures:
        mark = "[green]ok[/]" if figure.ok else "[red]missed[/]"
        table.add_row(figure.name, f"{figure.value:,.6g}", figure.unit, figure.bound, mark)
    Console().print(table)


def _write(figures: list[Figure], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
