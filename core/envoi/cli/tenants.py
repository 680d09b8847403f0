"""`envoi tenant`, `envoi user`, `envoi gateway`."""

from __future__ import annotations

import secrets

import click

from envoi.accounts.permissions import Role
from envoi.accounts.queries import account_by_email
from envoi.accounts.service import create_account, set_role
from envoi.cli.context import in_tenant, opened, opened_for, read_json, tenant_option, write_json
from envoi.db import Database
from envoi.delivery.gateways import set_gateway, test_gateway
from envoi.tenants.service import create_tenant


@click.group()
def tenant() -> None:
    """Companies on this installation."""


@tenant.command("create")
@click.argument("slug")
@click.option("--name", required=True, help="The company's name, as customers see it.")
@click.option("--time-zone", default="Europe/Berlin", show_default=True)
@click.option("--currency", default="EUR", show_default=True)
def create_tenant_command(slug: str, name: str, time_zone: str, currency: str) -> None:
    """Found a company; SLUG is its short name for commands."""
    with opened() as installation:
        made = create_tenant(
            installation.database, slug=slug, name=name, time_zone=time_zone, currency=currency
        )
        write_json({"id": made.id, "slug": made.slug, "name": made.name})


@click.group()
def user() -> None:
    """Employees who log in."""


@user.command("create")
@click.argument("email")
@tenant_option
@click.option("--name", default="", help="Full name.")
@click.option("--role", type=click.Choice([r.value for r in Role]), default="administrator")
@click.option("--password", help="Without it one is made up and printed once.")
def create_user(email: str, tenant: str, name: str, role: str, password: str | None) -> None:
    """Make an employee of a company; an account that exists keeps its password."""
    made_up = None
    with opened_for(tenant) as (installation, tenant_id):
        account_id = _known(installation.database, email)
        if account_id is None:
            made_up = None if password else secrets.token_urlsafe(12)
            account_id = create_account(
                installation.database, email=email, name=name, password=password or made_up or ""
            )
        set_role(installation.database, tenant_id=tenant_id, account_id=account_id, role=Role(role))
    write_json({"id": account_id, "email": email, "role": role, "password": made_up})


def _known(database: Database, email: str) -> int | None:
    with database.system_session() as session:
        account = account_by_email(session, email)
        return account.id if account else None


@click.group()
def gateway() -> None:
    """Configured accounts of providers."""


@gateway.command("set")
@tenant_option
@click.option("--channel", default="email", show_default=True)
@click.option("--provider", default="smtp", show_default=True)
@click.option("--name", default="default", show_default=True)
@click.argument("settings", default="-")
def set_gateway_command(tenant: str, channel: str, provider: str, name: str, settings: str) -> None:
    """Set a gateway up from JSON (a file, or - for standard input).

    For SMTP: {"host": "smtp.example.com", "port": 587, "security": "starttls", "username": ...,
    "password": ...}. Secrets are encrypted before they are stored.
    """
    values = read_json(settings)
    with in_tenant(tenant) as (installation, session, tenant_id):
        made = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel=channel,
            provider=provider,
            name=name,
            values=values,
        )
        write_json({"id": made.id, "channel": channel, "provider": provider, "name": name})


@gateway.command("test")
@tenant_option
@click.option("--channel", default="email", show_default=True)
def test_gateway_command(tenant: str, channel: str) -> None:
    """Try the default gateway without sending and print the provider's own answer."""
    with opened_for(tenant) as (installation, tenant_id):
        click.echo(test_gateway(installation, tenant_id, channel))
