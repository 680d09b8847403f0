"""`envoi doctor`: says what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from envoi.cli.context import opened, write_json
from envoi.cli.findings import Checking, Finding
from envoi.cli.sending_checks import (
    check_circuits,
    check_scheduler,
    check_senders,
    check_signatures,
    check_unconfirmed,
    companies,
)
from envoi.cli.server_checks import check_clock, check_database_settings, check_queue
from envoi.delivery.gateways import test_gateway
from envoi.delivery.restored import at_stake, may_send
from envoi.errors import EnvoiError
from envoi.feedback.models import NOBODY, InboundState
from envoi.feedback.queries import count_inbound, door_signs
from envoi.installation import Installation
from envoi.logs import masked
from envoi.schema import PARTITIONED, describe

LEAST_VERSION = 170_000
LEAST_FREE_BYTES = 1 << 30
LISTENER_SECONDS = 60
MOST_ASKED = 20
"""Companies whose mail server is asked; each may keep us waiting."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check servers, processes, gateways, work, disk and clocks; status 1 if something is wrong."""
    try:
        with opened() as installation:
            findings = [found for check in CHECKS for found in _fenced(check, installation)]
    except (EnvoiError, SQLAlchemyError) as error:
        findings = [Finding("database", False, str(error), "Check ENVOI_DATABASE_URL.")]
    if as_json:
        write_json(findings)
    else:
        print_findings(findings)
    if not all(f.ok for f in findings):
        raise SystemExit(1)


def _database(installation: Installation) -> Iterator[Finding]:
    with installation.database.engine.connect() as connection:
        version = connection.execute(text("SHOW server_version_num")).scalar_one()
        name = connection.execute(text("SHOW server_version")).scalar_one()
        yield Finding(
            "database", int(version) >= LEAST_VERSION, name, "Use PostgreSQL 17 or later."
        )
        state = describe(connection)
        yield Finding(
            "migrations",
            state["applied"] == state["newest"],
            f"{state['applied']} of {state['newest']}",
            "Run `envoi migrate`.",
        )


def _restored(installation: Installation) -> Iterator[Finding]:
    with installation.database.system_session() as session:
        ok = may_send(session)
    waiting = 0 if ok else sum(run.waiting for run in at_stake(installation.database))
    yield Finding(
        "restored copy",
        ok,
        "no" if ok else f"yes, nothing is sent; {waiting:,} messages wait",
        "Pause what was sent since the backup, then `envoi mailing resume-after-restore`.",
    )


def _role(installation: Installation) -> Iterator[Finding]:
    query = text(
        "SELECT rolsuper OR rolbypassrls AS unsafe, pg_has_role(current_user, oid, 'SET') AS usable"
        " FROM pg_roles WHERE rolname = :role"
    )
    role = installation.database.app_role
    with installation.database.engine.connect() as connection:
        row = connection.execute(query, {"role": role}).one_or_none()
    ok = row is not None and row.usable and not row.unsafe
    yield Finding("role", ok, role, "Run `envoi migrate`; the role must not be a superuser.")
    with installation.database.tenant_connection(0) as connection:
        mode = connection.execute(text("SHOW plan_cache_mode")).scalar_one()
    yield Finding(
        "plan mode",
        mode == "force_custom_plan",
        mode,
        "A pooler drops set_config; use session mode.",
    )


def _partitions(installation: Installation) -> Iterator[Finding]:
    query = text(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = CAST(:parent AS regclass)"
        " AND right(inhrelid::regclass::text, 7) > :month"
    )
    month = date.today().strftime("%Y_%m")
    with installation.database.engine.connect() as connection:
        for parent in PARTITIONED:
            ahead = connection.execute(query, {"parent": parent, "month": month}).scalar_one()
            yield Finding(
                f"months ahead of {parent}",
                ahead >= 1,
                str(ahead),
                "Run `envoi migrate`, or start the scheduler, which makes them.",
            )


def _plugins(installation: Installation) -> Iterator[Finding]:
    found = installation.plugins
    yield Finding("plugins", True, f"{len(found.infos)} work")
    for left in found.left_out:
        what = f"{left.distribution}: {left.reason}"
        yield Finding(f"plugin {left.name}", False, what, "Mend or uninstall it.")


def _gateways(installation: Installation) -> Iterator[Finding]:
    for slug, tenant_id in companies(installation.database)[:MOST_ASKED]:
        try:
            answer = test_gateway(installation, tenant_id, "email")
            yield Finding(f"SMTP of {slug}", True, answer.splitlines()[0][:80])
        except EnvoiError as error:
            yield Finding(f"SMTP of {slug}", False, str(error), "Run `envoi gateway set`.")


def _doors(installation: Installation) -> Iterator[Finding]:
    with installation.database.system_session() as session:
        signs = door_signs(session)
    with installation.database.tenant_session(NOBODY) as session:
        strays = count_inbound(session, NOBODY)[InboundState.QUARANTINED]
    place = f"{installation.settings.inbound_host}:{installation.settings.effective_inbound_port}"
    sign = signs.get("listener")
    alive = sign is not None and sign.is_alive(LISTENER_SECONDS)
    found = f"listens on {place}" if alive else f"nobody listens on {place}"
    yield Finding("listener for bounces", alive, found, "Start `envoi listener`.")
    if installation.settings.mailbox_url.get_secret_value():
        mailbox = signs.get("mailbox")
        alive = mailbox is not None and mailbox.is_alive(3 * installation.settings.mailbox_seconds)
        trouble = mailbox.trouble if mailbox else ""
        found = trouble or ("is read" if alive else "is not read")
        remedy = "Check ENVOI_MAILBOX_URL and that `envoi listener` runs."
        yield Finding("mailbox of the return path", alive and not trouble, found, remedy)
    yield Finding("bounces of nobody", True, f"{strays} in quarantine")


def _disk(installation: Installation) -> Iterator[Finding]:
    folder = installation.settings.data_dir
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    yield Finding("disk", free >= LEAST_FREE_BYTES, f"{free >> 30} GiB free", "Free some space.")


CHECKS: tuple[Checking, ...] = (
    *(_database, check_database_settings, _restored, _role, _partitions, check_queue),
    *(check_senders, check_scheduler, _plugins, _gateways, check_circuits, check_signatures),
    *(check_unconfirmed, _doors, _disk, check_clock),
)


def _fenced(check: Checking, installation: Installation) -> list[Finding]:
    """A check that cannot be made is a finding, and the others are still made."""
    found: list[Finding] = []
    try:
        found.extend(check(installation))
    except (EnvoiError, SQLAlchemyError, OSError) as error:
        name = check.__name__.removeprefix("_").removeprefix("check_")
        found.append(Finding(name, False, str(error).splitlines()[0], "Mend this first."))
    return found


def print_findings(findings: list[Finding]) -> None:
    """Write what was found for people."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found", "what to do"):
        table.add_column(heading)
    for f in findings:
        mark: Any = "[green]ok[/]" if f.ok else "[red]wrong[/]"
        # Providers and companies chose some of these words.
        said = (escape(masked(words)) for words in (f.name, f.found, "" if f.ok else f.remedy))
        table.add_row(mark, *said)
    Console().print(table)
