"""Refusals at hand-over: the same judgement as for a bounce that comes later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import SmallInteger, literal, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import Run
from envoi.delivery.steps import channel_at
from envoi.feedback.contacts import CHANNEL
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType

_PERMANENT = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A message that a mail server refused for good, with its own words."""

    customer_id: int
    step: int
    code: int
    words: str


def note_refusals(
    session: Session, tenant_id: int, run_id: int, launched_on: date, refusals: Iterable[Refusal]
) -> None:
    """Hold refusals against their addresses, or against ourselves; other channels have none."""
    told = [r for r in refusals if r.code >= _PERMANENT and r.words]
    if not told:
        return
    r = table(Run).c
    # They are of one block, and so of one step.
    channel = select(channel_at(literal(told[0].step, SmallInteger)))
    if session.scalar(channel.where(r.tenant_id == tenant_id, r.id == run_id)) != CHANNEL:
        return
    for refusal in sorted(told, key=lambda refusal: refusal.customer_id):
        ref = MessageRef(
            tenant_id=tenant_id,
            run_id=run_id,
            customer_id=refusal.customer_id,
            launched_on=launched_on,
            step=refusal.step,
        )
        event = DeliveryEvent(
            message_key="",
            type=EventType.BOUNCED,
            occurred_at=datetime.now(UTC),
            reason=refusal.words,
            code=refusal.code,
        )
        apply(session, ref, event, Door.HANDOVER)
