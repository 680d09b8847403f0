"""What pages show of bounces and complaints: by run, by address, and what waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import NotFoundError
from envoi.feedback.models import (
    Bounce,
    DoorSign,
    Fault,
    Inbound,
    InboundState,
    ReceiverSign,
)


@dataclass(frozen=True, kw_only=True)
class BounceLine:
    """Bounces of a run with one reason; `answer` is one server's words as a sample."""

    fault: Fault
    reason: str
    status: str
    answer: str
    count: int


@dataclass(frozen=True, kw_only=True)
class LastBounce:
    """The last bounce of an address."""

    at: datetime
    fault: Fault
    reason: str
    status: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Something in quarantine, without its contents."""

    id: int
    door: int
    size: int
    received_at: datetime
    recipient: str
    reason: str


def bounces_of_run(session: Session, tenant_id: int, run_id: int) -> tuple[BounceLine, ...]:
    """Bounces of a run by fault and reason, refusals at hand-over included; hard ones first."""
    b = table(Bounce).c
    query = (
        select(
            b.fault,
            b.reason,
            func.min(b.status).label("status"),
            func.min(b.answer).label("answer"),
            func.count().label("count"),
        )
        .where(b.tenant_id == tenant_id, b.run_id == run_id)
        .group_by(b.fault, b.reason)
        .order_by(b.fault.desc(), func.count().desc(), b.reason)
    )
    return tuple(
        BounceLine(**{**row._mapping, "fault": Fault(row.fault)}) for row in session.execute(query)
    )


def last_bounce(session: Session, tenant_id: int, address: str | None) -> LastBounce | None:
    """The bounce that an address was last judged by."""
    b = table(Bounce).c
    query = (
        select(b.at, b.fault, b.reason, b.status, b.answer)
        .where(b.tenant_id == tenant_id, b.address == address, ~b.forgiven)
        .order_by(b.at.desc())
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    return LastBounce(**{**row._mapping, "fault": Fault(row.fault)}) if row else None


def quarantined(session: Session, tenant_id: int, limit: int) -> Sequence[Waiting]:
    """What waits for a person, the newest first."""
    i = table(Inbound).c
    columns = (i.id, i.door, i.size, i.received_at, i.recipient, i.reason)
    query = (
        select(*columns)
        .where(i.tenant_id == tenant_id, i.state == InboundState.QUARANTINED)
        .order_by(i.received_at.desc(), i.id.desc())
    )
    rows = session.execute(query.limit(limit))
    return [Waiting(**row._mapping) for row in rows]


def count_inbound(session: Session, tenant_id: int) -> dict[InboundState, int]:
    """How much came in, by what became of it."""
    i = table(Inbound).c
    query = select(i.state, func.count()).where(i.tenant_id == tenant_id).group_by(i.state)
    found = {InboundState(state): count for state, count in session.execute(query)}
    return {state: found.get(state, 0) for state in InboundState}


def inbound_of(session: Session, tenant_id: int, inbound_id: int) -> Inbound:
    """Something that came in, with its contents.

    Raises:
        NotFoundError: There is no such thing, or no longer.
    """
    found = session.get(Inbound, (tenant_id, inbound_id))
    if found is None:
        raise NotFoundError("There is no such message. What came in is deleted after some days.")
    return found


def door_signs(session: Session) -> dict[str, DoorSign]:
    """The doors that were looked after at least once, by name."""
    return {sign.name: sign for sign in session.scalars(select(DoorSign))}


def receiver_signs(session: Session, tenant_id: int) -> dict[int, ReceiverSign]:
    """How the connections fare by which reports come, by gateway; those that are held now."""
    r = table(ReceiverSign).c
    found = session.scalars(select(ReceiverSign).where(r.tenant_id == tenant_id))
    return {sign.gateway_id: sign for sign in found}
