"""Reports of a cascade that a provider goes through by itself: which step they are about.

A message of a further step is in the ledger once its provider tells that it came to it, never
twice, and costs something from then on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.handover import Come, come_to
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.delivery.steps import channels_of
from envoi.feedback.ledger import confirm
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType


def step_of(session: Session, ref: MessageRef, event: DeliveryEvent) -> MessageRef:
    """Return the message that a report of `ref` is about: by its channel that of another step."""
    if not event.channel or event.type == EventType.UNKNOWN:
        return ref
    found = _handed_over(session, ref)
    step = _step(found.Run, ref.step, event.channel) if found else ref.step
    if found is None or step == ref.step:
        return ref
    if found.state == MessageState.UNCONFIRMED:
        confirm(session, ref, event.occurred_at)
    come = Come(ref.run_id, ref.customer_id, step, event.occurred_at)
    come_to(session, ref.tenant_id, ref.launched_on, [come])
    return ref._replace(step=step, variant=found.variant or ref.variant)


def _handed_over(session: Session, ref: MessageRef) -> Any:
    """The message and its run, where its provider goes on; until we are done nobody records it."""
    m, r = table(Message).c, table(Run).c
    query = (
        select(Run, m.variant, m.state)
        .join(table(Message), and_(m.tenant_id == r.tenant_id, m.run_id == r.id))
        .where(
            m.tenant_id == ref.tenant_id,
            m.run_id == ref.run_id,
            m.launched_on == ref.launched_on,
            m.customer_id == ref.customer_id,
            m.step == ref.step,
            m.handed_over,
            r.kind == RunKind.MAILING,
        )
    )
    return session.execute(query.with_for_update(of=table(Message))).one_or_none()


def _step(run: Run, first: int, channel: str) -> int:
    """The step of a channel from `first` on; a channel that is not there means the first."""
    chain = channels_of(run)[first - 1 :]
    return first + chain.index(channel) if channel in chain else first
