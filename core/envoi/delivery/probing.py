"""Asking gateways whose circuit is open, without sending, and waking what waits for them."""

from __future__ import annotations

import structlog
from sqlalchemy.orm import Session

from envoi.delivery.circuit import BACK_OFF, BackOff, failed, half_open
from envoi.delivery.gateways import get_gateway, open_gateway
from envoi.delivery.models import Circuit, Gateway
from envoi.delivery.runs import resume_waiting
from envoi.errors import EnvoiError, ProviderError, TemporaryProviderError
from envoi.installation import Installation
from envoi.jobs import Work, withdraw
from envoi.plugins import fence
from envoi.types import Provider

log = structlog.get_logger()


def probe_gateway(
    installation: Installation, tenant_id: int, gateway_id: int, back_off: BackOff = BACK_OFF
) -> bool:
    """Ask a gateway whose circuit is open; when it answers, the runs that wait for it go on.

    Returns:
        Whether it answered. The caller sees to it that no two processes ask at the same time.
    """
    database = installation.database
    with database.tenant_session(tenant_id) as session:
        provider = _provider(installation, session, tenant_id, gateway_id)
    if provider is None:
        return False
    trouble = _trouble(installation, *provider)
    with database.tenant_session(tenant_id) as session:
        withdraw(session, tenant_id, Work.PROBE, gateway_id)
        if trouble is not None:
            failed(session, (tenant_id, gateway_id), trouble, back_off, alone=True)
            return False
        half_open(session, (tenant_id, gateway_id))
        resume_waiting(session, tenant_id, get_gateway(session, tenant_id, gateway_id).channel)
    log.info("gateway_answers", tenant=tenant_id, gateway=gateway_id)
    return True


def _provider(
    installation: Installation, session: Session, tenant_id: int, gateway_id: int
) -> tuple[str, Provider] | None:
    circuit = session.get(Circuit, (tenant_id, gateway_id))
    gateway = session.get(Gateway, (tenant_id, gateway_id))
    if gateway is None or circuit is None or circuit.opened_at is None or not gateway.is_on:
        withdraw(session, tenant_id, Work.PROBE, gateway_id)
        return None
    plugins, settings = installation.plugins, installation.settings
    return gateway.provider, open_gateway(session, plugins, settings, tenant_id, gateway_id)


def _trouble(installation: Installation, name: str, provider: Provider) -> ProviderError | None:
    try:
        fence(installation.plugins, "provider", name, provider.test)
    except ProviderError as error:
        return error
    except EnvoiError as error:
        return TemporaryProviderError(str(error))
    return None
