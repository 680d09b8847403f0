"""`python -m bench [--only GROUP]`: a table and `var/bench.json`; status 1 for a missed bound."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from bench import audience, estimate, imports, pages, plugins, reports, sending, smpp, tracking
from bench.figures import Figure, keep, show
from bench.stage import Stage, stage

Group = Callable[[Stage], Iterable[Figure]]

GROUPS: dict[str, Group] = {
    "import_customers": lambda s: imports.run(s.database, s.tenant()),
    "volume": lambda s: audience.volume(s.database, s.tenant()),
    "estimate": lambda s: estimate.run(s.database, s.tenant()),
    "pages": pages.run,
    "plugins": plugins.run,
    "collection": lambda s: audience.collection(s.database, s.tenant()),
    "send": sending.send,
    "ledger": sending.ledger,
    "large_run": sending.large_run,
    "tracking": tracking.run,
    "smpp": smpp.run,
    "reports": reports.run,
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
    show(figures)
    keep(figures, Path("var") / "bench.json")
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
