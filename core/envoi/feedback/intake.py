"""The one entrance for everything that comes back: read, matched, applied, and kept raw.

What a door hands over is in the database when `receive` returns, in the tenant it belongs to;
what names no message of ours is kept for nobody. Nothing that comes in raises, except that the
database is away: then the other side has to try again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.feedback import ledger
from envoi.feedback.matching import by_key, by_recipient
from envoi.feedback.models import NO_KEY, NOBODY, Door, DoorSign, Inbound, InboundState
from envoi.feedback.parts import storable
from envoi.feedback.reading import MOST_BYTES, Reading, UnreadableError, keys_in, read
from envoi.tracking.tokens import MessageRef, TokenSigner
from envoi.types import DeliveryEvent, EventType

log = structlog.get_logger()

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""What a door answers with "try again later"."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of something that came in; `reason` is a code of `envoi.feedback.words`."""

    tenant_id: int
    state: InboundState
    reason: str = ""


class Intake:
    """Receives what the doors hand over; used by any number of threads."""

    def __init__(self, database: Database, signer: TokenSigner) -> None:
        self.database = database
        self._signer = signer

    def receive(
        self,
        raw: bytes,
        door: Door,
        recipient: str = "",
        *,
        tenant_id: int = NOBODY,
        now: datetime | None = None,
    ) -> Fate:
        """Take in a message that came to the return path; it is written when this returns.

        Args:
            raw: The message as it came.
            door: The way it came by.
            recipient: Whom its envelope names.
            tenant_id: The tenant that the door belongs to, if it is one's own.
            now: The moment it came.
        """
        try:
            return self._receive(raw, door, recipient, tenant_id, now or datetime.now(UTC))
        except AWAY:
            raise
        except Exception:
            # One message that cannot be looked up must not keep a door from all others.
            log.exception("report_failed", tenant=tenant_id)
            return self._keep(raw, door, recipient, _quarantined(tenant_id, "failed"))

    def report(self, raw: bytes, door: Door, tenant_id: int, event: DeliveryEvent) -> Fate:
        """Take in one event of a provider that we know to speak for this tenant."""
        ref = by_key(self._signer, [event.message_key])
        if ref is None and event.recipient and event.type != EventType.COMPLAINED:
            ref = by_recipient(
                self.database, [event.recipient], event.occurred_at, tenant_id=tenant_id
            )
        if ref is None or ref.tenant_id != tenant_id:
            return self._keep(raw, door, "", _quarantined(tenant_id, "no_message"))
        return self._apply(raw, door, "", ref, [event])

    def keep_unread(self, raw: bytes, door: Door, tenant_id: int, reason: str) -> Fate:
        """Keep what could not be understood, for a person to look at."""
        return self._keep(raw, door, "", _quarantined(tenant_id, reason))

    def _receive(
        self, raw: bytes, door: Door, recipient: str, tenant_id: int, now: datetime
    ) -> Fate:
        try:
            reading = read(raw, recipient, now=now)
        except UnreadableError as error:
            owner = by_key(self._signer, keys_in(recipient))
            whose = tenant_id or (owner.tenant_id if owner else NOBODY)
            return self._keep(raw, door, recipient, _quarantined(whose, str(error)))
        ref = by_key(self._signer, reading.keys)
        if ref is None or tenant_id not in (NOBODY, ref.tenant_id):
            fate = self._unproven(reading, tenant_id) if ref is None else None
            return self._keep(raw, door, recipient, fate or _quarantined(tenant_id, "no_message"))
        events = reading.events(self._signer.message_key(ref))
        return self._apply(raw, door, recipient, ref, events, reading)

    def _apply(
        self,
        raw: bytes,
        door: Door,
        recipient: str,
        ref: MessageRef,
        events: Sequence[DeliveryEvent],
        reading: Reading | None = None,
    ) -> Fate:
        addressed = reading.addressed if reading else ""
        try:
            with self.database.tenant_session(ref.tenant_id) as session:
                done = [ledger.apply(session, ref, event, door, addressed) for event in events]
                reason = "" if any(done) else (reading.ignored if reading else "") or "no_change"
                state = InboundState.APPLIED if any(done) else InboundState.IGNORED
                fate = Fate(tenant_id=ref.tenant_id, state=state, reason=reason)
                _write(session, raw, door, recipient, fate)
        except AWAY:
            raise
        except Exception:
            log.exception("report_failed", tenant=ref.tenant_id, run=ref.run_id)
            return self._keep(raw, door, recipient, _quarantined(ref.tenant_id, "failed"))
        return fate

    def _unproven(self, reading: Reading, tenant_id: int) -> Fate | None:
        """Anybody can invent a report without our key, so a person decides about a bounce."""
        if reading.ignored:
            return Fate(tenant_id=tenant_id, state=InboundState.IGNORED, reason=reading.ignored)
        ref = by_recipient(self.database, reading.bounced, reading.at, tenant_id)
        return _quarantined(ref.tenant_id, NO_KEY) if ref else None

    def _keep(self, raw: bytes, door: Door, recipient: str, fate: Fate) -> Fate:
        with self.database.tenant_session(fate.tenant_id) as session:
            _write(session, raw, door, recipient, fate)
        return fate


def sign_in(database: Database, door: Door, *, received: bool = False, trouble: str = "") -> None:
    """Note at a door that it was looked after, and what troubles it."""
    sign = table(DoorSign)
    new = upsert(sign).values(
        name=door.name.lower(),
        looked_at=func.now(),
        received_at=func.now() if received else None,
        trouble=trouble,
    )
    fresh = {
        "looked_at": new.excluded.looked_at,
        "received_at": func.coalesce(new.excluded.received_at, sign.c.received_at),
        "trouble": new.excluded.trouble,
    }
    with database.system_session() as session:
        session.execute(new.on_conflict_do_update(index_elements=["name"], set_=fresh))


def _quarantined(tenant_id: int, reason: str) -> Fate:
    return Fate(tenant_id=tenant_id, state=InboundState.QUARANTINED, reason=reason)


def _write(session: Session, raw: bytes, door: Door, recipient: str, fate: Fate) -> None:
    """Keep it once, however often it comes."""
    values = {
        "tenant_id": fate.tenant_id,
        "door": door,
        "state": fate.state,
        "size": len(raw),
        "digest": hashlib.sha256(raw).hexdigest(),
        "recipient": storable(recipient)[:320],
        "reason": fate.reason,
        "raw": raw[:MOST_BYTES],
    }
    session.execute(upsert(table(Inbound)).values(values).on_conflict_do_nothing())
