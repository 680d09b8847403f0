"""What the product imports is installed where it only runs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
KITS = ROOT / "core" / "envoi" / "testing"
"""Kits of tests, imported where pytest is."""
ONLY_FOR_TYPES = {"_typeshed"}


def test_every_import_is_of_a_locked_package() -> None:
    lock = (ROOT / "requirements" / "run.lock").read_text(encoding="utf-8")
    locked = {_plain(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    known = packages_distributions()
    needed = {name: known.get(name, [name]) for name in _imported()}
    missing = {n for n, brought in needed.items() if not {*map(_plain, brought)} & locked}
    assert missing == set(), "add it to the dependencies and renew the locks: make lock"


def _imported() -> set[str]:
    """The first names of what is imported from outside."""
    roots = (ROOT / top for top in ("core", "plugins", "simulators", "web", "workers"))
    paths = (path for root in roots for path in root.rglob("*.py") if KITS not in path.parents)
    found = {name.partition(".")[0] for path in paths for name in _names(path)}
    ours = {name for name in found if name == "envoi" or name.startswith("envoi_")}
    return found - ours - ONLY_FOR_TYPES - sys.stdlib_module_names


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
