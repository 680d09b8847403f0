"""Parts of a customer's page that plugins bring; one that fails is left out."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from envoi.operations.plugin_errors import asked
from envoi.types import CustomerPanel
from envoi.webkit import allowed, current


def panels_of(session: Session, customer_id: int) -> list[tuple[str, Any]]:
    """Return the templates of the panels that have something to show, with what they show."""
    plugins = current.plugins.for_tenant(session, current.tenant_id)
    mine = [panel for panel in plugins.customer_panels.values() if allowed(panel.permission)]
    shown = [(panel.template, _found(session, panel, customer_id)) for panel in mine]
    return [(template, found) for template, found in shown if found]


def _found(session: Session, panel: CustomerPanel, customer_id: int) -> Any:
    load = partial(panel.load, session, current.tenant_id, customer_id)
    what = ("customer panel", panel.name)
    return asked(session, current.plugins, current.tenant_id, what, load)
