"""`envoi segment create|count`, with JSON in and out."""

from __future__ import annotations

import click

from envoi.cli.context import in_tenant, opened_for, read_json, tenant_option, write_json
from envoi.segments.queries import count
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
        made = create_segment(session, installation.plugins, tenant_id, name=name, tree=conditions)
        write_json({"id": made.id, "name": made.name, "version": made.version})


@segment.command("count")
@tenant_option
@click.argument("tree", default="-")
def count_command(tenant: str, tree: str) -> None:
    """Count the customers of a JSON tree without saving it."""
    conditions = read_json(tree)
    with opened_for(tenant) as (installation, tenant_id):
        customers = count(installation.database, installation.plugins, tenant_id, conditions)
        write_json({"customers": customers})
