"""`envoi mailing resume-after-restore`: lets a restored database send again."""

from __future__ import annotations

import click

from envoi.cli.context import opened, write_json
from envoi.delivery.restored import at_stake, may_send, settle_in


@click.command("resume-after-restore")
@click.option("--yes", is_flag=True, help="Do not ask.")
def resume_after_restore(yes: bool) -> None:
    """Let a database that was restored from a backup, or moved, send again.

    Prints what waits to be sent: whatever of it left after the backup was taken arrives twice.
    Pause or cancel such mailings first.
    """
    with opened() as installation:
        with installation.database.system_session() as session:
            held = not may_send(session)
        runs = at_stake(installation.database)
        waiting = sum(run.waiting for run in runs)
        write_json({"held": held, "waiting": waiting, "runs": runs})
        if held:
            if not yes:
                click.confirm(f"Send {waiting:,} messages that may have left already?", abort=True)
            settle_in(installation.database)
