"""Messages of several parts and to several devices: when is such a message delivered?"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import one_at_a_time, table
from envoi.delivery.models import Submission
from envoi.tracking.tokens import MessageRef

WHOLE = 0
"""The number of a part that stands for the whole message."""
_ANY_DEVICE = "push"
"""By this channel a message is sent to every device of a customer, and one of them suffices."""


def all_delivered(
    session: Session, ref: MessageRef, channel: str, number: int, at: datetime
) -> datetime | None:
    """Note that a part was delivered; return when the message was, or None while parts miss."""
    if number == WHOLE or channel == _ANY_DEVICE:
        return at
    # Of two parts delivered at once, each would else miss the other.
    one_at_a_time(session, f"envoi.parts:{ref.tenant_id}:{ref.run_id}:{ref.customer_id}:{ref.step}")
    submission = table(Submission)
    s = submission.c
    mine = (
        s.tenant_id == ref.tenant_id,
        s.run_id == ref.run_id,
        s.customer_id == ref.customer_id,
        s.step == ref.step,
    )
    earlier = func.least(s.delivered_at, at)
    session.execute(
        submission.update().where(*mine, s.number == number).values(delivered_at=earlier)
    )
    parts = select(func.min(s.delivered_at).label("at")).where(*mine).group_by(s.number).subquery()
    counted = select(func.max(parts.c.at), func.count(), func.count(parts.c.at)).select_from(parts)
    last, every, delivered = session.execute(counted).one()
    return last if every == delivered else None
