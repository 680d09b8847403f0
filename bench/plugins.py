"""Twenty plugins that nobody uses: what they cost a start, and a page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from flask.testing import FlaskClient

from bench.figures import Figure, at_most, info
from bench.pages import employ, signed_in
from bench.stage import Stage
from envoi.plugins import load_plugins

IDLE = 20
STARTS = 9
ASKED = 60
PAGE = "/segments/"
MOST_START_MS = 50.0
MOST_PAGE_MS = 1.0
"""What two rows of measurements of the same differ by on a machine that is left alone."""

_SOURCE = """
from envoi import hookimpl
from envoi.types import ProviderSpec
from pydantic import BaseModel, ConfigDict, Field

class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str = Field("", title="Address")

@hookimpl
def register_providers():
    yield ProviderSpec(
        name="idle_{number}", label="Idle", channel="sms", settings=Settings, factory=None)
"""
_START = """
from time import perf_counter
import envoi.plugins, pydantic
began = perf_counter()
found = envoi.plugins.load_plugins()
print(1000 * (perf_counter() - began), len(found.infos))
"""


def run(stage: Stage) -> list[Figure]:
    """Compare starts and pages with and without them."""
    employ(stage.database, stage.tenant())
    with TemporaryDirectory() as folder:
        for number in range(IDLE):
            _lay_out(Path(folder), number)
        start, more = _starts(folder)
        page, page_more = _page(stage, folder)
    return [
        info("plugins: start without idle ones", start, "ms"),
        at_most(f"plugins: {IDLE} idle ones add to a start", more, "ms", MOST_START_MS),
        info("plugins: a page without idle ones", page, "ms"),
        at_most(f"plugins: {IDLE} idle ones add to a page", page_more, "ms", MOST_PAGE_MS),
    ]


def _lay_out(folder: Path, number: int) -> None:
    """Write a distribution of one module, as installed."""
    (folder / f"idle_{number}.py").write_text(_SOURCE.format(number=number))
    about = folder / f"envoi_idle_{number}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: envoi-idle-{number}\nVersion: 1.0\n"
    )
    (about / "entry_points.txt").write_text(f"[envoi]\nidle-{number} = idle_{number}\n")


def _starts(folder: str) -> tuple[float, float]:
    """Milliseconds of loading without them, and what they add; each the best of several."""
    without, with_them = [], []
    for _ in range(STARTS):
        without.append(_start("", 0))
        with_them.append(_start(folder, IDLE))
    return min(without), min(with_them) - min(without)


def _start(path: str, idle: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({path!r})\n{_START}"],
        capture_output=True,
        text=True,
        check=True,
    )
    milliseconds, count = done.stdout.split()
    if idle and int(count) < idle:
        raise RuntimeError("the idle plugins were not loaded")
    return float(milliseconds)


def _page(stage: Stage, folder: str) -> tuple[float, float]:
    """Milliseconds of a page without them, and what they add; asked by turns."""
    bare = signed_in(stage.installation)
    with _on_path(folder):
        more = replace(stage.installation, plugins=load_plugins())
    full = signed_in(more)
    times: dict[str, list[float]] = {"bare": [], "full": []}
    for _ in range(ASKED):
        for name, browser in (("bare", bare), ("full", full)):
            times[name].append(_milliseconds(browser))
    return median(times["bare"]), median(times["full"]) - median(times["bare"])


@contextmanager
def _on_path(folder: str) -> Iterator[None]:
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _milliseconds(browser: FlaskClient) -> float:
    began = perf_counter()
    status = browser.get(PAGE).status_code
    if status != 200:
        raise RuntimeError(f"{PAGE} answered {status}")
    return 1000 * (perf_counter() - began)
