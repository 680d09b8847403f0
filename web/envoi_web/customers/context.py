"""What the templates of customers are given, as plain data made from the core's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from envoi.customers.contacts import masked
from envoi.customers.models import Gender, Quality
from envoi.customers.profile import Profile, ProfileMessage
from envoi.customers.queries import Total
from envoi.delivery.models import MessageState, Stage
from envoi.webkit import allowed
from envoi.webkit.formats import NO_VALUE, day, number
from envoi_web.customers.columns import value_words
from envoi_web.mailings.context import SHOWN_STATES, STAGE_LABELS, detail_words

_MILLION = 1_000_000

GENDERS = {
    Gender.NOT_STATED: lazy_gettext("Not stated"),
    Gender.FEMALE: lazy_gettext("Female"),
    Gender.MALE: lazy_gettext("Male"),
}
QUALITIES = {
    Quality.GOOD: lazy_gettext("Good"),
    Quality.UNAVAILABLE: lazy_gettext("Temporarily unavailable"),
    Quality.DNS_ERROR: lazy_gettext("DNS error"),
    Quality.MAILBOX_FULL: lazy_gettext("Mailbox full"),
    Quality.TOO_LONG: lazy_gettext("Message too long"),
    Quality.TIMEOUT: lazy_gettext("Timeout"),
    Quality.ANSWERING_MACHINE: lazy_gettext("Answering machine"),
    Quality.NO_ADDRESS: lazy_gettext("No address"),
    Quality.FORMAT_ERROR: lazy_gettext("Format error"),
    Quality.NOT_EXISTING: lazy_gettext("Address does not exist"),
    Quality.UNDELIVERABLE: lazy_gettext("Cannot be delivered"),
    Quality.EXHAUSTED: lazy_gettext("Delivery attempts exhausted"),
    Quality.BLOCKED_BY_MTA: lazy_gettext("Blocked by the mail server"),
    Quality.COMPLAINT: lazy_gettext("Spam complaint"),
    Quality.BLOCKED_BY_RECIPIENT: lazy_gettext("Blocked by the recipient"),
    Quality.REFUSES_ATTACHMENTS: lazy_gettext("Recipient refuses attachments"),
    Quality.NO_DOMAIN: lazy_gettext("Domain does not exist"),
    Quality.LANDLINE: lazy_gettext("Landline: takes no SMS"),
    Quality.BLACKLISTED: lazy_gettext("In the blacklist"),
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
    """A contact as the role may see it; `issue` says why it cannot be used, or hardly."""

    value: str
    issue: str
    tone: str
    code: int


@dataclass(frozen=True)
class ShownMessage:
    """A message with the state that is shown, the reason where it did not arrive, its facts."""

    message: ProfileMessage
    state: str
    reason: str
    facts: list[tuple[str, datetime]]


def full_name(customer: Named) -> str:
    """First, middle and last name; the external id of who has none."""
    names = (customer.first_name, customer.middle_name, customer.last_name)
    return " ".join(name for name in names if name) or customer.external_id


def contact(value: str | None, quality: int) -> ShownContact:
    """Return a contact, masked unless the role may see contacts."""
    issue = quality_words(quality) if quality != Quality.GOOD else ""
    tone = "bad" if quality >= Quality.NO_ADDRESS else "warn"
    shown = value if value and allowed("customers.contacts") else masked(value) or NO_VALUE
    return ShownContact(shown, issue, tone, quality)


def quality_words(quality: int) -> str:
    """Say a quality code; one that is not of this version by its number."""
    if quality in set(Quality):
        return str(QUALITIES[Quality(quality)])
    return str(_("Code %(code)s", code=quality))


def total_words(total: Total, searched: bool) -> str:
    """How many customers there are or match, saying what is not exact."""
    count = total.count
    if not total.exact and count >= _MILLION:
        words = _("about %(count)s M customers", count=number(count / _MILLION, 1))
    elif not total.exact:
        words = _("about %(count)s customers", count=number(_rounded(count)))
    elif searched:
        words = ngettext("%(count)s matches", "%(count)s match", count, count=number(count))
    else:
        words = ngettext("%(count)s customer", "%(count)s customers", count, count=number(count))
    return str(words)


def _rounded(count: int) -> int:
    """An estimate with the two digits that it is worth."""
    return round(count, 2 - len(str(count)))


def personal_facts(profile: Profile) -> list[tuple[str, str]]:
    """The personal details, each with its label."""
    customer = profile.customer
    return [
        (_("External id"), customer.external_id),
        (_("Gender"), str(GENDERS[Gender(customer.gender)])),
        (_("Birth date"), day(customer.birth_date)),
        (_("Registered on"), day(customer.registered_on)),
        (_("City"), customer.city or NO_VALUE),
        (_("Time zone"), profile.time_zone or _("as the company")),
    ]


def field_groups(profile: Profile) -> dict[str, list[tuple[str, str]]]:
    """The custom fields with their values, by group in the order of the fields."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for field, value in profile.fields:
        groups.setdefault(field.group, []).append((field.label, value_words(field, value)))
    return groups


def message_rows(messages: Sequence[ProfileMessage]) -> list[ShownMessage]:
    """The messages with their state, what happened to them, and why some were not sent."""
    return [
        ShownMessage(message, _state(message), _reason(message), _facts(message))
        for message in messages
    ]


def _facts(message: ProfileMessage) -> list[tuple[str, datetime]]:
    facts = (
        (_("Sent"), message.accepted_at),
        (_("Delivered"), message.delivered_at),
        (_("Undelivered"), message.bounced_at),
        (_("Opened"), message.opened_at),
        (_("Clicked"), message.clicked_at),
        (_("Complained"), message.complained_at),
        (_("Unsubscribed"), message.unsubscribed_at),
    )
    return [(word, at) for word, at in facts if at]


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
    label = STAGE_LABELS.get(Stage(message.stage)) if message.stage else None
    parts = [str(label)] if label else []
    parts += [detail_words(message.detail)] if message.detail else []
    return ", ".join(parts)
