"""The command line: `envoi COMMAND`; every command has help, and errors end with status 1.

Commands come through the entry-point group `envoi.commands`, the core's own as well: a
process imports only the command it runs, and the core need not know pages or workers.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from envoi import __version__
from envoi.errors import EnvoiError
from envoi.logs import configure_logs

GROUP = "envoi.commands"


class _Commands(click.Group):
    """The commands that are installed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's interface)
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for entry in entry_points(group=GROUP, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="envoi")
def commands() -> None:
    """Mass messaging for loyalty programmes.

    Settings are read from ENVOI_* variables: see `envoi settings`.
    """


def main() -> None:
    """Run the command line; errors that Envoi knows are told in one sentence."""
    configure_logs()
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
