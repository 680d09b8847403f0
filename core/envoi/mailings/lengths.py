"""How long the messages of a draft become: for the customer with the longest, and the shortest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.delivery.recipients import PeopleQuery, Wanted
from envoi.errors import EnvoiError
from envoi.mailings.cascade import channel_at
from envoi.mailings.content import final_content, preview_customers
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.variants import validate_content
from envoi.plugins import Plugins, fence
from envoi.tracking.tokens import TokenKind
from envoi.tracking.urls import MessageUrls, example_urls
from envoi.types import Length

SAMPLE = 50
"""Customers who are looked at: enough to meet a long name, few enough for every pause in typing."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One customer's message; 0 stands for nobody in particular."""

    customer_id: int
    name: str
    length: Length


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The longest and the shortest message of the customers looked at."""

    longest: Reading
    shortest: Reading
    customers: int


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
    nobody: Mapping[str, Any] = {}
    readers = {number: person.variables for number, person in found.items()} or {0: nobody}
    try:
        final = final_content(session, plugins, mailing, variant, step)
        content = validate_content(plugins, spec.name, final, draft=True)
        measure = partial(spec.length, content, Kit())
        readings = []
        for number, variables in sorted(readers.items()):
            urls = example_urls(links_url, mailing.tenant_id, number, short=spec.short_links)
            made = partial(measure, {**variables, **addresses(urls)}, urls.click)
            length = fence(plugins, "channel", spec.name, made)
            readings.append(Reading(customer_id=number, name=names.get(number, ""), length=length))
    except EnvoiError:
        return None
    return Lengths(
        longest=max(readings, key=_size), shortest=min(readings, key=_size), customers=len(found)
    )


def addresses(urls: MessageUrls) -> Mapping[str, Any]:
    """The addresses that a content may show, by the names of their variables."""
    return {
        "unsubscribe_url": urls.of(TokenKind.UNSUBSCRIBE),
        "preferences_url": urls.of(TokenKind.PREFERENCES),
        "view_url": urls.of(TokenKind.VIEW),
    }


def _size(reading: Reading) -> tuple[int, int, int]:
    """Of messages alike, such as those not written yet, the one to the longest name is longest."""
    return reading.length.parts, reading.length.characters, len(reading.name)
