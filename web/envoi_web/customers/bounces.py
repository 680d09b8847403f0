"""Bounces in words, and letting an address count as good again."""

from __future__ import annotations

from flask import Response, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.customers.profile import get_customer
from envoi.feedback.contacts import forgive_address
from envoi.feedback.models import Fault
from envoi.feedback.rules import Why
from envoi.webkit import current, permission, see_other, toast
from envoi_web.customers.blueprint import customers

REASONS = {
    Why.UNKNOWN_USER: lazy_gettext("Unknown address"),
    Why.NO_DOMAIN: lazy_gettext("Domain does not exist"),
    Why.BAD_ADDRESS: lazy_gettext("No valid address"),
    Why.RECIPIENT_BLOCKS: lazy_gettext("Blocked by the recipient"),
    Why.ATTACHMENTS: lazy_gettext("Recipient refuses attachments"),
    Why.MAILBOX_FULL: lazy_gettext("Mailbox full"),
    Why.DISABLED: lazy_gettext("Mailbox disabled"),
    Why.TOO_LARGE: lazy_gettext("Message too large"),
    Why.DNS: lazy_gettext("DNS error"),
    Why.TIMEOUT: lazy_gettext("Timeout"),
    Why.LOOP: lazy_gettext("Mail goes round in a loop"),
    Why.TEMPORARY: lazy_gettext("Temporarily unavailable"),
    Why.BLOCKLIST: lazy_gettext("Our server is on a blocklist"),
    Why.SPAM: lazy_gettext("Taken for spam"),
    Why.AUTHENTICATION: lazy_gettext("Our mail is not authenticated"),
    Why.RATE: lazy_gettext("Sent too fast"),
    Why.POLICY: lazy_gettext("Refused by a policy"),
    Why.CONTENT: lazy_gettext("The content was refused"),
    Why.UNCLASSIFIED: lazy_gettext("Other reason"),
}
FAULTS = {
    Fault.HARD: lazy_gettext("Hard: the address"),
    Fault.SENDER: lazy_gettext("Sender: ourselves"),
    Fault.SOFT: lazy_gettext("Soft: the mailbox, for now"),
}


@customers.post("/<int:customer_id>/forgive")
@permission("customers.edit")
def forgive(customer_id: int) -> Response:
    """Let the email count as good again, because a person says so."""
    with current.session() as session:
        customer = get_customer(session, current.tenant_id, customer_id)
        forgive_address(session, current.tenant_id, customer.email or "")
    toast(_("The email is used again."))
    return see_other(url_for("customers.profile", customer_id=customer_id, tab="data"))
