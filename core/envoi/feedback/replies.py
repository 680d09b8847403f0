"""What customers answer: kept, and a wish for no more messages obeyed before it is acknowledged."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, literal, select
from sqlalchemy.orm import Session

from envoi.customers.contacts import check_phone
from envoi.customers.models import Customer, Quality
from envoi.db import one_at_a_time, table
from envoi.delivery.gateways import get_gateway
from envoi.delivery.models import Message, MessageState, Run, RunKind
from envoi.feedback.keeping import Fate
from envoi.feedback.matching import RECENT, channel_of_message
from envoi.feedback.models import InboundState, Reply
from envoi.feedback.reports import Came
from envoi.subscriptions.service import Source, opt_out
from envoi.tenants.service import tenant_settings
from envoi.types import DeliveryEvent

STOP_WORDS = ("stop", "stopall", "unsubscribe", "стоп", "отписка", "отписаться")
"""These mean an opt-out for every company; each may have further ones."""

TOLD_AGAIN = timedelta(minutes=10)
"""Within so long the same words are the same reply, delivered again."""

_WORD = re.compile(r"\w+")
_LOOKALIKES = str.maketrans("авекмнорстухё", "abekmhopctyxe")
"""Cyrillic letters as Latin ones: people mix them, and nobody sees it."""


@dataclass(frozen=True, kw_only=True)
class ShownReply:
    """A reply and the customers who have its number now, as (number, name); often one, or none."""

    at: datetime
    channel: str
    address: str
    text: str
    is_stop: bool
    customers: Sequence[tuple[int, str]]


def is_stop(text: str, further: Iterable[str] = ()) -> bool:
    """Whether a reply begins with a word, or words, that mean an opt-out."""
    said = _plain(text)
    phrases = (_plain(phrase) for phrase in (*STOP_WORDS, *further))
    return any(phrase and said[: len(phrase)] == phrase for phrase in phrases)


def take_in_reply(session: Session, came: Came, event: DeliveryEvent) -> Fate:
    """Keep a reply, and let everybody with its number out of the channel if it asks for that."""
    tenant_id, reply = came.tenant_id, table(Reply)
    settings = tenant_settings(session, tenant_id)
    address = _number(event.recipient, settings.default_country)
    one_at_a_time(session, f"envoi.reply:{tenant_id}:{came.gateway_id}:{address}")
    same = {"gateway_id": came.gateway_id, "address": address, "text": event.text}
    if _is_told_again(session, tenant_id, same, event.occurred_at):
        return Fate(tenant_id=tenant_id, state=InboundState.IGNORED, reason="repeated")
    channel = get_gateway(session, tenant_id, came.gateway_id).channel
    stops = is_stop(event.text, settings.stop_words)
    about = {"tenant_id": tenant_id, "at": event.occurred_at, "channel": channel}
    session.execute(reply.insert().values(**same, **about, is_stop=stops))
    if stops:
        _let_out(session, tenant_id, channel, address, event)
    return Fate(tenant_id=tenant_id, state=InboundState.APPLIED)


def replies_by_gateway(
    session: Session, tenant_id: int, gateway_id: int, limit: int
) -> list[ShownReply]:
    """List the newest replies that came by a gateway."""
    r = table(Reply).c
    mine = (r.tenant_id == tenant_id, r.gateway_id == gateway_id)
    query = select(Reply).where(*mine).order_by(r.at.desc(), r.id.desc()).limit(limit)
    replies = session.scalars(query).all()
    owners = _owners(session, tenant_id, {reply.address for reply in replies})
    return [_shown(reply, owners.get(reply.address, ())) for reply in replies]


def replies_from(
    session: Session, tenant_id: int, address: str, limit: int, until: datetime | None = None
) -> list[ShownReply]:
    """List the newest replies from a number; `until` is not included."""
    r = table(Reply).c
    query = select(Reply).where(r.tenant_id == tenant_id, r.address == address)
    if until is not None:
        query = query.where(r.at < until)
    newest = query.order_by(r.at.desc(), r.id.desc()).limit(limit)
    return [_shown(reply, ()) for reply in session.scalars(newest)]


def _plain(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_LOOKALIKES)
    return _WORD.findall(folded)


def _number(recipient: str, country: str) -> str:
    """The number as customers' are kept; centres give it with or without the country's code."""
    digits = recipient.removeprefix("+")
    found = (check_phone(text, country) for text in (f"+{digits}", digits))
    good = (contact.value for contact in found if contact.quality is Quality.GOOD)
    return next(good, None) or (f"+{digits}" if digits.isdecimal() else recipient)


def _is_told_again(
    session: Session, tenant_id: int, same: Mapping[str, object], at: datetime
) -> bool:
    r = table(Reply).c
    alike = (r[name] == value for name, value in same.items())
    lately = r.at.between(at - TOLD_AGAIN, at + TOLD_AGAIN)
    query = select(literal(1)).where(r.tenant_id == tenant_id, *alike, lately).limit(1)
    return session.scalar(query) is not None


def _let_out(
    session: Session, tenant_id: int, channel: str, address: str, event: DeliveryEvent
) -> None:
    for number, _ in _owners(session, tenant_id, {address}).get(address, ()):
        opt_out(
            session,
            tenant_id,
            number,
            channel,
            source=Source.REPLY,
            reason=event.text,
            run_id=_answered(session, tenant_id, number, channel, event.occurred_at),
            address=address,
        )


def _answered(
    session: Session, tenant_id: int, customer_id: int, channel: str, at: datetime
) -> int | None:
    """The run of the last message that the customer got by the channel, if it was lately."""
    m, run = table(Message).c, table(Run).c
    found: int | None = session.scalar(
        select(m.run_id)
        .join_from(table(Message), table(Run), and_(run.tenant_id == tenant_id, run.id == m.run_id))
        .where(m.tenant_id == tenant_id, m.customer_id == customer_id)
        .where(m.launched_on.between((at - 2 * RECENT).date(), at.date()))
        .where(m.state == MessageState.ACCEPTED, m.accepted_at.between(at - RECENT, at))
        .where(run.kind == RunKind.MAILING, channel_of_message() == channel)
        .order_by(m.accepted_at.desc())
        .limit(1)
    )
    return found


def _owners(
    session: Session, tenant_id: int, addresses: Collection[str]
) -> Mapping[str, Sequence[tuple[int, str]]]:
    c = table(Customer).c
    theirs = (c.tenant_id == tenant_id, c.phone.in_(addresses))
    query = select(c.phone, c.id, c.first_name, c.last_name, c.external_id).where(*theirs)
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in session.execute(query.order_by(c.id)):
        name = f"{row.first_name} {row.last_name}".strip() or row.external_id
        found[row.phone].append((row.id, name))
    return found


def _shown(reply: Reply, customers: Sequence[tuple[int, str]]) -> ShownReply:
    return ShownReply(
        at=reply.at,
        channel=reply.channel,
        address=reply.address,
        text=reply.text,
        is_stop=reply.is_stop,
        customers=customers,
    )
