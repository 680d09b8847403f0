"""The demo's gateways: accounts at the simulated providers, one a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from envoi.delivery.gateways import set_gateway
from envoi.demo.phone import control_token
from envoi.installation import Installation
from envoi.settings import Settings

ACCOUNT = "fieldmarket"


def simulators_password(settings: Settings) -> str:
    """The password of the demo's accounts at the simulated providers; SMPP takes eight letters."""
    return control_token(settings)[:8]


def set_demo_gateways(session: Session, installation: Installation, tenant_id: int) -> None:
    """Set up an account for each channel that has a simulated provider."""
    for channel, (provider, name, values) in _accounts(installation.settings).items():
        set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel=channel,
            provider=provider,
            name=name,
            values=values,
        )


def _accounts(settings: Settings) -> Mapping[str, tuple[str, str, Mapping[str, Any]]]:
    password = simulators_password(settings)
    here = {"host": "127.0.0.1"}
    mail = {**here, "port": settings.effective_smtp_port, "security": "none"}
    sms = {**here, "port": settings.effective_simulators_port + 1, "security": "none"}
    return {
        "email": ("smtp", "Demo mailbox", mail),
        "sms": (
            "smpp",
            "Virtual phone, SMS",
            {**sms, "system_id": ACCOUNT, "password": password},
        ),
    }
