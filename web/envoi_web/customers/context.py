"""What the templates of customers are given, as plain data made from the core's objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from envoi.customers.models import Gender, Quality
from envoi.customers.queries import Profile, ProfileMessage, Total
from envoi.delivery.models import MessageState, Stage
from envoi.webkit import allowed
from envoi.webkit.formats import NO_VALUE, day, number
from envoi_web.mailings.context import SHOWN_STATES, STAGE_LABELS, detail_words

_MIDDLE_DIGITS = re.compile(r"(?<=^\+\d{2})\d+(?=\d{2}$)")
_MILLION = 1_000_000

GENDERS = {
    Gender.NOT_STATED: lazy_gettext("Not stated"),
    Gender.FEMALE: lazy_gettext("Female"),
    Gender.MALE: lazy_gettext("Male"),
}
QUALITIES = {
    Quality.NO_ADDRESS: lazy_gettext("No address"),
    Quality.FORMAT_ERROR: lazy_gettext("Format error"),
    Quality.LANDLINE: lazy_gettext("Landline: takes no SMS"),
}
CHANNELS = {
    "email": lazy_gettext("Email"),
    "sms": lazy_gettext("SMS"),
    "push": lazy_gettext("Push"),
}


class Named(Protocol):
    """Whoever has a name."""

    first_name: str
    middle_name: str
    last_name: str
    external_id: str


@dataclass(frozen=True)
class ShownContact:
    """A contact as the role may see it; `issue` says why it cannot be used."""

    value: str
    issue: str


@dataclass(frozen=True)
class ShownMessage:
    """A message with the state that is shown, and the reason where it did not arrive."""

    message: ProfileMessage
    state: str
    reason: str
    at: datetime | None


def full_name(customer: Named) -> str:
    """First, middle and last name; the external id of who has none."""
    names = (customer.first_name, customer.middle_name, customer.last_name)
    return " ".join(name for name in names if name) or customer.external_id


def contact(value: str | None, quality: int) -> ShownContact:
    """Return a contact, masked unless the role may see contacts."""
    issue = str(QUALITIES.get(Quality(quality), "")) if quality in set(Quality) else str(quality)
    if not value:
        return ShownContact(NO_VALUE, issue)
    return ShownContact(value if allowed("customers.contacts") else _masked(value), issue)


def _masked(value: str) -> str:
    if "@" in value:
        local, _at, domain = value.rpartition("@")
        return f"{local[:1]}•••@{domain}"
    return _MIDDLE_DIGITS.sub("•••", value) if value.startswith("+") else "•••"


def total_words(total: Total, searched: bool) -> str:
    """How many customers there are or match, saying what is not exact."""
    count = total.count
    if total.more_than:
        words = _("more than %(count)s match", count=number(count))
    elif not total.exact and count >= _MILLION:
        words = _("about %(count)s M customers", count=number(count / _MILLION, 1))
    elif not total.exact:
        words = _("about %(count)s customers", count=number(round(count, -3)))
    elif searched:
        words = ngettext("%(count)s matches", "%(count)s match", count, count=number(count))
    else:
        words = ngettext("%(count)s customer", "%(count)s customers", count, count=number(count))
    return str(words)


def personal_facts(profile: Profile) -> list[tuple[str, str]]:
    """The personal details and custom fields, each with its label."""
    customer = profile.customer
    fixed = [
        (_("External id"), customer.external_id),
        (_("Gender"), str(GENDERS[Gender(customer.gender)])),
        (_("Birth date"), day(customer.birth_date)),
        (_("Registered on"), day(customer.registered_on)),
        (_("City"), customer.city or NO_VALUE),
        (_("Time zone"), profile.time_zone or _("as the company")),
    ]
    return fixed + [(label, _shown_value(value)) for label, value in profile.fields]


def _shown_value(value: str | float | date) -> str:
    if isinstance(value, date):
        return day(value)
    return number(value) if isinstance(value, float) else value


def subscriptions(profile: Profile) -> list[tuple[str, str, bool]]:
    """Channel, state in words, and whether the customer gets messages there."""
    return [
        (
            str(label),
            _("Unsubscribed on %(day)s", day=day(left)) if left else _("Subscribed"),
            left is None,
        )
        for channel, label in CHANNELS.items()
        for left in [profile.left_channels.get(channel)]
    ]


def message_rows(profile: Profile) -> list[ShownMessage]:
    """The messages with their state and the one reason of those that were not sent."""
    return [
        ShownMessage(message, _state(message), _reason(message), _latest(message))
        for message in profile.messages
    ]


def _state(message: ProfileMessage) -> str:
    if message.state != MessageState.ACCEPTED:
        return SHOWN_STATES[message.state]
    facts = (
        ("undelivered", message.bounced_at),
        ("clicked", message.clicked_at),
        ("opened", message.opened_at),
        ("delivered", message.delivered_at),
    )
    return next((name for name, at in facts if at), "sent")


def _reason(message: ProfileMessage) -> str:
    facts = (
        (_("Complained"), message.complained_at),
        (_("Unsubscribed by this message"), message.unsubscribed_at),
    )
    label = STAGE_LABELS.get(Stage(message.stage)) if message.stage else None
    parts = [str(label)] if label else []
    parts += [detail_words(message.detail)] if message.detail else []
    return ", ".join([*parts, *(word for word, at in facts if at)])


def _latest(message: ProfileMessage) -> datetime | None:
    times = (
        message.accepted_at,
        message.delivered_at,
        message.opened_at,
        message.clicked_at,
        message.bounced_at,
    )
    return max((at for at in times if at), default=None)
