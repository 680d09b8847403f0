"""How long the messages of a draft become: for the customer with the longest, and the shortest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.delivery.prices import channel_prices
from envoi.delivery.recipients import PeopleQuery, Person, Wanted
from envoi.errors import EnvoiError
from envoi.mailings.cascade import channel_at
from envoi.mailings.content import addresses, final_content, preview_customers
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.variants import validate_content
from envoi.plugins import Plugins, fence
from envoi.tracking.urls import example_urls
from envoi.types import Length

SAMPLE = 50
"""Customers who are looked at: enough to meet a long name, few enough for every pause in typing."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One customer's message and its price in 1/10,000 of the currency's unit.

    Customer 0 stands for nobody in particular.
    """

    customer_id: int
    name: str
    length: Length
    price: int


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The longest and the shortest message of the customers looked at.

    `priced` tells whether the gateway has prices.
    """

    longest: Reading
    shortest: Reading
    customers: int
    priced: bool


def lengths_of(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    variant: Variant,
    links_url: str,
    step: int = 1,
) -> Lengths | None:
    """Measure a variant's step for some customers, by the code that sends.

    None where the channel counts no parts, and for a text that cannot be measured yet: what is
    wrong with it is said elsewhere.
    """
    spec = plugins.channels[channel_at(mailing, step)]
    if spec.length is None:
        return None
    names = dict(preview_customers(session, plugins, mailing, SAMPLE, step))
    people = PeopleQuery(mailing.tenant_id, spec.address_kind, Wanted())
    found = people.fetch(session.connection(), list(names))
    nobody = Person(customer_id=0, address="", name="", variables={})
    prices = channel_prices(session, mailing.tenant_id, spec.name)
    try:
        final = final_content(session, plugins, mailing, variant, step)
        content = validate_content(plugins, spec.name, final, draft=True)
        measure = partial(spec.length, content, Kit())
        readings = []
        for number, person in sorted(found.items()) or [(0, nobody)]:
            urls = example_urls(links_url, mailing.tenant_id, number, short=spec.short_links)
            made = partial(measure, {**person.variables, **addresses(urls)}, urls.click)
            length = fence(plugins, "channel", spec.name, made)
            price = prices.of(person.address or "") * length.parts
            name = names.get(number, "")
            readings.append(Reading(customer_id=number, name=name, length=length, price=price))
    except EnvoiError:
        return None
    return Lengths(
        longest=max(readings, key=_size),
        shortest=min(readings, key=_size),
        customers=len(found),
        priced=bool(prices),
    )


def _size(reading: Reading) -> tuple[int, int, int]:
    """Of messages alike, such as those not written yet, the one to the longest name is longest."""
    return reading.length.parts, reading.length.characters, len(reading.name)
