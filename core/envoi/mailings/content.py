"""The content of a draft: what is wrong with it, and how it looks to one customer."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.content.templates import unknown_variables
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.recipients import Person, known_variables, sample_person
from envoi.errors import EnvoiError, NotFoundError, TemplateError
from envoi.mailings.models import Mailing
from envoi.mailings.service import variants_of
from envoi.mailings.variants import validate_content
from envoi.plugins import Plugins, fence
from envoi.types import Envelope

CHECKED_WITH = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")
"""Compiling only to see whether it can be: no message leaves with this envelope."""

HIDDEN = "•••"
"""Stands for a contact that the person who looks may not see."""

OF_EVERY_MESSAGE = ("unsubscribe_url",)
"""Variables that are not the customer's."""


def content_problem(session: Session, plugins: Plugins, mailing: Mailing) -> str:
    """Say what keeps the content from being sent, or nothing."""
    spec = plugins.channels[mailing.channel]
    try:
        for variant in variants_of(session, mailing):
            content = validate_content(plugins, mailing.channel, variant.content)
            compiled = partial(spec.compile, content, CHECKED_WITH, Kit())
            fence(plugins, "channel", spec.name, compiled)
    except EnvoiError as error:
        return str(error)
    return ""


def content_warnings(session: Session, mailing: Mailing) -> list[str]:
    """Name the variables that no customer has; they would stay empty."""
    known = [*known_variables(session, mailing.tenant_id), *OF_EVERY_MESSAGE]
    found: dict[str, None] = {}
    for variant in variants_of(session, mailing):
        for text in variant.content.values():
            found.update(dict.fromkeys(_unknown(str(text), known)))
    return list(found)


def preview_customers(session: Session, mailing: Mailing, limit: int = 20) -> list[tuple[int, str]]:
    """Offer some customers with an email address, as (number, name), for the preview."""
    c = table(Customer).c
    query = (
        select(c.id, c.first_name, c.last_name, c.city)
        .where(c.tenant_id == mailing.tenant_id, c.email.is_not(None))
        .order_by(c.bucket, c.id)
        .limit(limit)
    )
    return [
        (row.id, ", ".join(filter(None, (f"{row.first_name} {row.last_name}".strip(), row.city))))
        for row in session.execute(query)
    ]


def preview(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    customer_id: int | None,
    number: int = 1,
    *,
    contacts: bool = True,
) -> str:
    """Render a variant for one customer, by the code that sends; links are not tracked.

    Without `contacts` the customer's address and number are hidden.

    Raises:
        EnvoiError: The content cannot be rendered; the message says why and where.
    """
    spec = plugins.channels[mailing.channel]
    variant = next((v for v in variants_of(session, mailing) if v.number == number), None)
    if variant is None:
        raise NotFoundError("There is no such variant. It may have been deleted.")
    content = validate_content(plugins, mailing.channel, variant.content)
    variables = {}
    if customer_id is not None:
        person = sample_person(session, mailing.tenant_id, customer_id, spec.address_kind)
        variables = dict(person.variables) if contacts else _without_contacts(person)
    shown: str = fence(
        plugins, "channel", spec.name, lambda: spec.preview(content, Kit(), variables)
    )
    return shown


def _without_contacts(person: Person) -> dict[str, Any]:
    client = person.variables["client"]
    hidden = {name: HIDDEN for name in ("email", "phone") if client["properties"].get(name)}
    return {**person.variables, "client": {**client, "properties": client["properties"] | hidden}}


def _unknown(text: str, known: list[str]) -> list[str]:
    try:
        return unknown_variables(text, known)
    except TemplateError:
        return []
