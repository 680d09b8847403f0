"""No file names a place of the machine it was written on, and no lock a place to load from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".toml", ".md", ".html", ".css", ".js", ".sh", ".sql", ".po", ".lock", ".json"}
# Put together here, so that this file does not name them either.
PLACES = re.compile(
    "|".join(f"/{name}/" for name in ("work", "root", "home", "Users", "tmp/brief"))
)
SOURCES = re.compile(r"://|file:|--find-links|--(extra-)?index-url|\s@\s")


def _files() -> list[Path]:
    """What is tracked; where this is no clone, everything but what is made."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return [p for line in listed.stdout.splitlines() if (p := ROOT / line).is_file()]
    made = {".venv", "var", "dist", "node_modules"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not made & set(p.parts)]


def test_no_file_names_a_place_of_a_machine() -> None:
    texts = [p for p in _files() if p.suffix in SUFFIXES or p.name in ("Makefile", "run")]
    assert len(texts) > 100
    vendored = {p for p in texts if "vendor" in p.parts}
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:80]}"
        for path in texts
        if path not in vendored
        for line in path.read_text(encoding="utf-8").splitlines()
        if PLACES.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["build", "run", "dev"])
def test_locks_hold_versions_and_hashes_only(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
    assert [line for line in lines if SOURCES.search(line)] == []
    pinned = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
    assert [line for line in pinned if "==" not in line] == []
    hashes = [line for line in lines if line.strip().startswith("--hash=sha256:")]
    assert len(hashes) >= len(pinned) > 0
