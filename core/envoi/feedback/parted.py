"""Messages of several parts and to several devices: when is such a message delivered?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from envoi.db import one_at_a_time, table
from envoi.delivery.models import Submission, SubmissionState
from envoi.tracking.tokens import MessageRef
from envoi.types import EventType

WHOLE = 0
"""The number of a part that stands for the whole message."""
_ANY_DEVICE = "push"
"""By this channel a message is sent to every device of a customer, and one of them suffices."""

_STATES: dict[str, SubmissionState] = {
    EventType.DELIVERED: SubmissionState.DELIVERED,
    EventType.READ: SubmissionState.READ,
    EventType.CLICKED: SubmissionState.READ,
    EventType.FAILED: SubmissionState.FAILED,
}


def all_delivered(
    session: Session, ref: MessageRef, channel: str, number: int, at: datetime
) -> datetime | None:
    """Return when a message was delivered of which a part was now, or None while parts miss."""
    if number == WHOLE or channel == _ANY_DEVICE:
        return at
    parts = (
        select(func.min(table(Submission).c.delivered_at).label("at"))
        .where(_are(ref))
        .group_by(table(Submission).c.number)
        .subquery()
    )
    counted = select(func.max(parts.c.at), func.count(), func.count(parts.c.at)).select_from(parts)
    last, every, delivered = session.execute(counted).one()
    return last if every == delivered else None


def note_part(session: Session, ref: MessageRef, number: int, type_: str, at: datetime) -> None:
    """Note what was reported of one part; until the transaction's end nobody else does.

    Of two parts that are delivered at once, each would else miss the other.
    """
    state = _STATES.get(type_)
    if number == WHOLE or state is None:
        return
    one_at_a_time(session, f"envoi.parts:{ref.tenant_id}:{ref.run_id}:{ref.customer_id}:{ref.step}")
    submission = table(Submission)
    s = submission.c
    values: dict[str, Any] = {"state": func.greatest(s.state, int(state))}
    if state is not SubmissionState.FAILED:
        values["delivered_at"] = func.least(s.delivered_at, at)
    session.execute(submission.update().where(_are(ref), s.number == number).values(values))


def _are(ref: MessageRef) -> ColumnElement[bool]:
    s = table(Submission).c
    return and_(
        s.tenant_id == ref.tenant_id,
        s.run_id == ref.run_id,
        s.customer_id == ref.customer_id,
        s.step == ref.step,
    )
