"""Parts of a customer's page that plugins bring; one that fails is left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from sqlalchemy.orm import Session

from envoi.errors import EnvoiError
from envoi.operations.plugin_errors import add_fault
from envoi.plugins import fence
from envoi.types import CustomerPanel
from envoi.webkit import allowed, current

log = structlog.get_logger()


def panels_of(session: Session, customer_id: int) -> list[tuple[str, Any]]:
    """Return the templates of the panels that have something to show, with what they show."""
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    mine = [panel for panel in plugins.customer_panels.values() if allowed(panel.permission)]
    shown = [(panel.template, _found(session, panel, customer_id)) for panel in mine]
    return [(template, found) for template, found in shown if found]


def _found(session: Session, panel: CustomerPanel, customer_id: int) -> Any:
    load = partial(panel.load, session, current.tenant_id, customer_id)
    try:
        # What a statement of the plugin breaks ends with the savepoint.
        with session.begin_nested():
            return fence(current.plugins, "customer panel", panel.name, load)
    except EnvoiError as error:
        log.error("customer_panel_left_out", panel=panel.name, reason=str(error))
        add_fault(session, current.tenant_id, error)
        return None
