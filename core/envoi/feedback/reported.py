"""Opens and clicks that a provider reports: counted among people's, however often they are told."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.db import one_at_a_time, table
from envoi.tracking.classify import Mark
from envoi.tracking.models import EventCounter, EventKind, MessageEvent
from envoi.tracking.tokens import MessageRef


def note_hit(session: Session, ref: MessageRef, kind: EventKind, at: datetime) -> None:
    """Count an open or a click at a moment, unless the provider has told of it before.

    Called before the message itself is touched: counters come before facts, here as everywhere.
    """
    e = table(MessageEvent).c
    one_at_a_time(session, f"envoi.hit:{ref.tenant_id}:{ref.run_id}:{ref.customer_id}:{ref.step}")
    told = select(literal(1)).where(
        e.tenant_id == ref.tenant_id,
        e.run_id == ref.run_id,
        e.customer_id == ref.customer_id,
        e.step == ref.step,
        e.launched_on == ref.launched_on,
        e.kind == kind,
        e.at == at,
        e.marks == Mark.REPORTED,
    )
    if session.scalar(told) is None:
        count_hit(session, ref, kind, at, Mark.REPORTED)


def count_hit(
    session: Session, ref: MessageRef, kind: EventKind, at: datetime, marks: Mark = Mark.NONE
) -> None:
    """Write down a hit that is certainly a person's, and count it."""
    event, counter = table(MessageEvent), table(EventCounter)
    shared = {
        "tenant_id": ref.tenant_id,
        "run_id": ref.run_id,
        "variant": ref.variant,
        "kind": int(kind),
        "machine": False,
    }
    about = {"customer_id": ref.customer_id, "step": ref.step, "launched_on": ref.launched_on}
    session.execute(event.insert().values(**shared, **about, at=at, marks=int(marks)))
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    new = upsert(counter).values(**shared, hour=hour, hits=1)
    more = {"hits": counter.c.hits + 1}
    session.execute(new.on_conflict_do_update(constraint=counter.primary_key, set_=more))
