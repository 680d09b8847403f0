"""A minute of everything at once; `make chaos` has the longer rows."""

from __future__ import annotations

import secrets

import pytest

from chaos.__main__ import run

SCALE = 0.6


@pytest.mark.slow
def test_a_storm_loses_nobody() -> None:
    seed = secrets.randbelow(1_000_000)
    figures = run("storm", SCALE, seed)
    assert [figure for figure in figures if not figure.ok] == [], f"with the seed {seed}"
