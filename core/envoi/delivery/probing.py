"""Asking gateways whose circuit is open, without sending, and waking what waits for them."""

from __future__ import annotations

import structlog

from envoi.delivery.circuit import BACK_OFF, BackOff, answered, failed
from envoi.delivery.gateways import ask, get_gateway
from envoi.delivery.models import Circuit, Gateway
from envoi.delivery.runs import resume_waiting
from envoi.errors import EnvoiError, ProviderError, TemporaryProviderError
from envoi.installation import Installation
from envoi.jobs import Work, withdraw
from envoi.operations.plugin_errors import note_fault

log = structlog.get_logger()


def probe_gateway(
    installation: Installation, tenant_id: int, gateway_id: int, back_off: BackOff = BACK_OFF
) -> bool:
    """Ask a gateway whose circuit is open; when it answers, the runs that wait for it go on.

    Returns:
        Whether it answered. The caller sees to it that no two processes ask at the same time.
    """
    if not _is_open(installation, tenant_id, gateway_id):
        return False
    try:
        try_gateway(installation, tenant_id, gateway_id)
    except EnvoiError as error:
        note_fault(installation.database, tenant_id, error)
        trouble = error if isinstance(error, ProviderError) else TemporaryProviderError(str(error))
        with installation.database.tenant_session(tenant_id) as session:
            withdraw(session, tenant_id, Work.PROBE, gateway_id)
            failed(session, (tenant_id, gateway_id), trouble, back_off, alone=True)
        return False
    return True


def try_gateway(installation: Installation, tenant_id: int, gateway_id: int) -> str:
    """Ask a gateway without sending; when it answers, it is used again.

    Returns:
        The provider's own words.

    Raises:
        EnvoiError: It does not answer, or cannot be asked.
    """
    words = ask(installation, tenant_id, gateway_id)
    with installation.database.tenant_session(tenant_id) as session:
        answered(session, (tenant_id, gateway_id))
        withdraw(session, tenant_id, Work.PROBE, gateway_id)
        resume_waiting(session, tenant_id, get_gateway(session, tenant_id, gateway_id).channel)
    log.info("gateway_answers", tenant=tenant_id, gateway=gateway_id)
    return words


def _is_open(installation: Installation, tenant_id: int, gateway_id: int) -> bool:
    with installation.database.tenant_session(tenant_id) as session:
        # Locked first, so that nobody opens it meanwhile and loses the announcement to us.
        circuit = session.get(Circuit, (tenant_id, gateway_id), with_for_update=True)
        gateway = session.get(Gateway, (tenant_id, gateway_id))
        is_on = gateway is not None and gateway.is_on
        if is_on and circuit and circuit.opened_at:
            return True
        withdraw(session, tenant_id, Work.PROBE, gateway_id)
        if gateway is not None and is_on:
            # A sender or a person closed it without us, and not for every run that waits.
            resume_waiting(session, tenant_id, gateway.channel)
        return False
