"""`envoi import`, `envoi demo`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from envoi.cli.context import opened, opened_for, tenant_option, write_json
from envoi.customers.importing import ImportResult
from envoi.customers.uploads import create_import, run_import
from envoi.demo.loading import load_demo


@click.command("import")
@click.argument("kind", type=click.Choice(["customers", "receipts"]))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@tenant_option
def import_file(kind: str, file: Path, tenant: str) -> None:
    """Import a CSV file of customers or receipts; safe to repeat.

    Lines that were refused are written to a file with line and reason, whose path is printed.
    """
    result: ImportResult
    with opened_for(tenant) as (installation, tenant_id):
        kept = installation.settings.data_dir / "uploads" / f"cli-{file.name}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept)
        with installation.database.tenant_session(tenant_id) as session:
            job = create_import(session, tenant_id, kind=kind, file_name=file.name, path=str(kept))
        result = run_import(installation, tenant_id, job.id)
    write_json(result)
    if result.refused:
        raise SystemExit(2)


@click.group()
def demo() -> None:
    """The demo company."""


@demo.command("load")
def load() -> None:
    """Load the demo company, unless it is there."""
    with opened() as installation:
        load_demo(installation)
