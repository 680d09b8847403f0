"""Takes in what providers report of messages: once, and also before we know the message.

A report may overtake the answer to the hand-over that it is about, so one whose message is not
known waits and is looked up again, for an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ARRAY, BigInteger, func, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.db import Database, storable, table
from envoi.delivery.models import Submission, SubmissionState
from envoi.delivery.submissions import LONGEST_ID
from envoi.feedback import ledger
from envoi.feedback.further import step_of
from envoi.feedback.keeping import AWAY, FAILED, Fate, keep, quarantined, settle
from envoi.feedback.matching import by_key, last_message_to
from envoi.feedback.models import Door, Inbound, InboundState, WaitingReport
from envoi.feedback.parted import WHOLE
from envoi.feedback.references import (
    Named,
    by_reference,
    doubtful_phones,
    phone_of,
    unconfirmed_to,
)
from envoi.jobs import Work, announce, withdraw
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent, EventType

log = structlog.get_logger()

WAITS = timedelta(hours=1)
"""So long a report waits for its message to be known."""
FIRST_LOOK, LAST_LOOK = timedelta(seconds=1), timedelta(minutes=5)
"""It is looked up again after as long as it has waited, but neither sooner nor later."""
RECORDED = timedelta(seconds=10)
"""By then an answer to a hand-over is written down, or will never be: only then a message of
unknown outcome is looked for by its address."""
MOST_AT_ONCE = 20_000
LONGEST_AGO = timedelta(days=30)
LONGEST_TEXT = 2_000


@dataclass(frozen=True, kw_only=True)
class Came:
    """How a report came, and its bytes."""

    tenant_id: int
    gateway_id: int
    door: Door
    raw: bytes = b""


def told(event: DeliveryEvent, now: datetime) -> DeliveryEvent:
    """An event as it can be kept; its moment, unless that clock is plainly wrong."""
    at = event.occurred_at
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return replace(
        event,
        occurred_at=at if now - LONGEST_AGO < at <= now else now,
        reference=storable(event.reference)[:LONGEST_ID],
        reason=storable(event.reason),
        status=storable(event.status),
        recipient=storable(event.recipient).strip().lower(),
        text=storable(event.text).strip()[:LONGEST_TEXT],
        channel=storable(event.channel),
        raw="",
    )


def take_in(session: Session, signer: TokenSigner, came: Came, event: DeliveryEvent) -> Fate:
    """Apply a report, or let it wait; what has come before changes nothing."""
    applied = Fate(tenant_id=came.tenant_id, state=InboundState.APPLIED)
    about = identity(came, event)
    inbound_id = keep(session, came.raw, came.door, event.recipient, applied, about)
    if inbound_id is None:
        return Fate(tenant_id=came.tenant_id, state=InboundState.IGNORED, reason="repeated")
    named = _named(session, signer, came, event)
    if named is not None:
        fate = _apply(session, came, event, named)
    elif event.reference:
        fate = _wait(session, came, event, inbound_id)
    else:
        fate = quarantined(came.tenant_id, "no_message")
    if fate != applied:
        settle(session, inbound_id, fate)
    return fate


def match_waiting(database: Database, tenant_id: int, gateway_id: int) -> int:
    """Do the due work of `Work.MATCH`: apply the due reports that can be; return how many.

    All are looked up together and applied each alone, as when they come: counters and messages
    are locked in one order only within a report.
    """
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        withdraw(session, tenant_id, Work.MATCH, gateway_id)
        _give_up(session, tenant_id, gateway_id, now)
        waiting = _due(session, tenant_id, gateway_id, now)
        named = by_reference(session, tenant_id, gateway_id, [event for _, event in waiting])
        late = [e for row, e in waiting if e.recipient and now - row.received_at > RECORDED]
        doubtful = doubtful_phones(session, tenant_id, gateway_id, late)
        _put_off(session, tenant_id, [row.id for row, _ in waiting], now)
        if (due_at := _next_look(session, tenant_id, gateway_id)) is not None:
            announce(session, tenant_id, Work.MATCH, gateway_id, due_at)
    applied = 0
    for place, (row, event) in enumerate(waiting):
        came = Came(tenant_id=tenant_id, gateway_id=gateway_id, door=Door(row.door))
        is_late = now - row.received_at > RECORDED
        if place in named or (is_late and phone_of(event) in doubtful):
            applied += _apply_waiting(database, came, row, event, named.get(place))
    return applied


def gateways_with_waiting(session: Session, tenant_id: int) -> Iterable[int]:
    """The gateways of which reports wait."""
    w = table(WaitingReport).c
    query = select(w.gateway_id).where(w.tenant_id == tenant_id).distinct()
    return session.scalars(query).all()


def identity(came: Came, event: DeliveryEvent) -> str:
    """What makes this event another than the others of the same bytes; its moment may be ours.

    Two accounts may count their messages from 1.
    """
    parts = (event.type, event.message_key, event.reference, event.status, str(event.code))
    return "\0".join((*parts, event.recipient, event.channel, str(came.gateway_id)))


def _named(session: Session, signer: TokenSigner, came: Came, event: DeliveryEvent) -> Named | None:
    """The message of a report: by the provider's number, by our key, or by an email's address."""
    if event.reference and (
        found := by_reference(session, came.tenant_id, came.gateway_id, [event]).get(0)
    ):
        return found
    ref = by_key(signer, [event.message_key])
    if ref is not None:
        return Named(ref) if ref.tenant_id == came.tenant_id else None
    if event.reference or not event.recipient or event.type == EventType.COMPLAINED:
        return None
    last = last_message_to(session, came.tenant_id, [event.recipient], event.occurred_at)
    return Named(last) if last else None


def _apply(session: Session, came: Came, event: DeliveryEvent, named: Named) -> Fate:
    ref = step_of(session, named.message, event)
    number = named.number if ref.step == named.message.step else WHOLE
    changed = ledger.apply(session, ref, event, came.door, number=number)
    state = InboundState.APPLIED if changed else InboundState.IGNORED
    return Fate(tenant_id=came.tenant_id, state=state, reason="" if changed else "no_change")


def _wait(session: Session, came: Came, event: DeliveryEvent, inbound_id: int) -> Fate:
    values = {
        "tenant_id": came.tenant_id,
        "gateway_id": came.gateway_id,
        "inbound_id": inbound_id,
        "door": came.door,
        "event": asdict(event) | {"occurred_at": event.occurred_at.isoformat()},
    }
    session.execute(table(WaitingReport).insert().values(values))
    due_at = datetime.now(UTC) + FIRST_LOOK
    announce(session, came.tenant_id, Work.MATCH, came.gateway_id, due_at)
    return Fate(tenant_id=came.tenant_id, state=InboundState.WAITING)


def _due(
    session: Session, tenant_id: int, gateway_id: int, now: datetime
) -> list[tuple[Any, DeliveryEvent]]:
    """What is to be looked up now, the youngest first: who has waited long may wait for ever."""
    w = table(WaitingReport).c
    query = (
        select(w.id, w.inbound_id, w.door, w.event, w.received_at)
        .where(w.tenant_id == tenant_id, w.gateway_id == gateway_id, w.due_at <= now)
        .order_by(w.due_at.desc())
    )
    return [(row, _event(row.event)) for row in session.execute(query.limit(MOST_AT_ONCE))]


def _put_off(session: Session, tenant_id: int, ids: list[int], now: datetime) -> None:
    """Let each wait for its next look as long as it has waited so far, within limits."""
    waiting = table(WaitingReport)
    w = waiting.c
    waited = func.greatest(FIRST_LOOK, func.least(LAST_LOOK, now - w.received_at))
    mine = (w.tenant_id == tenant_id, w.id == func.any(literal(ids, ARRAY(BigInteger))))
    session.execute(waiting.update().where(*mine).values(due_at=now + waited))


def _next_look(session: Session, tenant_id: int, gateway_id: int) -> datetime | None:
    w = table(WaitingReport).c
    mine = (w.tenant_id == tenant_id, w.gateway_id == gateway_id)
    found: datetime | None = session.scalar(select(func.min(w.due_at)).where(*mine))
    return found


def _event(stored: dict[str, Any]) -> DeliveryEvent:
    return DeliveryEvent(**{**stored, "occurred_at": datetime.fromisoformat(stored["occurred_at"])})


def _apply_waiting(
    database: Database, came: Came, row: Any, event: DeliveryEvent, named: Named | None
) -> bool:
    """Apply a report that waited; one that cannot be is kept for a person."""
    waiting = table(WaitingReport)
    mine = (waiting.c.tenant_id == came.tenant_id, waiting.c.id == row.id)
    try:
        with database.tenant_session(came.tenant_id) as session:
            found = named or _by_address(session, came, event)
            if found is None:
                return False
            settle(session, row.inbound_id, _apply(session, came, event, found))
            session.execute(waiting.delete().where(*mine))
    except AWAY:
        raise
    except Exception:
        log.exception("report_failed", tenant=came.tenant_id, gateway=came.gateway_id)
        with database.tenant_session(came.tenant_id) as session:
            settle(session, row.inbound_id, quarantined(came.tenant_id, FAILED))
            session.execute(waiting.delete().where(*mine))
    return True


def _by_address(session: Session, came: Came, event: DeliveryEvent) -> Named | None:
    """The message of unknown outcome that this must be about; its number is known from now on."""
    ref = unconfirmed_to(session, came.tenant_id, came.gateway_id, event)
    if ref is None:
        return None
    values = {
        "tenant_id": came.tenant_id,
        "gateway_id": came.gateway_id,
        "provider_id": event.reference,
        "run_id": ref.run_id,
        "customer_id": ref.customer_id,
        "step": ref.step,
        "number": 1,
        "launched_on": ref.launched_on,
        "state": SubmissionState.ACCEPTED,
    }
    session.execute(upsert(table(Submission)).values(values).on_conflict_do_nothing())
    return Named(ref)


def _give_up(session: Session, tenant_id: int, gateway_id: int, now: datetime) -> None:
    """Leave to a person what has waited long enough."""
    waiting, inbound = table(WaitingReport), table(Inbound)
    w = waiting.c
    long_ago = (w.tenant_id == tenant_id, w.gateway_id == gateway_id, w.received_at < now - WAITS)
    gone = waiting.delete().where(*long_ago).returning(w.inbound_id).cte("gone")
    theirs = (inbound.c.tenant_id == tenant_id, inbound.c.id == gone.c.inbound_id)
    fate = {"state": InboundState.QUARANTINED, "reason": "no_message"}
    session.execute(inbound.update().where(*theirs).values(fate))
