"""Front-end files of others are exactly the files of their packages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import envoi_web

VENDOR = Path(envoi_web.__file__).parent / "static" / "vendor"
LOCK = json.loads((VENDOR / "vendor.lock").read_text())


def test_every_file_has_the_hash_of_its_package() -> None:
    found = {entry["file"]: _hash(VENDOR / entry["file"]) for entry in LOCK}
    assert found == {entry["file"]: entry["sha256"] for entry in LOCK}


def test_nothing_lies_there_that_the_lock_does_not_know() -> None:
    files = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    assert files - {"vendor.lock"} == {entry["file"] for entry in LOCK}


def test_every_licence_is_named() -> None:
    assert {entry["licence"] for entry in LOCK} <= {"MIT", "0BSD", "Apache-2.0", "BSD-3-Clause"}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
