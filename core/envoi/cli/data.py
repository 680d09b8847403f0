"""`envoi import`, `envoi demo`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from envoi.cli.context import opened, opened_for, tenant_option, write_json
from envoi.customers.import_kinds import ImportKind
from envoi.customers.import_run import run_import
from envoi.customers.imports import create_import, error_file_path
from envoi.customers.intake import store_upload
from envoi.demo.loading import load_demo


@click.command("import")
@click.argument("kind", type=click.Choice([kind.value for kind in ImportKind]))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@tenant_option
def import_file(kind: str, file: Path, tenant: str) -> None:
    """Import a file of customers, products, receipts or lines; safe to repeat.

    Lines that were refused are written to a file with line and reason, whose path is printed.
    """
    with opened_for(tenant) as (installation, tenant_id):
        with file.open("rb") as stream:
            kept = store_upload(installation.settings.data_dir, stream)
        wanted = ImportKind(kind)
        with installation.database.tenant_session(tenant_id) as session:
            number = create_import(session, tenant_id, wanted, file.name, kept)
        with _bar(f"Importing {file.name}") as tell:
            done = run_import(installation, tenant_id, number, tell)
            while done.counts is None and done.finished_at is None:
                # A worker was quicker; it is asked again until it has ended.
                time.sleep(0.5)
                done = run_import(installation, tenant_id, number, tell)
        errors = error_file_path(installation.settings.data_dir, tenant_id, number)
    write_json({"import": done, "error_file": str(errors) if errors.exists() else None})
    if done.counts is None or done.counts.refused:
        raise SystemExit(2)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, int], None]]:
    """Show progress on the terminal's error stream once it takes over a second."""
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, visible=False)
        begun = time.monotonic()

        def tell(read: int, saved: int, lines: int) -> None:
            late = time.monotonic() - begun > 1
            bars.update(task, completed=read + saved, total=2 * lines, visible=late)

        yield tell


@click.group()
def demo() -> None:
    """The demo company."""


@demo.command("load")
def load() -> None:
    """Load the demo company, unless it is there."""
    with opened() as installation:
        load_demo(installation, lambda part: click.echo(f"Loading {part} ...", err=True))
