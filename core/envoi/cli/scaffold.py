"""Writes the distribution of a new plugin: working, with tests that inherit the contract."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from envoi.errors import ConflictError, Problem, ValidationFailedError

KINDS = ("provider", "rule", "segment", "channel")
_SOURCES = Path(__file__).parent / "new_plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST_NAME = 30


def write_plugin(name: str, kind: str, directory: Path) -> list[Path]:
    """Write a plugin of a kind into a new folder and return its files.

    Raises:
        ValidationFailedError: The name cannot be that of a plugin.
        ConflictError: The folder holds something already.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        message = f"A name has up to {LONGEST_NAME} of a-z, 0-9 and -, such as acme-sms."
        raise ValidationFailedError([Problem("name", message)])
    if directory.exists() and any(directory.iterdir()):
        raise ConflictError(f"{directory} is not empty. Choose a new folder.")
    words = _words(name)
    found = [*_files("every"), *_files(kind), (Path("package") / "py.typed", Template(""))]
    return [_write(directory, path, source, words) for path, source in found]


def _words(name: str) -> dict[str, str]:
    plain = name.replace("-", "_")
    return {
        "name": plain,
        "dashed": name.replace("_", "-"),
        "package": f"envoi_{plain}",
        "title": plain.replace("_", " ").capitalize(),
    }


def _files(folder: str) -> list[tuple[Path, Template]]:
    root = _SOURCES / folder
    return [
        (path.relative_to(root).with_suffix(""), Template(path.read_text(encoding="utf-8")))
        for path in sorted(root.rglob("*.txt"))
    ]


def _write(directory: Path, path: Path, source: Template, words: dict[str, str]) -> Path:
    written = directory / str(path).replace("package", words["package"], 1)
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_text(source.substitute(words), encoding="utf-8")
    return written
