"""How long the message is: what stands below the text while it is written, nothing is saved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flask import Response, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from envoi.delivery.prices import UNITS
from envoi.mailings import service, variants
from envoi.mailings.cascade import channel_at
from envoi.mailings.lengths import Lengths, lengths_of
from envoi.mailings.models import Mailing, Variant
from envoi.types import Length
from envoi.webkit import allowed, current, fragment, permission
from envoi.webkit.formats import number, price
from envoi_web.mailings.blueprint import mailings
from envoi_web.mailings.editor import Draft, typed


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The length of the longest message in words; `state` is soft, warn or bad.

    `price` is what that message costs; nothing where the gateway has no prices.
    """

    words: str
    whose: str
    price: str
    left: str
    state: str
    url: str
    longest: int = 0
    shortest: int = 0
    name: str = ""
    """Of the customer with the longest."""


@mailings.post("/<int:mailing_id>/length")
@permission("mailings.content")
def measure(mailing_id: int) -> Response:
    """Measure what is being typed."""
    with current.session() as session:
        mailing = service.get_mailing(session, current.tenant_id, mailing_id)
        form = request.form
        stored = variants.get_variant(session, mailing, form.get("variant", 1, type=int))
        step = form.get("step", 1, type=int)
        schema = current.plugins.channels[channel_at(mailing, step)].content_schema
        draft = typed(form, variants.content_at(stored, step), schema)
        found = measured(session, mailing, draft)
        return fragment("mailings/what/length.html", "counter", measured=found)


def measured(session: Session, mailing: Mailing, draft: Draft) -> Measured | None:
    """Measure a draft for some customers; None where the channel counts no parts."""
    unread: list[variants.Content] = [{}] * (draft.step - 1)
    content, *steps = [*unread, draft.content]
    variant = Variant(
        tenant_id=mailing.tenant_id,
        mailing_id=mailing.id,
        number=draft.number,
        content=content,
        steps=steps,
    )
    links_url = current.settings.links_url
    found = lengths_of(session, current.plugins, mailing, variant, links_url, draft.step)
    if found is None:
        return None
    longest = found.longest.length
    return Measured(
        words=length_words(longest),
        whose=_whose(found),
        price=price(Decimal(found.longest.price) / UNITS) if found.priced else "",
        left=_left_words(longest),
        state=_state(longest),
        url=url_for("mailings.measure", mailing_id=mailing.id),
        longest=found.longest.customer_id,
        shortest=found.shortest.customer_id,
        name=found.longest.name,
    )


def length_words(length: Length) -> str:
    """Say a length: characters, parts, alphabet."""
    count = length.characters
    characters = ngettext("%(count)s character", "%(count)s characters", count, count=number(count))
    return ", ".join(filter(None, (characters, parts_words(length.parts), length.alphabet)))


def parts_words(parts: int) -> str:
    """Say how many messages a provider counts it as."""
    return str(ngettext("%(count)s part", "%(count)s parts", parts, count=number(parts)))


def _left_words(length: Length) -> str:
    if length.parts > length.most_parts:
        return str(_("more than %(count)s parts", count=number(length.most_parts)))
    return str(_("%(count)s left in the part", count=number(length.left)))


def _whose(found: Lengths) -> str:
    """Say whose message it is; names are for those who may see customers."""
    if not found.customers:
        return str(_("Without a customer's data"))
    words = ngettext(
        "The longest of %(count)s customer",
        "The longest of %(count)s customers",
        found.customers,
        count=number(found.customers),
    )
    name = found.longest.name if allowed("customers.view") else ""
    return f"{words}: {name}" if name else str(words)


def _state(length: Length) -> str:
    if length.parts > length.most_parts:
        return "bad"
    return "warn" if length.parts > 1 else "soft"
