"""What a person decides about a bounce without our key, which anybody could have written."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.errors import ConflictError, NotFoundError
from envoi.feedback.ledger import apply
from envoi.feedback.matching import last_message_to
from envoi.feedback.models import NO_KEY, Door, Inbound, InboundState
from envoi.feedback.reading import Reading, read
from envoi.tracking.tokens import MessageRef

BELIEVED = "believed"
DISMISSED = "dismissed"


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """The customer whose address is excluded if the bounce is believed."""

    customer_id: int
    address: str


def suspect_of(session: Session, found: Inbound) -> Suspect | None:
    """Whom a bounce that waits for a decision would be held against."""
    if not _is_open(found):
        return None
    ref = _message(session, found, _reading(found))
    customer = session.get(Customer, (found.tenant_id, ref.customer_id)) if ref else None
    if customer is None:
        return None
    return Suspect(customer_id=customer.id, address=customer.email or "")


def believe(session: Session, tenant_id: int, inbound_id: int) -> None:
    """Apply a bounce as if it had proven that it is genuine.

    Raises:
        NotFoundError: There is no such bounce, or no longer.
        ConflictError: It does not wait for a decision, or its message has gone.
    """
    found = _open(session, tenant_id, inbound_id)
    reading = _reading(found)
    ref = _message(session, found, reading)
    if ref is None:
        raise ConflictError(
            "The message that this bounce is about is no longer known, so it cannot be applied."
        )
    for event in reading.events(""):
        apply(session, ref, event, Door(found.door), reading.addressed)
    found.state, found.reason = InboundState.APPLIED, BELIEVED


def dismiss(session: Session, tenant_id: int, inbound_id: int) -> None:
    """Let a bounce change nothing.

    Raises:
        NotFoundError: There is no such bounce, or no longer.
        ConflictError: It does not wait for a decision.
    """
    found = _open(session, tenant_id, inbound_id)
    found.state, found.reason = InboundState.IGNORED, DISMISSED


def _open(session: Session, tenant_id: int, inbound_id: int) -> Inbound:
    found = session.get(Inbound, (tenant_id, inbound_id), with_for_update=True)
    if found is None:
        raise NotFoundError("There is no such message. What came in is deleted after some days.")
    if not _is_open(found):
        raise ConflictError("This message does not wait for a decision, or no longer.")
    return found


def _is_open(found: Inbound) -> bool:
    return found.state == InboundState.QUARANTINED and found.reason == NO_KEY


def _reading(found: Inbound) -> Reading:
    return read(found.raw, found.recipient, now=found.received_at)


def _message(session: Session, found: Inbound, reading: Reading) -> MessageRef | None:
    return last_message_to(session, found.tenant_id, reading.bounced, reading.at)
