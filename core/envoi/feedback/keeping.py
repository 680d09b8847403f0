"""Keeps what came in, raw and once, with what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import and_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from envoi.db import storable, table
from envoi.feedback.models import Door, Inbound, InboundState
from envoi.feedback.reading import MOST_BYTES

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""What a door answers with "try again later"."""

FAILED = "failed"
"""Why something is in quarantine that could be read, and not applied; sent again, it may be."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of something that came in; `reason` is a code that pages put into words."""

    tenant_id: int
    state: InboundState
    reason: str = ""


def quarantined(tenant_id: int, reason: str) -> Fate:
    """The fate of what waits for a person."""
    return Fate(tenant_id=tenant_id, state=InboundState.QUARANTINED, reason=reason)


def keep(
    session: Session, raw: bytes, door: Door, recipient: str, fate: Fate, told: str = ""
) -> int | None:
    """Keep it, however often it comes, and return its number; None if it was there before.

    Args:
        session: An open transaction of the tenant.
        raw: What came, as it was.
        door: The way it came by.
        recipient: Whom its envelope names.
        fate: What became of it.
        told: Which of several things it tells this is about; each is kept once.
    """
    values = {
        "tenant_id": fate.tenant_id,
        "door": door,
        "state": fate.state,
        "size": len(raw),
        "digest": hashlib.sha256(raw + told.encode()).hexdigest(),
        "recipient": storable(recipient)[:320],
        "reason": fate.reason,
        "raw": raw[:MOST_BYTES],
    }
    found: int | None = session.scalar(_keeping(), values)
    return found


@cache
def _keeping() -> Any:
    """The statement: every report makes one, and building it takes longer than the rest."""
    inbound = table(Inbound)
    new = upsert(inbound)
    failed = and_(inbound.c.state == InboundState.QUARANTINED, inbound.c.reason == FAILED)
    again = {"state": new.excluded.state, "reason": new.excluded.reason}
    return new.on_conflict_do_update(
        constraint="uq_inbound_tenant_id_digest", set_=again, where=failed
    ).returning(inbound.c.id)


def settle(session: Session, inbound_id: int, fate: Fate) -> None:
    """Note what became of something that was kept."""
    inbound = table(Inbound)
    mine = (inbound.c.tenant_id == fate.tenant_id, inbound.c.id == inbound_id)
    session.execute(inbound.update().where(*mine).values(state=fate.state, reason=fate.reason))
