"""Whose fault a bounce is, and why, in words."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from envoi.feedback.models import Fault
from envoi.feedback.rules import Why

REASONS = {
    Why.UNKNOWN_USER: _("Unknown address"),
    Why.NO_DOMAIN: _("Domain does not exist"),
    Why.BAD_ADDRESS: _("No valid address"),
    Why.RECIPIENT_BLOCKS: _("Blocked by the recipient"),
    Why.ATTACHMENTS: _("Recipient refuses attachments"),
    Why.MAILBOX_FULL: _("Mailbox full"),
    Why.DISABLED: _("Mailbox disabled"),
    Why.TOO_LARGE: _("Message too large"),
    Why.DNS: _("DNS error"),
    Why.TIMEOUT: _("Timeout"),
    Why.LOOP: _("Mail goes round in a loop"),
    Why.TEMPORARY: _("Temporarily unavailable"),
    Why.BLOCKLIST: _("Our server is on a blocklist"),
    Why.SPAM: _("Taken for spam"),
    Why.AUTHENTICATION: _("Our mail is not authenticated"),
    Why.RATE: _("Sent too fast"),
    Why.POLICY: _("Refused by a policy"),
    Why.CONTENT: _("The content was refused"),
    Why.UNDELIVERED: _("Undelivered"),
    Why.UNCLASSIFIED: _("Other reason"),
}
FAULTS = {
    Fault.HARD: _("Hard: the address"),
    Fault.SENDER: _("Sender: ourselves"),
    Fault.SOFT: _("Soft: the recipient, for now"),
}
