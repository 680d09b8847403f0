"""`python -m chaos [--only ROW]`: a table and `var/chaos.json`; status 1 for a missed bound."""

from __future__ import annotations

import argparse
import random
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from bench.figures import Figure, at_most, keep, show
from bench.stage import stage
from chaos import kills, outages, sharing, starting
from chaos.course import Row

ROWS: dict[str, Callable[[Row], list[Figure]]] = {
    "kills": kills.kills,
    "kills_held": kills.kills_held,
    "burns": kills.burns,
    "storm": kills.storm,
    "valkey_wiped": outages.valkey_wiped,
    "valkey_down": outages.valkey_down,
    "postgres_stopped": outages.postgres_stopped,
    "restarts": outages.restarts,
    "limit": sharing.limit,
    "tenants": sharing.tenants,
    "opt_outs": sharing.opt_outs,
    "steering": sharing.steering,
    "start": starting.start,
    "schedulers": starting.schedulers,
}
LEAST_SECONDS, MORE_SECONDS = 300, 1_500
"""A row is ended after so long, and so much longer at its full scale."""


def main() -> int:
    """Run the rows asked for and tell whether every bound was kept."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--only", choices=sorted(ROWS), help="one row instead of all")
    parser.add_argument("--turn", type=int, help="one row by turns, as CI runs it")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is as promised")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = parser.parse_args()
    # Asked to end it ends what it has started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGALRM, _end_the_row)
    names, scale = [given.only] if given.only else list(ROWS), given.scale
    if given.turn is not None:
        names = [names[given.turn % len(names)]]
    figures: list[Figure] = []
    for name in names:
        Console(stderr=True).print(f"[dim]{name} (--seed {given.seed} --scale {scale}) ...[/]")
        signal.alarm(round(LEAST_SECONDS + MORE_SECONDS * scale))
        figures += run(name, scale, given.seed)
        signal.alarm(0)
    show(figures)
    keep(figures, Path("var") / "chaos.json")
    return 0 if all(figure.ok for figure in figures) else 1


def run(name: str, scale: float, seed: int) -> list[Figure]:
    """Run one row on servers of its own; what does not end in time misses its bound."""
    with stage() as here:
        try:
            return ROWS[name](Row(here, scale, random.Random(seed)))
        except TimeoutError as error:
            Console(stderr=True).print(f"[red]{name}[/]: {error}")
            return [at_most(f"{name}.unfinished", 1, "rows", 0)]


def _end_the_row(*_: object) -> NoReturn:
    raise TimeoutError("The row took too long and was ended.")


if __name__ == "__main__":
    sys.exit(main())
