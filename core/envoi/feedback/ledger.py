"""Applies what was reported about a message: to the ledger, the contact and the subscriptions.

Every fact only fills and every judgement is made anew from all that is known of an address, so
that reports may come twice and in any order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, DateTime, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.cascade import look_again
from envoi.delivery.models import Message, MessageState, Run, RunKind, RunStatus
from envoi.delivery.states import leave_unconfirmed, move
from envoi.feedback.classify import details, judge
from envoi.feedback.contacts import CHANNEL, PHONE_CHANNELS, judge_contact, judge_phone
from envoi.feedback.matching import channel_of_message
from envoi.feedback.models import Bounce, Door
from envoi.feedback.parted import WHOLE, all_delivered, note_part
from envoi.feedback.reported import count_hit, note_hit
from envoi.feedback.rules import NO_SUCH_NUMBER, UNDELIVERED, Judgement
from envoi.jobs import Work, announce
from envoi.subscriptions.service import Source, opt_out, suppress
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType

LONGEST_ANSWER = 500
LOOK_AT_RATES = timedelta(seconds=2)
"""The rates of a run are looked at so long after a bounce, together for all that came."""

_HITS: dict[str, EventKind] = {
    EventType.READ: EventKind.OPEN,
    EventType.CLICKED: EventKind.CLICK,
}
_KEY = ("tenant_id", "run_id", "customer_id", "step", "launched_on")
_FAILURES = (EventType.BOUNCED, EventType.FAILED)
_UNDECIDED = (MessageState.READY, MessageState.CLAIMED, MessageState.UNCONFIRMED)
"""Where a report tells more than the hand-over has told us so far."""
_NEVER_SENT = (MessageState.EXCLUDED, MessageState.CONTROL)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The message that a report is about; without an address nobody's is to blame."""

    ref: MessageRef
    channel: str
    address: str
    state: int
    sending: bool


def apply(
    session: Session,
    ref: MessageRef,
    event: DeliveryEvent,
    door: Door,
    addressed: str = "",
    number: int = WHOLE,
) -> bool:
    """Take one event into account; false when it changes nothing for good.

    Args:
        session: An open transaction of the message's tenant.
        ref: The message that the event's key or reference names.
        event: What was reported.
        door: By which way it came.
        addressed: The address that the message was sent to, where the report shows it.
        number: The part or device of the message that the event is about.
    """
    # Complaints come with the recipient taken out; the message tells whose they are.
    named = {addressed, event.recipient} if event.type != EventType.COMPLAINED else set()
    found = _find(session, ref, {address.lower() for address in named if address})
    if found is None or event.type == EventType.UNKNOWN:
        return False
    undecided = door is not Door.HANDOVER and found.state in _UNDECIDED
    if undecided or (door is not Door.HANDOVER and event.type in _FAILURES):
        # Blocks come before their messages, as for senders.
        look_again(session, found.ref)
    if hit := _HITS.get(event.type):
        note_hit(session, found.ref, hit, event.occurred_at)
    note_part(session, found.ref, number, event.type, event.occurred_at)
    changes = _apply(session, found, event, door, number)
    if undecided:
        # After the facts: whoever was recording the hand-over has done so by then.
        confirm(session, found.ref, event.occurred_at)
    if changes:
        _judge(session, found)
    return changes


def _apply(
    session: Session, found: Reported, event: DeliveryEvent, door: Door, number: int
) -> bool:
    """Change the message; false for a kind of event that changes none."""
    if event.type == EventType.DELIVERED:
        at = all_delivered(session, found.ref, found.channel, number, event.occurred_at)
        _arrived(session, found, at, "delivered_at")
    elif event.type == EventType.READ:
        _arrived(session, found, event.occurred_at, "delivered_at", "opened_at")
    elif event.type == EventType.CLICKED:
        facts = ("delivered_at", "opened_at", "clicked_at")
        _arrived(session, found, event.occurred_at, *facts)
    elif event.type in _FAILURES:
        _bounce(session, found, event, door)
    elif event.type == EventType.COMPLAINED:
        _complain(session, found, event.occurred_at)
    else:
        return False
    return True


def _judge(session: Session, found: Reported) -> None:
    """Judge the contact anew, and soon the run, if it is still being sent."""
    if found.channel != CHANNEL:
        return
    # Also where the sender is blamed: such a bounce may have taken the place of a lesser one.
    judge_contact(session, found.ref.tenant_id, found.address)
    if found.sending:
        due_at = datetime.now(UTC) + LOOK_AT_RATES
        announce(session, found.ref.tenant_id, Work.RATES, found.ref.run_id, due_at)


def _find(session: Session, ref: MessageRef, named: Collection[str]) -> Reported | None:
    """The message; copies and tests have no row or count for nobody.

    A key proves which message a report is about, and everybody who got one knows a key. So
    the customer's own address is blamed, or where the report names only others, none.
    """
    row = session.execute(_finding(), _names(ref)).one_or_none()
    if row is None:
        return None
    return Reported(
        ref=ref._replace(variant=row.variant or ref.variant),
        channel=row.channel,
        address=_blamed(row, named),
        state=row.state,
        sending=row.status in (RunStatus.COLLECTING, RunStatus.SENDING),
    )


@cache
def _finding() -> Any:
    """The statement, built once: every report asks it."""
    m, r, c = table(Message).c, table(Run).c, table(Customer).c
    channel = channel_of_message().label("channel")
    return (
        select(channel, r.status, c.email, c.phone, m.variant, m.state)
        .select_from(table(Message))
        .join(table(Run), and_(r.tenant_id == m.tenant_id, r.id == m.run_id))
        .outerjoin(table(Customer), and_(c.tenant_id == m.tenant_id, c.id == m.customer_id))
        .where(_named(), m.state.not_in(_NEVER_SENT), r.kind == RunKind.MAILING)
    )


def _blamed(row: Any, named: Collection[str]) -> str:
    """The customer's own address of the channel, unless the report names only others."""
    if row.channel in PHONE_CHANNELS:
        own, named = row.phone or "", {f"+{name.lstrip('+')}" for name in named}
    else:
        own = (row.email or "") if row.channel == CHANNEL else ""
    return own if own in named or not named else ""


def confirm(session: Session, ref: MessageRef, at: datetime) -> None:
    """Whatever is reported of it, a message of unknown outcome was taken; none leaves again."""
    session.execute(leave_unconfirmed().where(_is(ref)))
    accepted_at = func.coalesce(table(Message).c.accepted_at, at)
    taken = move(MessageState.UNCONFIRMED, MessageState.ACCEPTED, accepted_at=accepted_at)
    session.execute(taken.where(_is(ref)))


def _fill(session: Session, ref: MessageRef, name: str, at: datetime) -> None:
    message = table(Message)
    earliest = func.least(message.c[name], at)
    session.execute(
        message.update()
        .where(_is(ref), func.coalesce(message.c[name] > at, True))
        .values({name: earliest})
    )


def _arrived(session: Session, found: Reported, at: datetime | None, *facts: str) -> None:
    """It has arrived; whatever else was said of it before, or will be, it has.

    Only email is taken by a server first and may come back later.
    """
    if at is None:
        return
    ref, is_email = found.ref, found.channel == CHANNEL
    given = _names(ref) | {"seen_at": at}
    undelivered = session.scalar(_arriving(facts, is_email), given)
    if undelivered is not None and not is_email:
        b = table(Bounce).c
        mine = (b.tenant_id == ref.tenant_id, b.run_id == ref.run_id, b.step == ref.step)
        session.execute(table(Bounce).delete().where(*mine, b.customer_id == ref.customer_id))
        judge_phone(session, ref.tenant_id, found.address)


@cache
def _arriving(facts: tuple[str, ...], is_email: bool) -> Any:
    """The statement, built once; it tells what was known of a failure before."""
    message, at = table(Message), bindparam("seen_at", type_=DateTime(timezone=True))
    values: dict[str, Any] = {name: func.least(message.c[name], at) for name in facts}
    if not is_email:
        values["bounced_at"] = None
    m = message.c
    before = select(m.seq, m.bounced_at).where(_named()).with_for_update().cte("before")
    arrived = message.update().where(_named(), m.seq == before.c.seq).values(values)
    return arrived.returning(before.c.bounced_at)


def _bounce(session: Session, found: Reported, event: DeliveryEvent, door: Door) -> None:
    """Keep the gravest bounce of a message, of two as grave the earlier."""
    if found.channel != CHANNEL and not _still_out(session, found.ref):
        return
    judgement, status = _judged(found, event)
    bounce = table(Bounce)
    values: dict[str, Any] = {
        "tenant_id": found.ref.tenant_id,
        "run_id": found.ref.run_id,
        "customer_id": found.ref.customer_id,
        "step": found.ref.step,
        "fault": judgement.fault,
        "quality": judgement.quality,
        "door": door,
        "at": event.occurred_at,
        "reason": judgement.why,
        "status": status,
        "address": found.address,
        "answer": event.reason.replace("\0", "")[:LONGEST_ANSWER],
    }
    new = upsert(bounce).values(values)
    graver = func.row(new.excluded.fault, bounce.c.at, new.excluded.status) > func.row(
        bounce.c.fault, new.excluded.at, bounce.c.status
    )
    kept = {name: new.excluded[name] for name in list(values)[4:]}
    session.execute(
        new.on_conflict_do_update(constraint=bounce.primary_key, set_=kept, where=graver)
    )
    if door is not Door.HANDOVER:
        _fill(session, found.ref, "bounced_at", event.occurred_at)
    if judgement is NO_SUCH_NUMBER and found.channel in PHONE_CHANNELS:
        judge_phone(session, found.ref.tenant_id, found.address)


def _still_out(session: Session, ref: MessageRef) -> bool:
    """Whether nobody has said that it arrived; until the transaction's end nobody will."""
    m = table(Message).c
    query = select(m.seq).where(_is(ref), m.delivered_at.is_(None)).with_for_update()
    return session.scalar(query) is not None


def _judged(found: Reported, event: DeliveryEvent) -> tuple[Judgement, str]:
    """Whom a failure blames, and its status: only mail servers' have a common language."""
    if found.channel != CHANNEL:
        said = " ".join(filter(None, (event.status, str(event.code or ""))))
        return (NO_SUCH_NUMBER if event.permanent else UNDELIVERED), said[:LONGEST_ANSWER]
    status, code = details(event.status, event.code, event.reason)
    judgement = judge(event.status, event.code, event.reason)
    return judgement, status or (str(code) if code else "")


def _complain(session: Session, found: Reported, at: datetime) -> None:
    """A complaint is one hit, and the end of all messages to the address."""
    ref, message = found.ref, table(Message)
    first = message.update().where(_is(ref), message.c.complained_at.is_(None))
    if session.execute(first.values(complained_at=at).returning(message.c.seq)).first():
        count_hit(session, ref, EventKind.COMPLAINT, at)
    if found.address:
        suppress(session, ref.tenant_id, found.channel, found.address, Source.COMPLAINT)
    opt_out(
        session,
        ref.tenant_id,
        ref.customer_id,
        found.channel,
        source=Source.COMPLAINT,
        address=found.address or None,
    )


def _names(ref: MessageRef) -> dict[str, Any]:
    return {f"its_{name}": getattr(ref, name) for name in _KEY}


def _named() -> ColumnElement[bool]:
    """The same as `_is`, for statements that are built once."""
    return and_(*(table(Message).c[name] == bindparam(f"its_{name}") for name in _KEY))


def _is(ref: MessageRef) -> ColumnElement[bool]:
    return and_(*(table(Message).c[name] == getattr(ref, name) for name in _KEY))
