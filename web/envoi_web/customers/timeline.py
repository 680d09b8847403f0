"""The timeline of a customer: receipts, messages, subscriptions and the record itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.customers.profile import messages_of, receipts_of
from envoi.feedback.replies import replies_from
from envoi.webkit import allowed, current
from envoi.webkit.formats import money
from envoi_web.customers.context import ShownMessage, message_rows
from envoi_web.customers.subscriptions import log_rows

_SHOWN = 50
_OF_ONE_DAY = 50
"""Messages are looked for by their day, so as many more are loaded as a day may have."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, newest first; `state` is a message's."""

    at: datetime
    icon: str
    title: str
    text: str = ""
    url: str = ""
    state: str = ""


def events_of(
    session: Session, customer: Customer, until: datetime | None
) -> tuple[list[Event], datetime | None]:
    """Return the latest events before a moment, and the moment at which older ones begin."""
    found = [
        *_receipts(session, customer.id, until),
        *_messages(session, customer.id, until),
        *_replies(session, customer, until),
        *_subscriptions(session, customer.id),
        *_record(customer),
    ]
    found = [event for event in found if until is None or event.at < until]
    found.sort(key=lambda event: event.at, reverse=True)
    return found[:_SHOWN], found[_SHOWN - 1].at if len(found) > _SHOWN else None


def read_moment(text: str) -> datetime | None:
    """Read the moment in an address; None where there is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _receipts(session: Session, customer_id: int, until: datetime | None) -> list[Event]:
    about = (session, current.tenant_id, customer_id)
    return [
        Event(
            at=receipt.at,
            icon="receipt",
            title=_("Receipt %(number)s", number=receipt.external_id),
            text=", ".join(
                part
                for part in (
                    money(receipt.amount),
                    _("cancelled") if receipt.cancelled else "",
                    *(line.product for line in receipt.lines[:5]),
                )
                if part
            ),
        )
        for receipt in receipts_of(*about, limit=_SHOWN + 1, until=until)
    ]


def _messages(session: Session, customer_id: int, until: datetime | None) -> list[Event]:
    rows = messages_of(
        session,
        current.tenant_id,
        customer_id,
        limit=_SHOWN + _OF_ONE_DAY,
        until=until.astimezone(current.company.zone).date() if until else None,
    )
    return [_message(row) for row in message_rows(rows)]


def _message(row: ShownMessage) -> Event:
    message = row.message
    linked = message.mailing_id and allowed("mailings.view")
    return Event(
        at=message.accepted_at
        or datetime.combine(message.launched_on, time(), current.company.zone),
        icon="mail",
        title=message.mailing or _("Message"),
        text=row.reason,
        url=url_for("mailings.home", mailing_id=message.mailing_id) if linked else "",
        state=row.state,
    )


def _replies(session: Session, customer: Customer, until: datetime | None) -> list[Event]:
    if not customer.phone:
        return []
    found = replies_from(session, current.tenant_id, customer.phone, _SHOWN + 1, until)
    return [
        Event(at=reply.at, icon="message-2", title=_("Reply"), text=reply.text) for reply in found
    ]


def _subscriptions(session: Session, customer_id: int) -> list[Event]:
    return [
        Event(
            at=row.at,
            icon="user-minus" if row.left else "bell",
            title=f"{row.action}: {row.what}",
            text=", ".join(part for part in (row.source, row.reason) if part),
        )
        for row in log_rows(session, customer_id)
    ]


def _record(customer: Customer) -> list[Event]:
    """When the customer came into the base, and the last change of the data."""
    events = [Event(at=customer.created_at, icon="upload", title=_("Came into the base"))]
    if customer.updated_at != customer.created_at:
        changed = _("Data changed, by an import or an employee")
        events.append(Event(at=customer.updated_at, icon="pencil", title=changed))
    return events
