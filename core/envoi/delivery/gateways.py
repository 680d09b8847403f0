"""Gateways: a tenant's accounts at providers, their passwords encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.circuit import forget
from envoi.delivery.models import Gateway
from envoi.delivery.runs import resume_waiting
from envoi.errors import (
    NotFoundError,
    PluginError,
    Problem,
    ProviderError,
    ValidationFailedError,
)
from envoi.installation import Installation
from envoi.logs import without_secrets
from envoi.plugins import Plugins, fence
from envoi.sealed import Kept, completed, seal
from envoi.secrets import SecretBox
from envoi.settings import Settings
from envoi.types import Provider, ProviderSpec


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a person chooses for a gateway besides the provider's own settings."""

    name: str
    provider: str
    values: Mapping[str, Any]
    is_on: bool = True
    may_stand_in: bool = True
    most_connections: int = 0


def set_gateway(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    *,
    channel: str,
    provider: str,
    name: str,
    values: Mapping[str, Any],
    is_default: bool = True,
) -> Gateway:
    """Set up an account, or change the one of this channel and name.

    A password that is left out or empty stays as it was; a default gateway takes the place
    of the channel's default.

    Raises:
        ValidationFailedError: The values do not suit the provider.
        PluginError: No enabled plugin brings the provider for this channel.
    """
    known = named_gateway(session, tenant_id, channel, name)
    account = Account(
        name=name,
        provider=provider,
        values=values,
        is_on=known.is_on if known else True,
        may_stand_in=known.may_stand_in if known else True,
        most_connections=known.most_connections if known else 0,
    )
    gateway = store_account(session, plugins, settings, tenant_id, channel, known, account)
    if is_default:
        make_default(session, gateway)
    return gateway


def store_account(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    channel: str,
    gateway: Gateway | None,
    account: Account,
) -> Gateway:
    """Store a new or changed gateway; what waits for a gateway of the channel goes on with it.

    Raises:
        ValidationFailedError: The values do not suit the provider.
        PluginError: No enabled plugin brings the provider for this channel.
    """
    spec = provider_spec(session, plugins, tenant_id, account.provider)
    if spec.channel != channel:
        problem = f"{spec.label} sends {spec.channel}, not {channel}. Choose another provider."
        raise ValidationFailedError([Problem("provider", problem)])
    box = SecretBox(settings)
    kept = kept_of(gateway) if gateway and gateway.provider == spec.name else None
    values = completed(spec.settings, box, kept, account.values)
    if gateway is None:
        gateway = Gateway(
            tenant_id=tenant_id,
            channel=channel,
            provider=spec.name,
            name=account.name,
            secrets=b"",
            is_default=False,
            position=_last_position(session, tenant_id, channel) + 1,
        )
        session.add(gateway)
    gateway.name, gateway.provider = account.name, spec.name
    gateway.is_on, gateway.may_stand_in = account.is_on, account.may_stand_in
    gateway.most_connections = account.most_connections
    # The number is part of the place that the secrets are bound to.
    session.flush()
    sealed = seal(box, values, _place(gateway))
    gateway.settings, gateway.secrets = dict(sealed.settings), sealed.secrets
    if default_gateway(session, tenant_id, channel) in (None, gateway):
        make_default(session, gateway)
    note_change(session, gateway)
    return gateway


def make_default(session: Session, gateway: Gateway) -> None:
    """Let a channel's new runs leave by this gateway."""
    c = table(Gateway).c
    mine = (c.tenant_id == gateway.tenant_id, c.channel == gateway.channel, c.is_default)
    session.execute(update(Gateway).where(*mine, c.id != gateway.id).values(is_default=False))
    gateway.is_default = True
    session.flush()


def note_change(session: Session, gateway: Gateway) -> None:
    """Let every process take a gateway as it is now, as if it had never failed."""
    gateway.version += 1
    session.flush()
    forget(session, (gateway.tenant_id, gateway.id))
    resume_waiting(session, gateway.tenant_id, gateway.channel)


def get_gateway(session: Session, tenant_id: int, gateway_id: int) -> Gateway:
    """Return a gateway, or raise `NotFoundError`."""
    found = session.get(Gateway, (tenant_id, gateway_id))
    if found is None:
        raise NotFoundError(f"There is no gateway number {gateway_id}. Set one up in Settings.")
    return found


def default_gateway(session: Session, tenant_id: int, channel: str) -> Gateway | None:
    """Return the gateway through which a channel's messages leave, if there is one."""
    c = table(Gateway).c
    query = select(Gateway).where(c.tenant_id == tenant_id, c.channel == channel, c.is_on)
    ordered = query.order_by(c.is_default.desc(), c.position, c.id)
    return session.scalars(ordered.limit(1)).first()


def channels_with_gateway(session: Session, tenant_id: int) -> list[str]:
    """Name the channels that a company can send by."""
    c = table(Gateway).c
    query = select(c.channel).where(c.tenant_id == tenant_id, c.is_on).distinct()
    return list(session.scalars(query))


def settings_of(
    session: Session, plugins: Plugins, settings: Settings, gateway: Gateway
) -> BaseModel:
    """Return a gateway's settings with its secrets, checked by its provider's model."""
    spec = provider_spec(session, plugins, gateway.tenant_id, gateway.provider)
    return kept_of(gateway).read(SecretBox(settings), spec.settings)


def open_gateway(
    session: Session, plugins: Plugins, settings: Settings, tenant_id: int, gateway_id: int
) -> Provider:
    """Return the provider's account, ready to connect."""
    gateway = get_gateway(session, tenant_id, gateway_id)
    spec = provider_spec(session, plugins, tenant_id, gateway.provider)
    values = settings_of(session, plugins, settings, gateway)
    provider: Provider = fence(plugins, "provider", spec.name, lambda: spec.factory(values))
    return provider


def test_gateway(installation: Installation, tenant_id: int, channel: str) -> str:
    """Try the default gateway without sending and return the provider's own words."""
    with installation.database.tenant_session(tenant_id) as session:
        gateway = default_gateway(session, tenant_id, channel)
        if gateway is None:
            raise NotFoundError(f"There is no gateway for {channel}. Set one up in Settings.")
    return ask(installation, tenant_id, gateway.id)


def ask(installation: Installation, tenant_id: int, gateway_id: int) -> str:
    """Try a gateway without sending and return the provider's own words."""
    plugins, settings = installation.plugins, installation.settings
    with installation.database.tenant_session(tenant_id) as session:
        name = get_gateway(session, tenant_id, gateway_id).provider
        provider = open_gateway(session, plugins, settings, tenant_id, gateway_id)
    try:
        return without_secrets(str(fence(plugins, "provider", name, provider.test)))
    except ProviderError as error:
        # Some services repeat the key in what they answer, also where they refuse it.
        error.args = (without_secrets(str(error)),)
        error.raw = without_secrets(error.raw)
        raise


# pytest takes every function of this name that a test module imports for a test.
test_gateway.__test__ = False  # type: ignore[attr-defined]


def provider_spec(
    session: Session, plugins: Plugins, tenant_id: int, provider: str
) -> ProviderSpec:
    """Return an enabled provider, or raise `PluginError`."""
    spec = plugins.for_tenant(session, tenant_id).providers.get(provider)
    if spec is None:
        reason = "no enabled plugin brings this provider. Enable one in Settings, Plugins."
        raise PluginError(provider, reason)
    return spec


def named_gateway(session: Session, tenant_id: int, channel: str, name: str) -> Gateway | None:
    """Return the gateway of a channel with a name, if there is one."""
    c = table(Gateway).c
    query = select(Gateway).where(c.tenant_id == tenant_id, c.channel == channel, c.name == name)
    return session.scalars(query.limit(1)).first()


def _last_position(session: Session, tenant_id: int, channel: str) -> int:
    c = table(Gateway).c
    last = select(func.max(c.position)).where(c.tenant_id == tenant_id, c.channel == channel)
    return session.scalar(last) or 0


def kept_of(gateway: Gateway) -> Kept:
    """Return a gateway's settings as they are stored."""
    return Kept(gateway.settings, gateway.secrets, _place(gateway))


def _place(gateway: Gateway) -> str:
    return f"{gateway.tenant_id}:gateway:{gateway.id}:secrets"
