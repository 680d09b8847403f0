"""`envoi plugin`: what is installed, what is on, whether it is right, and a new one."""

from __future__ import annotations

from pathlib import Path

import click

from envoi.cli.context import in_tenant, tenant_option, write_json
from envoi.cli.plugin_checks import check_plugin, plugin_of
from envoi.cli.scaffold import KINDS, write_plugin
from envoi.plugins import PluginInfo, load_plugins
from envoi.tenants.plugins import switch_plugin


@click.group()
def plugin() -> None:
    """Installed plugins."""


@plugin.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """List installed plugins, what they bring, and which were left out and why."""
    found = load_plugins()
    if as_json:
        write_json({"plugins": list(found.infos.values()), "left_out": list(found.left_out)})
        return
    for info in sorted(found.infos.values(), key=lambda info: info.name):
        click.secho(f"{info.name}  {info.distribution} {info.version}, {_use(info)}", bold=True)
        click.echo(f"    {', '.join(info.provides) or 'pages or background work'}")
    for left in found.left_out:
        click.secho(f"{left.name}  {left.distribution}, left out", bold=True, fg="red")
        click.echo(f"    {left.reason}")


def _use(info: PluginInfo) -> str:
    if info.always_on:
        return "always on"
    before, after = ("on", "off") if info.starts_on else ("off", "on")
    return f"{before} until a company switches it {after}"


@plugin.command("check")
@click.argument("plugin", metavar="NAME|FOLDER")
def check(plugin: str) -> None:
    """Look at an installed plugin, or at one in its project's folder.

    Its tests prove that it works; this finds what can be seen without them.
    """
    findings = list(check_plugin(*plugin_of(plugin)))
    for finding in findings:
        mark = click.style("ok   ", fg="green") if finding.ok else click.style("wrong", fg="red")
        click.echo(f"{mark}  {finding.name}: {finding.found}")
        if not finding.ok:
            click.echo(f"       {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


@plugin.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it is to bring.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A new folder for it.",
)
def new(name: str, kind: str, directory: Path) -> None:
    """Write a working plugin with its tests; NAME is such as acme-sms."""
    for path in write_plugin(name, kind, directory):
        click.echo(f"  {path}")
    click.echo(f"Next: cd {directory} && pip install . pytest && pytest")


@plugin.command("enable")
@click.argument("name")
@tenant_option
def enable(name: str, tenant: str) -> None:
    """Switch a plugin on for a company."""
    with in_tenant(tenant) as (installation, session, tenant_id):
        switch_plugin(session, installation.plugins, tenant_id, name, on=True)


@plugin.command("disable")
@click.argument("name")
@tenant_option
def disable(name: str, tenant: str) -> None:
    """Switch a plugin off for a company."""
    with in_tenant(tenant) as (installation, session, tenant_id):
        switch_plugin(session, installation.plugins, tenant_id, name, on=False)
