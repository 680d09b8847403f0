"""Letting an address count as good again."""

from __future__ import annotations

from flask import Response, url_for
from flask_babel import gettext as _

from envoi.customers.profile import get_customer
from envoi.feedback.contacts import forgive_address
from envoi.webkit import current, permission, see_other, toast
from envoi_web.customers.blueprint import customers


@customers.post("/<int:customer_id>/forgive")
@permission("customers.edit")
def forgive(customer_id: int) -> Response:
    """Let the email count as good again, because a person says so."""
    with current.session() as session:
        customer = get_customer(session, current.tenant_id, customer_id)
        forgive_address(session, current.tenant_id, customer.email or "")
    toast(_("The email is used again."))
    return see_other(url_for("customers.profile", customer_id=customer_id, tab="data"))
