"""`envoi mailing create|estimate|launch|pause|resume|cancel|report`, with JSON in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy.orm import Session

from envoi.cli.context import in_tenant, read_json, tenant_option, write_json
from envoi.cli.restoring import resume_after_restore
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import estimate_mailing
from envoi.mailings.report import report_of_mailing
from envoi.mailings.review import review


@click.group()
def mailing() -> None:
    """Mailings: from a draft to its report."""


mailing.add_command(resume_after_restore)


@mailing.command("create")
@tenant_option
@click.argument("document", default="-")
def create(tenant: str, document: str) -> None:
    """Make a draft from JSON: name, channel, segment_id, content, and any setting of a draft."""
    given: dict[str, Any] = read_json(document)
    content = given.pop("content", {})
    channel, name = given.pop("channel", "email"), given.pop("name", "")
    with in_tenant(tenant) as (installation, session, tenant_id):
        made = service.create_draft(
            session,
            tenant_id,
            channel=channel,
            name=name,
            segment_id=given.pop("segment_id", None),
        )
        service.update_mailing(session, tenant_id, made.id, made.version, given)
        variants.save_content(session, tenant_id, made.id, made.version, content)
        checks = review(session, installation.plugins, made)
        write_json({"id": made.id, "version": made.version, "checks": checks})


@mailing.command("estimate")
@tenant_option
@click.argument("mailing_id", type=int)
def estimate(tenant: str, mailing_id: int) -> None:
    """Count who would get a mailing now, and who not and why."""
    with in_tenant(tenant) as (installation, session, tenant_id):
        volume = estimate_mailing(session, installation.plugins, tenant_id, mailing_id)
        write_json(volume.as_document())


@mailing.command("launch")
@tenant_option
@click.argument("mailing_id", type=int)
@click.option("--recipients", type=int, required=True, help="The number that `estimate` showed.")
def launch_command(tenant: str, mailing_id: int, recipients: int) -> None:
    """Confirm the start; refused when the number of recipients has changed."""
    with in_tenant(tenant) as (installation, session, tenant_id):
        confirmed = launch.confirm(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            mailing_id,
            recipients=recipients,
        )
        write_json({"id": confirmed.id, "starts_at": confirmed.starts_at})


@mailing.command("pause")
@tenant_option
@click.argument("mailing_id", type=int)
@click.option("--reason", default="Paused from the command line", show_default=True)
def pause(tenant: str, mailing_id: int, reason: str) -> None:
    """Stop sending after the messages that are on their way."""
    _steer(tenant, lambda session, tenant_id: launch.pause(session, tenant_id, mailing_id, reason))


@mailing.command("resume")
@tenant_option
@click.argument("mailing_id", type=int)
def resume(tenant: str, mailing_id: int) -> None:
    """Go on with a paused mailing."""
    _steer(tenant, lambda session, tenant_id: launch.resume(session, tenant_id, mailing_id))


@mailing.command("cancel")
@tenant_option
@click.argument("mailing_id", type=int)
def cancel(tenant: str, mailing_id: int) -> None:
    """Stop a mailing for good."""
    _steer(tenant, lambda session, tenant_id: launch.cancel(session, tenant_id, mailing_id))


@mailing.command("report")
@tenant_option
@click.argument("mailing_id", type=int)
def report(tenant: str, mailing_id: int) -> None:
    """Print the report of a launched mailing."""
    with in_tenant(tenant) as (installation, session, tenant_id):
        write_json(report_of_mailing(session, installation.plugins, tenant_id, mailing_id))


def _steer(tenant: str, act: Callable[[Session, int], None]) -> None:
    with in_tenant(tenant) as (_, session, tenant_id):
        act(session, tenant_id)
    write_json({"ok": True})
