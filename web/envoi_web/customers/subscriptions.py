"""The subscriptions of a customer as the profile shows and changes them, and their log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.errors import Problem
from envoi.subscriptions.models import WHOLE_CHANNEL, MailingCategory
from envoi.subscriptions.service import (
    Reason,
    Source,
    consent_history,
    is_opted_out,
    opted_out_of,
)
from envoi.webkit import current
from envoi_web.customers.context import CHANNELS

_LONGEST_REASON = 500
_NOBODY = 0
"""No customer has this number: what then holds, holds by the address."""

SOURCES: dict[str, object] = {
    Source.ONE_CLICK: lazy_gettext("Unsubscribe button of the mail program"),
    Source.PAGE: lazy_gettext("Unsubscribe page"),
    Source.REPLY: lazy_gettext("Reply to a message"),
    Source.EMPLOYEE: lazy_gettext("Employee"),
    Source.IMPORT: lazy_gettext("Import"),
    Source.COMPLAINT: lazy_gettext("Complaint"),
    Source.BOUNCE: lazy_gettext("Bounce"),
}
REASONS: dict[str, object] = {
    Reason.TOO_MANY: lazy_gettext("too many messages"),
    Reason.NOT_INTERESTING: lazy_gettext("not interesting"),
    Reason.NEVER_ASKED: lazy_gettext("never asked for it"),
    Reason.OTHER: lazy_gettext("another reason"),
}
ACTIONS = {"opt_out": lazy_gettext("Unsubscribed"), "opt_in": lazy_gettext("Subscribed")}


@dataclass(frozen=True, kw_only=True)
class SubscriptionRow:
    """A channel or a category of it, and whether the customer gets messages there."""

    channel: str
    channel_label: str
    category_id: int
    label: str
    left_at: datetime | None
    by_address: bool = False


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """A change of a subscription in words."""

    at: datetime
    what: str
    action: str
    left: bool
    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an employee asks for, with what is wrong with it."""

    channel: str
    category_id: int
    subscribe: bool
    reason: str
    problems: tuple[Problem, ...]


def subscription_rows(session: Session, customer: Customer) -> list[SubscriptionRow]:
    """List each channel, then each mailing category of it."""
    left = {
        (out.channel, out.category_id): out.at
        for out in opted_out_of(session, current.tenant_id, customer.id)
    }
    names = {WHOLE_CHANNEL: _("Everything in this channel"), **_categories(session)}
    addresses = {"email": customer.email, "sms": customer.phone}
    return [
        SubscriptionRow(
            channel=channel,
            channel_label=str(label),
            category_id=number,
            label=name,
            left_at=left.get((channel, number)),
            by_address=_left_by_address(session, channel, number, addresses.get(channel)),
        )
        for channel, label in CHANNELS.items()
        for number, name in names.items()
    ]


def log_rows(session: Session, customer_id: int) -> list[LogRow]:
    """Say every change, newest first."""
    names = _categories(session, hidden=True)
    return [
        LogRow(
            at=change.at,
            what=_what(change.channel, change.category_id, names),
            action=str(ACTIONS.get(change.action, change.action)),
            left=change.action == "opt_out",
            source=_said(SOURCES, change.source),
            reason=_said(REASONS, change.reason),
        )
        for change in consent_history(session, current.tenant_id, customer_id)
    ]


def read_change(session: Session, form: Mapping[str, str]) -> Change:
    """Read what an employee asks for."""
    reason = form.get("reason", "").replace("\0", "").strip()
    number = form.get("category_id", "")
    category_id = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else -1
    known = {WHOLE_CHANNEL, *_categories(session)}
    problems = []
    if form.get("channel") not in CHANNELS or category_id not in known:
        problems.append(Problem("", _("Choose a channel and a category from the list.")))
    if not 0 < len(reason) <= _LONGEST_REASON:
        problems.append(Problem("reason", _("Enter the reason, for example who asked and how.")))
    return Change(
        channel=form.get("channel", ""),
        category_id=category_id,
        subscribe=form.get("action") == "opt_in",
        reason=reason,
        problems=tuple(problems),
    )


def _categories(session: Session, *, hidden: bool = False) -> dict[int, str]:
    c = table(MailingCategory).c
    query = select(c.id, c.name, c.code).where(c.tenant_id == current.tenant_id)
    if not hidden:
        query = query.where(~c.hidden)
    return {row.id: row.name or row.code for row in session.execute(query.order_by(c.name, c.id))}


def _left_by_address(session: Session, channel: str, category_id: int, address: str | None) -> bool:
    if not address or category_id != WHOLE_CHANNEL:
        return False
    return is_opted_out(session, current.tenant_id, _NOBODY, channel, address=address)


def _what(channel: str, category_id: int, names: Mapping[int, str]) -> str:
    label = str(CHANNELS.get(channel, channel))
    if category_id == WHOLE_CHANNEL:
        return label
    return f"{label}, {names.get(category_id, _('a deleted category'))}"


def _said(words: Mapping[str, object], code: str) -> str:
    """Say a code in words; the words of a person stay as they are."""
    return str(words[code]) if code in words else code
