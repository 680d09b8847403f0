"""`envoi counters check|rebuild|judge`: opens and clicks, compared with what was kept of them."""

from __future__ import annotations

import click
from sqlalchemy import select

from envoi.cli.context import opened_for, tenant_option, write_json
from envoi.db import Database, table
from envoi.delivery.models import Run
from envoi.tracking.counters import compare
from envoi.tracking.counters import rebuild as rebuild_run
from envoi.tracking.judging import reclassify

mailing_option = click.option("--mailing", type=int, help="One mailing instead of all.")


@click.group()
def counters() -> None:
    """Counters of opens and clicks, and who of them was a machine."""


@counters.command("check")
@tenant_option
@mailing_option
def check(tenant: str, mailing: int | None) -> None:
    """Compare counters with the hits that were kept; status 1 if any differs."""
    with opened_for(tenant) as (installation, tenant_id):
        database = installation.database
        runs = _runs(database, tenant_id, mailing)
        found = {run: compare(database, tenant_id, run) for run in runs}
    differences = {run: of_run for run, of_run in found.items() if of_run}
    write_json({"runs": len(runs), "differences": differences})
    if differences:
        raise SystemExit(1)


@counters.command("rebuild")
@tenant_option
@mailing_option
def rebuild(tenant: str, mailing: int | None) -> None:
    """Count again from the hits that were kept; new hits wait for a moment, readers never."""
    with opened_for(tenant) as (installation, tenant_id):
        runs = _runs(installation.database, tenant_id, mailing)
        for run in runs:
            rebuild_run(installation.database, tenant_id, run)
    write_json({"runs": len(runs)})


@counters.command("judge")
@tenant_option
@mailing_option
def judge(tenant: str, mailing: int | None) -> None:
    """Tell people from machines again, by the rules of this version; figures follow."""
    with opened_for(tenant) as (installation, tenant_id):
        runs = _runs(installation.database, tenant_id, mailing)
        changed = sum(reclassify(installation.database, tenant_id, run) for run in runs)
    write_json({"runs": len(runs), "changed": changed})


def _runs(database: Database, tenant_id: int, mailing_id: int | None) -> list[int]:
    run = table(Run).c
    query = select(run.id).where(run.tenant_id == tenant_id).order_by(run.id)
    if mailing_id is not None:
        query = query.where(run.mailing_id == mailing_id)
    with database.tenant_session(tenant_id) as session:
        return list(session.scalars(query))
