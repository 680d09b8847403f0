"""The demo's gateways: accounts at the simulated providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from envoi.api.keys import make_key
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Gateway
from envoi.demo.phone import control_token
from envoi.demo.push_keys import KEY_ID, TEAM, TOPIC, keep_keys, push_keys
from envoi.feedback.webhook import PATH, make_webhook
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.tracking.tokens import signer_of

ACCOUNT = "fieldmarket"


def simulators_password(settings: Settings) -> str:
    """The password of the demo's accounts at the simulated providers; SMPP takes eight letters."""
    return control_token(settings)[:8]


@dataclass(frozen=True, kw_only=True)
class _Account:
    channel: str
    provider: str
    name: str
    values: Mapping[str, Any]


def set_demo_gateways(session: Session, installation: Installation, tenant_id: int) -> None:
    """Set up accounts for each channel that has a simulated provider, and let the apps report."""
    for account in _accounts(installation.settings):
        _set(session, installation, tenant_id, account)
    _set_viber(session, installation, tenant_id)
    key = make_key(session, tenant_id, "Apps on virtual phones", None)
    keys = push_keys(installation.settings)
    keep_keys(installation.settings, keys.model_copy(update={"api": key}))


def _set(
    session: Session, installation: Installation, tenant_id: int, account: _Account
) -> Gateway:
    return set_gateway(
        session,
        installation.plugins,
        installation.settings,
        tenant_id,
        channel=account.channel,
        provider=account.provider,
        name=account.name,
        values=account.values,
    )


def _set_viber(session: Session, installation: Installation, tenant_id: int) -> None:
    """Set up Viber, whose provider has to be told where reports go."""
    settings = installation.settings
    password = simulators_password(settings)
    url = f"http://127.0.0.1:{settings.effective_simulators_port + 2}"
    values = {"url": url, "api_key": password, "callback_secret": password, "sender": "Fieldmarket"}
    viber = {"channel": "viber", "provider": "devino_viber", "name": "Virtual phone, Viber"}
    gateway = _set(session, installation, tenant_id, _Account(**viber, values=values))
    webhook = make_webhook(session, signer_of(settings), tenant_id, gateway.id)
    told = {**values, "callback_url": f"{settings.links_url}{PATH}{webhook.key}"}
    _set(session, installation, tenant_id, _Account(**viber, values=told))


def _accounts(settings: Settings) -> Iterator[_Account]:
    here = {"host": "127.0.0.1", "security": "none"}
    mailbox = {**here, "port": settings.effective_smtp_port}
    yield _Account(channel="email", provider="smtp", name="Demo mailbox", values=mailbox)
    port, password = settings.effective_simulators_port, simulators_password(settings)
    account = {**here, "port": port + 1, "system_id": ACCOUNT, "password": password}
    account["sender"] = "FIELDMARKET"
    yield _Account(channel="sms", provider="smpp", name="Virtual phone, SMS", values=account)
    keys, push = push_keys(settings), f"http://127.0.0.1:{port + 3}"
    apple = {"topic": TOPIC, "team_id": TEAM, "key_id": KEY_ID, "key": keys.apns, "url": push}
    yield _Account(channel="push", provider="apns", name="Virtual phone, Apple", values=apple)
    google = {"service_account": keys.service_account(push), "url": push}
    yield _Account(channel="push", provider="fcm", name="Virtual phone, Android", values=google)
