"""Gateways: a tenant's accounts at providers, their passwords encrypted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Gateway
from envoi.errors import NotFoundError, PluginError, Problem, ValidationFailedError, problems_of
from envoi.installation import Installation
from envoi.plugins import Plugins, fence
from envoi.secrets import SecretBox
from envoi.settings import Settings
from envoi.types import Provider, ProviderSpec


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
    spec = _spec(session, plugins, tenant_id, provider)
    if spec.channel != channel:
        problem = f"{spec.label} sends {spec.channel}, not {channel}. Choose another provider."
        raise ValidationFailedError([Problem("provider", problem)])
    box = SecretBox(settings)
    gateway = _named(session, tenant_id, channel, name)
    kept = _secrets(box, gateway) if gateway and gateway.provider == spec.name else {}
    given = {k: v for k, v in values.items() if v != "" or k not in _secret_fields(spec)}
    checked = _checked(spec, {**kept, **given})
    if is_default:
        _take_default_from_others(session, tenant_id, channel)
    if gateway is None:
        gateway = Gateway(
            tenant_id=tenant_id, channel=channel, provider=spec.name, name=name, secrets=b""
        )
        session.add(gateway)
    gateway.provider, gateway.is_default = spec.name, is_default
    # The number is part of the place that the secrets are bound to.
    session.flush()
    _store(box, gateway, checked)
    return gateway


def get_gateway(session: Session, tenant_id: int, gateway_id: int) -> Gateway:
    """Return a gateway, or raise `NotFoundError`."""
    found = session.get(Gateway, (tenant_id, gateway_id))
    if found is None:
        raise NotFoundError(f"There is no gateway number {gateway_id}. Set one up in Settings.")
    return found


def default_gateway(session: Session, tenant_id: int, channel: str) -> Gateway | None:
    """Return the gateway through which a channel's messages leave, if there is one."""
    c = table(Gateway).c
    query = select(Gateway).where(c.tenant_id == tenant_id, c.channel == channel, c.is_default)
    return session.scalars(query.order_by(c.id.desc()).limit(1)).first()


def open_gateway(
    session: Session, plugins: Plugins, settings: Settings, tenant_id: int, gateway_id: int
) -> Provider:
    """Return the provider's account, ready to connect."""
    gateway = get_gateway(session, tenant_id, gateway_id)
    spec = _spec(session, plugins, tenant_id, gateway.provider)
    values = _checked(spec, {**gateway.settings, **_secrets(SecretBox(settings), gateway)})
    provider: Provider = fence(plugins, "provider", spec.name, lambda: spec.factory(values))
    return provider


def test_gateway(installation: Installation, tenant_id: int, channel: str) -> str:
    """Try the default gateway without sending and return the provider's own words."""
    plugins, settings = installation.plugins, installation.settings
    with installation.database.tenant_session(tenant_id) as session:
        gateway = default_gateway(session, tenant_id, channel)
        if gateway is None:
            raise NotFoundError(f"There is no gateway for {channel}. Set one up in Settings.")
        provider = open_gateway(session, plugins, settings, tenant_id, gateway.id)
        name = gateway.provider
    return str(fence(plugins, "provider", name, provider.test))


# pytest takes every function of this name that a test module imports for a test.
test_gateway.__test__ = False  # type: ignore[attr-defined]


def _spec(session: Session, plugins: Plugins, tenant_id: int, provider: str) -> ProviderSpec:
    spec = plugins.for_tenant(session, tenant_id).providers.get(provider)
    if spec is None:
        reason = "no enabled plugin brings this provider. Enable one in Settings, Plugins."
        raise PluginError(provider, reason)
    return spec


def _named(session: Session, tenant_id: int, channel: str, name: str) -> Gateway | None:
    c = table(Gateway).c
    query = select(Gateway).where(c.tenant_id == tenant_id, c.channel == channel, c.name == name)
    return session.scalars(query.limit(1)).first()


def _take_default_from_others(session: Session, tenant_id: int, channel: str) -> None:
    c = table(Gateway).c
    mine = update(Gateway).where(c.tenant_id == tenant_id, c.channel == channel)
    session.execute(mine.where(c.is_default).values(is_default=False))


def _store(box: SecretBox, gateway: Gateway, values: BaseModel) -> None:
    plain = values.model_dump(mode="json")
    secret = {n: v.get_secret_value() for n, v in values if isinstance(v, SecretStr)}
    gateway.settings = {n: v for n, v in plain.items() if n not in secret}
    gateway.secrets = box.seal(json.dumps(secret).encode(), _place(gateway))


def _secrets(box: SecretBox, gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.open(gateway.secrets, _place(gateway)))
    return found


def _place(gateway: Gateway) -> str:
    return f"{gateway.tenant_id}:gateway:{gateway.id}:secrets"


def _secret_fields(spec: ProviderSpec) -> frozenset[str]:
    fields = spec.settings.model_fields.items()
    return frozenset(name for name, field in fields if field.annotation is SecretStr)


def _checked(spec: ProviderSpec, values: Mapping[str, Any]) -> BaseModel:
    try:
        return spec.settings.model_validate(dict(values))
    except ValidationError as error:
        raise ValidationFailedError(problems_of(error)) from None
