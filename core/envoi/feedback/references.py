"""Finds messages by the numbers that providers gave them, in whatever form those come back.

The answer to a hand-over may have a number in hexadecimal and the report of it in decimal, or the
reverse; with other cases, or zeros in front. Where several messages fit, the one that the report's
own address confirms counts before others, then the number as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, Select, Text, and_, func, literal, select, text
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Gateway, Message, MessageState, Run, RunKind
from envoi.delivery.submissions import LONGEST_ID
from envoi.feedback.matching import channel_of_message
from envoi.tracking.arrays import columns
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent

LATELY = timedelta(days=3)
"""A message of unknown outcome is only found by its address if its run began so lately."""

_HEXADECIMAL = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,39}", re.ASCII)

_FIND = text(
    "SELECT DISTINCT ON (asked.place) asked.place, s.run_id, s.customer_id, s.launched_on, s.step,"
    " CASE WHEN EXISTS (SELECT FROM submission o WHERE o.tenant_id = :tenant"
    "  AND o.run_id = s.run_id AND o.customer_id = s.customer_id AND o.step = s.step"
    "  AND o.number <> s.number) THEN s.number ELSE 0 END AS number"
    " FROM unnest(CAST(:places AS integer[]), CAST(:ranks AS smallint[]),"
    " CAST(:forms AS text[]), CAST(:wholes AS text[]), CAST(:phones AS text[]))"
    " AS asked(place, rank, form, whole, phone)"
    " JOIN submission s ON s.tenant_id = :tenant AND s.gateway_id = :gateway"
    "  AND s.reference = asked.form"
    " LEFT JOIN customer c ON c.tenant_id = :tenant AND c.id = s.customer_id"
    " WHERE asked.rank = 0 OR asked.phone = '' OR asked.phone = c.phone"
    " ORDER BY asked.place, coalesce(asked.phone = c.phone, false) DESC,"
    " s.provider_id = asked.whole DESC, asked.rank, s.at DESC"
)


class Named(NamedTuple):
    """A message, and the part or device of it that a report is about (0: there is only one)."""

    message: MessageRef
    number: int = 0


def forms(reference: str) -> tuple[str, ...]:
    """What a number may be kept as, the likeliest first, as `Submission.reference` writes it."""
    plain = _plain(reference)
    found = [plain]
    if _HEXADECIMAL.fullmatch(plain):
        found.append(str(int(plain, 16)))
    if _DECIMAL.fullmatch(plain):
        found.append(f"{int(plain):x}")
    return tuple(dict.fromkeys(filter(None, found)))


def by_reference(
    session: Session, tenant_id: int, gateway_id: int, events: Sequence[DeliveryEvent]
) -> Mapping[int, Named]:
    """The messages that events name, by the events' places; those not known yet are left out."""
    rows = [
        (place, rank, form, event.reference, phone_of(event))
        for place, event in enumerate(events)
        if event.reference
        for rank, form in enumerate(forms(event.reference))
    ]
    if not rows:
        return {}
    given = columns(rows, "places", "ranks", "forms", "wholes", "phones")
    found = session.execute(_FIND, {"tenant": tenant_id, "gateway": gateway_id} | given)
    return {row.place: Named(_ref(tenant_id, row), row.number) for row in found}


def unconfirmed_to(
    session: Session, tenant_id: int, gateway_id: int, event: DeliveryEvent
) -> MessageRef | None:
    """The message of unknown outcome to an event's number, if there is only one lately.

    Its provider has given it a number of which the answer never came.
    """
    m = table(Message).c
    query = _unconfirmed(tenant_id, gateway_id, [event])
    query = query.with_only_columns(m.run_id, m.customer_id, m.launched_on, m.step).limit(2)
    found = session.execute(query).all()
    return _ref(tenant_id, found[0]) if len(found) == 1 else None


def doubtful_phones(
    session: Session, tenant_id: int, gateway_id: int, events: Sequence[DeliveryEvent]
) -> frozenset[str]:
    """The numbers of these events to which any message of unknown outcome went lately."""
    if not events:
        return frozenset()
    return frozenset(session.scalars(_unconfirmed(tenant_id, gateway_id, events).distinct()))


def _unconfirmed(
    tenant_id: int, gateway_id: int, events: Sequence[DeliveryEvent]
) -> Select[tuple[str]]:
    """The numbers of messages of unknown outcome by which one of these events may be meant."""
    m, c, r, g = (table(model).c for model in (Message, Customer, Run, Gateway))
    channel = select(g.channel).where(g.tenant_id == tenant_id, g.id == gateway_id)
    moments = [event.occurred_at for event in events]
    lately = ((min(moments) - LATELY).date(), max(moments).date())
    phones = literal(sorted({phone_of(event) for event in events} - {""}), ARRAY(Text))
    return (
        select(c.phone)
        .select_from(table(Customer))
        .join(table(Message), and_(m.tenant_id == c.tenant_id, m.customer_id == c.id))
        .join(table(Run), and_(r.tenant_id == m.tenant_id, r.id == m.run_id))
        .where(c.tenant_id == tenant_id, c.phone == func.any(phones))
        .where(m.launched_on.between(*lately))
        .where(m.state == MessageState.UNCONFIRMED, r.kind == RunKind.MAILING)
        .where(channel_of_message() == channel.scalar_subquery())
    )


def phone_of(event: DeliveryEvent) -> str:
    """An event's telephone number as customers' are kept; empty where it is something else."""
    digits = event.recipient.strip().removeprefix("+")
    return f"+{digits}" if _DECIMAL.fullmatch(digits) else ""


def _plain(reference: str) -> str:
    return reference[:LONGEST_ID].lower().lstrip("0")


def _ref(tenant_id: int, row: object) -> MessageRef:
    names = ("run_id", "customer_id", "launched_on", "step")
    return MessageRef(tenant_id, *(getattr(row, name) for name in names))
