"""`envoi up`, `envoi migrate`, `envoi settings`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from pydantic import SecretStr

from envoi.cli import documents
from envoi.cli.context import opened, write_json
from envoi.cli.ports import refuse_taken_ports
from envoi.demo.loading import DEMO_LOGIN, load_demo, needs_demo
from envoi.embedded.stack import ServerUrls, running_servers
from envoi.installation import Installation, open_installation
from envoi.schema import migrate as migrate_schema
from envoi.secrets import environment_of, with_secret_key
from envoi.settings import Settings, load_settings
from envoi.supervisor import ChildSpec, Supervisor


@click.command()
def up() -> None:
    """Start the whole product: servers, pages, tracking, workers, scheduler and listener.

    Without ENVOI_DATABASE_URL and ENVOI_REDIS_URL it starts embedded servers in the data
    folder. Ctrl-C ends everything.
    """
    settings = load_settings()
    with running_servers(settings) as urls:
        refuse_taken_ports(settings)
        settings = _with_servers(settings, urls)
        installation = open_installation(settings)
        migrate_schema(installation.database.engine, settings.app_role)
        _first_start(installation)
        installation.database.engine.dispose()
        _announce(settings)
        Supervisor(_children(settings), every_second=urls.keep_running).run()


@click.command()
def migrate() -> None:
    """Bring the database to the schema of this version, and make the months ahead."""
    with opened(first=True) as installation:
        migrate_schema(installation.database.engine, installation.settings.app_role)
        click.echo("The database is up to date.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print the page of the documentation.")
@click.option("--env", is_flag=True, help="Print an example of an environment file.")
def settings(as_json: bool, markdown: bool, env: bool) -> None:
    """Show every setting with its value, default and meaning; secrets are not shown."""
    if markdown or env:
        click.echo(documents.markdown() if markdown else documents.example(), nl=False)
        return
    found = load_settings()
    rows = [
        {
            "variable": f"ENVOI_{name.upper()}",
            "value": str(getattr(found, name)),
            "default": str(field.default),
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        write_json(rows)
        return
    for row in rows:
        click.secho(f"{row['variable']}={row['value']}", bold=True)
        click.echo(f"    {row['meaning']}")


def _with_servers(settings: Settings, urls: ServerUrls) -> Settings:
    update = {"database_url": SecretStr(urls.database_url), "redis_url": SecretStr(urls.redis_url)}
    return with_secret_key(settings.model_copy(update=update))


def _first_start(installation: Installation) -> None:
    if installation.settings.demo and needs_demo(installation.database):
        click.echo("Loading the demo company, once ...")
        load_demo(installation, lambda part: click.echo(f"  {part}"))


def _children(settings: Settings) -> Sequence[ChildSpec]:
    environment = environment_of(settings)
    always = ("web", "tracking", "worker", "scheduler", "listener")
    parts = [*always, *(["mailbox", "simulators"] if settings.demo else [])]
    return [
        ChildSpec(name=part, command=[sys.executable, "-m", "envoi", part], environment=environment)
        for part in parts
    ]


def _announce(settings: Settings) -> None:
    click.echo(f"\n  Envoi:  {settings.web_url}")
    if settings.demo:
        email, password = DEMO_LOGIN
        click.echo(f"  Login:  {email}  password: {password}")
    click.echo("  Stop:   Ctrl-C\n")
