"""The one entrance for everything that comes back: read, matched, applied, and kept raw.

What a door hands over is in the database when `receive` returns, in the tenant it belongs to;
what names no message of ours is kept for nobody. Nothing that comes in raises, except that the
database is away: then the other side has to try again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as upsert

from envoi.db import Database, table
from envoi.feedback import ledger
from envoi.feedback.keeping import AWAY, FAILED, Fate, keep, quarantined
from envoi.feedback.matching import by_key, by_recipient
from envoi.feedback.models import NO_KEY, NOBODY, Door, DoorSign, InboundState
from envoi.feedback.reading import Reading, UnreadableError, keys_in, read
from envoi.feedback.replies import take_in_reply
from envoi.feedback.reports import Came, identity, take_in, told
from envoi.tracking.tokens import MessageRef, TokenSigner
from envoi.types import DeliveryEvent, EventType

log = structlog.get_logger()


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
            return self._keep(raw, door, recipient, quarantined(tenant_id, FAILED))

    def report(
        self, raw: bytes, door: Door, tenant_id: int, gateway_id: int, event: DeliveryEvent
    ) -> Fate:
        """Take in one event of a provider that we know to speak for this tenant's gateway."""
        came = Came(tenant_id=tenant_id, gateway_id=gateway_id, door=door, raw=raw)
        about = ""
        try:
            event = told(event, datetime.now(UTC))
            about = identity(came, event)
            with self.database.tenant_session(tenant_id) as session:
                if event.type == EventType.REPLIED:
                    return take_in_reply(session, came, event)
                return take_in(session, self._signer, came, event)
        except AWAY:
            raise
        except Exception:
            log.exception("report_failed", tenant=tenant_id, gateway=gateway_id)
            return self._keep(raw, door, "", quarantined(tenant_id, FAILED), about)

    def keep_unread(self, raw: bytes, door: Door, tenant_id: int, reason: str) -> Fate:
        """Keep what could not be understood, for a person to look at."""
        return self._keep(raw, door, "", quarantined(tenant_id, reason))

    def _receive(
        self, raw: bytes, door: Door, recipient: str, tenant_id: int, now: datetime
    ) -> Fate:
        try:
            reading = read(raw, recipient, now=now)
        except UnreadableError as error:
            owner = by_key(self._signer, keys_in(recipient))
            whose = tenant_id or (owner.tenant_id if owner else NOBODY)
            return self._keep(raw, door, recipient, quarantined(whose, str(error)))
        ref = by_key(self._signer, reading.keys)
        if ref is None or tenant_id not in (NOBODY, ref.tenant_id):
            fate = self._unproven(reading, tenant_id) if ref is None else None
            return self._keep(raw, door, recipient, fate or quarantined(tenant_id, "no_message"))
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
                keep(session, raw, door, recipient, fate)
        except AWAY:
            raise
        except Exception:
            log.exception("report_failed", tenant=ref.tenant_id, run=ref.run_id)
            return self._keep(raw, door, recipient, quarantined(ref.tenant_id, FAILED))
        return fate

    def _unproven(self, reading: Reading, tenant_id: int) -> Fate | None:
        """Anybody can invent a report without our key, so a person decides about a bounce."""
        if reading.ignored:
            return Fate(tenant_id=tenant_id, state=InboundState.IGNORED, reason=reading.ignored)
        ref = by_recipient(self.database, reading.bounced, reading.at, tenant_id)
        return quarantined(ref.tenant_id, NO_KEY) if ref else None

    def _keep(self, raw: bytes, door: Door, recipient: str, fate: Fate, about: str = "") -> Fate:
        with self.database.tenant_session(fate.tenant_id) as session:
            keep(session, raw, door, recipient, fate, about)
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
