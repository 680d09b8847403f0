"""Distributions installed as far as their metadata tell: a module and an entry point."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from uuid import uuid4

HEAD = """
from envoi import hookimpl
from envoi.types import ProviderSpec, SegmentSourceSpec
from pydantic import BaseModel

def provider(name, label="A provider"):
    return ProviderSpec(name=name, label=label, channel="email", settings=BaseModel, factory=None)
"""


def lay_out(
    folder: Path, source: str, *, entry: str = "acme", distribution: str = "envoi-acme"
) -> None:
    """Write a distribution of one module into a folder that is on the path."""
    module = f"acme_{uuid4().hex}"
    (folder / f"{module}.py").write_text(HEAD + dedent(source))
    info = folder / f"{distribution.replace('-', '_')}-2.1.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.1\n"
    (info / "METADATA").write_text(about)
    (info / "entry_points.txt").write_text(f"[envoi]\n{entry} = {module}\n")
