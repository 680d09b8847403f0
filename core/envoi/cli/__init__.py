"""The command line: `envoi COMMAND`; every command has help, and errors end with status 1.

The core's own commands are in the modules beside this one; parts that the core must not
import (pages, workers) bring theirs through the entry-point group `envoi.commands`.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from envoi import __version__
from envoi.cli import checks, data, mailings, segments, servers, tenants
from envoi.errors import EnvoiError

COMMANDS = "envoi.commands"


class _Commands(click.Group):
    """The core's commands, and those that installed parts bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            {*super().list_commands(ctx), *(e.name for e in entry_points(group=COMMANDS))}
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group=COMMANDS, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="envoi")
def commands() -> None:
    """Mass messaging for loyalty programmes.

    Settings are read from ENVOI_* variables: see `envoi settings`.
    """


for command in (
    *(servers.up, servers.migrate, servers.settings),
    *(tenants.tenant, tenants.user, tenants.gateway, tenants.plugin),
    *(data.import_file, data.demo),
    *(segments.segment, mailings.mailing, checks.doctor),
):
    commands.add_command(command)


def main() -> None:
    """Run the command line; errors that Envoi knows are told in one sentence."""
    try:
        commands(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EnvoiError as error:
        click.secho(f"Error: {error}", err=True, fg="red")
        sys.exit(1)
