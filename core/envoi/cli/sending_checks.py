"""`envoi doctor` on sending: processes that live, work that waits, gateways, unknown outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.cli.findings import Finding
from envoi.db import Database, table
from envoi.delivery.gateway_list import Health, list_gateways
from envoi.delivery.gateways import settings_of
from envoi.delivery.models import Message, MessageState, Run, RunTraffic
from envoi.delivery.sender import count_senders
from envoi.errors import EnvoiError
from envoi.installation import Installation
from envoi.operations.chores import GIVE_HINTS, RECONCILE, chores
from envoi.tenants.models import DueWork, Tenant

LATE = timedelta(minutes=5)
RECENT = timedelta(days=7)
SCHEDULER_SECONDS = {GIVE_HINTS: 30.0, RECONCILE: 60.0}


def check_senders(installation: Installation) -> Iterator[Finding]:
    """Look for processes that send, and for those that died without being settled."""
    with installation.database.system_session() as session:
        alive, silent = count_senders(session)
    yield Finding("senders", alive > 0, f"{alive} alive", "Start `envoi worker`.")
    yield Finding(
        "dead senders",
        silent == 0,
        f"{silent} without a sign of life",
        "Start `envoi scheduler` on the host they were on; it settles what they held.",
    )


def check_scheduler(installation: Installation) -> Iterator[Finding]:
    """Look whether hints are given and dead senders settled, and whether work waits."""
    now = datetime.now(UTC)
    with installation.database.system_session() as session:
        ages = {name: chore.age(now) for name, chore in chores(session).items()}
        late = session.scalar(select(func.count()).where(table(DueWork).c.due_at < now - LATE))
    for name, most in SCHEDULER_SECONDS.items():
        age = ages.get(name)
        found = "never" if age is None else f"{age:.0f} s ago"
        ok = age is not None and age <= most
        yield Finding(f"scheduler: {name}", ok, found, "Start `envoi scheduler`.")
    remedy = "Start `envoi worker` and `envoi scheduler`; if they run, look into their log."
    yield Finding("late work", not late, f"{late or 0} waiting over 5 minutes", remedy)


def check_circuits(installation: Installation) -> Iterator[Finding]:
    """Look for gateways that do not work."""
    silent = 0
    for slug, tenant_id in companies(installation.database):
        with installation.database.tenant_session(tenant_id) as session:
            listed = list_gateways(session, tenant_id)
        for one in listed:
            if one.health is Health.SILENT and one.circuit is not None:
                silent += 1
                remedy = "Mend it in Settings, Gateways; it is tried again by itself."
                name = f"gateway {one.gateway.name} of {slug}"
                yield Finding(name, False, one.circuit.error, remedy)
    yield Finding("open circuits", silent == 0, str(silent), "See the gateways above.")


def check_signatures(installation: Installation) -> Iterator[Finding]:
    """Read the settings of every gateway, its passwords and its key for signatures."""
    plugins, settings = installation.plugins, installation.settings
    for slug, tenant_id in companies(installation.database):
        with installation.database.tenant_session(tenant_id) as session:
            for one in list_gateways(session, tenant_id):
                name = f"settings of {one.gateway.name} of {slug}"
                try:
                    values = settings_of(session, plugins, settings, one.gateway)
                except EnvoiError as error:
                    remedy = "Enter them again in Settings, Gateways."
                    yield Finding(name, False, str(error), remedy)
                    continue
                records = plugins.providers[one.gateway.provider].dns_records(values)
                signed = ", ".join(record.name for record in records)
                yield Finding(name, True, f"signs by {signed}" if signed else "read")


def check_unconfirmed(installation: Installation) -> Iterator[Finding]:
    """Look for messages of the last week of which nobody knows whether they arrived."""
    every = 0
    for slug, tenant_id in companies(installation.database):
        with installation.database.tenant_session(tenant_id) as session:
            count, mailings = _unconfirmed(session, tenant_id)
        if count:
            every += count
            found = f"{count} messages of {mailings} mailings"
            remedy = "Open the reports: resend them or leave them."
            yield Finding(f"unconfirmed of {slug}", False, found, remedy)
    yield Finding("unconfirmed", every == 0, f"{every} in 7 days", "See the companies above.")


def _unconfirmed(session: Session, tenant_id: int) -> tuple[int, int]:
    """Count in those runs only in which outcomes have been unknown: there are few of them."""
    run, traffic, message = table(Run).c, table(RunTraffic).c, table(Message).c
    query = (
        select(run.id, run.launched_on)
        .join_from(table(Run), table(RunTraffic), traffic.run_id == run.id)
        .where(run.tenant_id == tenant_id, traffic.tenant_id == tenant_id)
        .where(traffic.unconfirmed > 0, run.created_at > func.now() - RECENT)
    )
    counts = [
        session.scalar(
            select(func.count()).where(
                message.tenant_id == tenant_id,
                message.run_id == run_id,
                message.launched_on == launched_on,
                message.state == MessageState.UNCONFIRMED,
            )
        )
        or 0
        for run_id, launched_on in session.execute(query)
    ]
    return sum(counts), sum(map(bool, counts))


def companies(database: Database) -> Sequence[tuple[str, int]]:
    """Return the short name and the number of every company."""
    c = table(Tenant).c
    with database.system_session() as session:
        return [(row.slug, row.id) for row in session.execute(select(c.slug, c.id).order_by(c.id))]
