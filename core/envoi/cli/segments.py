"""`envoi segment create|count`, with JSON in and out."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from sqlalchemy import func, select

from envoi.cli.context import in_tenant, read_json, tenant_option, write_json
from envoi.segments.compile import customer_ids
from envoi.segments.service import create_segment


@click.group()
def segment() -> None:
    """Segments of customers."""


@segment.command("create")
@tenant_option
@click.option("--name", required=True)
@click.argument("tree", default="-")
def create(tenant: str, name: str, tree: str) -> None:
    """Save a segment from its JSON tree (a file, or - for standard input)."""
    conditions = read_json(tree)
    with in_tenant(tenant) as (installation, session, tenant_id):
        made = create_segment(
            session, tenant_id, name=name, tree=conditions, plugins=installation.plugins
        )
        write_json({"id": made.id, "name": made.name, "version": made.version})


@segment.command("count")
@tenant_option
@click.argument("tree", default="-")
def count_command(tenant: str, tree: str) -> None:
    """Count the customers of a JSON tree without saving it."""
    conditions = read_json(tree)
    with in_tenant(tenant) as (installation, session, tenant_id):
        now, plugins = datetime.now(UTC), installation.plugins
        ids = customer_ids(session, tenant_id, conditions, now=now, plugins=plugins)
        customers = session.scalar(select(func.count()).select_from(ids.subquery()))
        write_json({"customers": customers})
