"""What follows a message of a cascade that is in course, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from envoi.customers.profile import ProfileMessage
from envoi.db import table
from envoi.delivery.models import Message, MessageState, RunStatus
from envoi.delivery.runs import RunSettings, get_run
from envoi.delivery.steps import Success, channels_of


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in its cascade a message stands; the next one follows `at`, without `success`.

    No time: the message has done its part, another one has followed, or nothing can any more.
    """

    step: int
    channels: tuple[str, ...]
    at: datetime | None = None
    success: Success = Success.DELIVERED
    wait_minutes: int = 0

    @property
    def next_channel(self) -> str:
        """The channel of what follows; "" behind the last one."""
        return self.channels[self.step] if self.step < len(self.channels) else ""


def place_of(
    session: Session, tenant_id: int, customer_id: int, sent: ProfileMessage
) -> Place | None:
    """Tell what is to follow a message; None where it belongs to no cascade."""
    run = get_run(session, tenant_id, sent.run_id)
    steps = RunSettings.model_validate(run.settings).steps
    if not steps:
        return None
    channels = tuple(channels_of(run))
    if sent.step > len(steps) or run.status != RunStatus.SENDING:
        return Place(step=sent.step, channels=channels)
    then = steps[sent.step - 1]
    m, other = table(Message).c, table(Message).alias("other").c
    follows = select(literal(1)).where(
        other.tenant_id == tenant_id,
        other.run_id == run.id,
        other.launched_on == sent.launched_on,
        other.customer_id == customer_id,
        other.step == sent.step + 1,
    )
    waiting = select(m.accepted_at).where(
        m.tenant_id == tenant_id,
        m.run_id == run.id,
        m.launched_on == sent.launched_on,
        m.customer_id == customer_id,
        m.step == sent.step,
        m.state == MessageState.ACCEPTED,
        m.bounced_at.is_(None),
        literal(then.is_reported),
        ~then.succeeded(),
        ~follows.exists(),
    )
    accepted_at = session.scalar(waiting)
    return Place(
        step=sent.step,
        channels=channels,
        at=accepted_at + then.wait if accepted_at else None,
        success=then.success,
        wait_minutes=then.wait_minutes,
    )
