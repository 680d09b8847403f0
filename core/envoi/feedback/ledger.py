"""Applies what was reported about a message: to the ledger, the contact and the subscriptions.

Every fact only fills and every judgement is made anew from all that is known of an address, so
that reports may come twice and in any order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Message, MessageState, Run, RunKind, RunStatus
from envoi.delivery.states import move
from envoi.feedback.classify import details, judge
from envoi.feedback.contacts import judge_contact
from envoi.feedback.models import Bounce, Door
from envoi.jobs import Work, announce
from envoi.subscriptions.service import Source, opt_out, suppress
from envoi.tracking.models import EventCounter, EventKind, MessageEvent
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType

LONGEST_ANSWER = 500
LOOK_AT_RATES = timedelta(seconds=2)
"""The rates of a run are looked at so long after a bounce, together for all that came."""

_NEVER_SENT = (MessageState.EXCLUDED, MessageState.CONTROL)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The message that a report is about; without an address nobody's is to blame."""

    ref: MessageRef
    channel: str
    address: str
    sending: bool


def apply(
    session: Session, ref: MessageRef, event: DeliveryEvent, door: Door, addressed: str = ""
) -> bool:
    """Take one event into account; false when it changes nothing for good.

    Args:
        session: An open transaction of the message's tenant.
        ref: The message that the event's key names.
        event: What was reported.
        door: By which way it came.
        addressed: The address that the message was sent to, where the report shows it.
    """
    # Complaints come with the recipient taken out; the message tells whose they are.
    named = {addressed, event.recipient} if event.type != EventType.COMPLAINED else set()
    found = _find(session, ref, {address.lower() for address in named if address})
    if found is None or event.type == EventType.DEFERRED:
        return False
    if door is not Door.HANDOVER:
        _confirm(session, found.ref, event.occurred_at)
    if event.type == EventType.DELIVERED:
        _fill(session, found.ref, "delivered_at", event.occurred_at)
    elif event.type == EventType.BOUNCED:
        _bounce(session, found, event, door)
    elif event.type == EventType.COMPLAINED:
        _complain(session, found, event.occurred_at)
    else:
        return False
    # Also where the sender is blamed: such a bounce may have taken the place of a lesser one.
    judge_contact(session, ref.tenant_id, found.address)
    if found.sending:
        due_at = datetime.now(UTC) + LOOK_AT_RATES
        announce(session, ref.tenant_id, Work.RATES, ref.run_id, due_at)
    return True


def _find(session: Session, ref: MessageRef, named: Collection[str]) -> Reported | None:
    """The message; copies and tests have no row or count for nobody.

    A key proves which message a report is about, and everybody who got one knows a key. So
    the customer's own address is blamed, or where the report names only others, none.
    """
    m, r, c = table(Message).c, table(Run).c, table(Customer).c
    query = (
        select(r.channel, r.status, c.email, m.variant)
        .select_from(table(Message))
        .join(table(Run), and_(r.tenant_id == m.tenant_id, r.id == m.run_id))
        .outerjoin(table(Customer), and_(c.tenant_id == m.tenant_id, c.id == m.customer_id))
        .where(_is(ref), m.state.not_in(_NEVER_SENT), r.kind == RunKind.MAILING)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    sending = row.status in (RunStatus.COLLECTING, RunStatus.SENDING)
    own = row.email or ""
    address = own if own in named or not named else ""
    return Reported(ref=ref, channel=row.channel, address=address, sending=sending)


def _confirm(session: Session, ref: MessageRef, at: datetime) -> None:
    """Whatever is reported of it, a message of unknown outcome was taken."""
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


def _bounce(session: Session, found: Reported, event: DeliveryEvent, door: Door) -> None:
    """Keep the gravest bounce of a message, of two as grave the earlier."""
    judgement = judge(event.status, event.code, event.reason)
    status, code = details(event.status, event.code, event.reason)
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
        "status": status or (str(code) if code else ""),
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


def _complain(session: Session, found: Reported, at: datetime) -> None:
    """A complaint is one hit, and the end of all messages to the address."""
    ref, message = found.ref, table(Message)
    first = message.update().where(_is(ref), message.c.complained_at.is_(None))
    if session.execute(first.values(complained_at=at).returning(message.c.seq)).first():
        _count(session, ref, at)
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


def _count(session: Session, ref: MessageRef, at: datetime) -> None:
    event, counter = table(MessageEvent), table(EventCounter)
    shared = {
        "tenant_id": ref.tenant_id,
        "run_id": ref.run_id,
        "variant": ref.variant,
        "kind": int(EventKind.COMPLAINT),
        "machine": False,
    }
    about = {"customer_id": ref.customer_id, "step": ref.step, "launched_on": ref.launched_on}
    session.execute(event.insert().values(**shared, **about, at=at))
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    new = upsert(counter).values(**shared, hour=hour, hits=1)
    more = {"hits": counter.c.hits + 1}
    session.execute(new.on_conflict_do_update(constraint=counter.primary_key, set_=more))


def _is(ref: MessageRef) -> ColumnElement[bool]:
    m = table(Message).c
    return and_(
        m.tenant_id == ref.tenant_id,
        m.run_id == ref.run_id,
        m.customer_id == ref.customer_id,
        m.step == ref.step,
        m.launched_on == ref.launched_on,
    )
