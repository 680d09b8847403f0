"""The content of a draft: what is wrong with it, and how it looks to one customer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.content.kit import Kit
from envoi.content.templates import unknown_variables
from envoi.content.utm import filled_utm
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.macros import examples, macro_problems
from envoi.delivery.recipients import Person, known_variables, sample_person
from envoi.errors import EnvoiError, Problem, TemplateError, ValidationFailedError
from envoi.library.files import Library
from envoi.library.service import check_attachments
from envoi.mailings.cascade import channel_at, channels_of
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.service import variants_of
from envoi.mailings.variants import Content, content_at, get_variant, validate_content
from envoi.plugins import Plugins, fence
from envoi.tenants.service import tenant_settings
from envoi.tracking.tokens import TokenKind
from envoi.tracking.urls import MessageUrls, example_urls
from envoi.types import AddressKind, Envelope

CHECKED_WITH = Envelope(message_domain="envoi.test", return_path_domain="envoi.test")
"""Compiling only to see whether it can be: no message leaves with this envelope."""

HIDDEN = "•••"
"""Stands for a contact that the person who looks may not see."""

OF_EVERY_MESSAGE = ("unsubscribe_url", "preferences_url", "view_url")
"""Variables that are not the customer's."""


def final_content(
    session: Session, plugins: Plugins, mailing: Mailing, variant: Variant, step: int = 1
) -> Content:
    """Return a variant's content as it is sent: with the link parameters that apply to it.

    The company's defaults give way to the mailing's, and those to the variant's own.
    """
    written = content_at(variant, step)
    fields = plugins.channels[channel_at(mailing, step)].content_schema.model_fields
    if "utm" not in fields:
        return dict(written)
    company = tenant_settings(session, mailing.tenant_id).utm
    merged = {**company, **mailing.utm, **written.get("utm", {})}
    macros = {
        "mailing_id": str(mailing.id),
        "mailing_name": mailing.name,
        "variant": str(variant.number),
    }
    return {**written, "utm": filled_utm(merged, macros)}


def content_problems(
    session: Session, plugins: Plugins, mailing: Mailing, number: int, step: int = 1
) -> list[Problem]:
    """Say what keeps a variant from being sent, each problem at its field or block."""
    variant = get_variant(session, mailing, number)
    spec = plugins.channels[channel_at(mailing, step)]
    kit = Kit(Library(session, mailing.tenant_id, ""), plugins.macros)
    try:
        final = final_content(session, plugins, mailing, variant, step)
        content = validate_content(plugins, spec.name, final)
        check_attachments(session, mailing.tenant_id, final.get("attachments", []))
        fence(plugins, "channel", spec.name, partial(spec.compile, content, CHECKED_WITH, kit))
        found = macro_problems(plugins, session.connection(), mailing.tenant_id, list(kit.calls))
    except ValidationFailedError as error:
        return list(error.problems)
    except EnvoiError as error:
        return [Problem("", str(error))]
    return [Problem("", problem) for problem in found]


def content_problem(session: Session, plugins: Plugins, mailing: Mailing) -> str:
    """Say what keeps the content from being sent and in which step, or nothing."""
    steps = range(1, 1 + len(channels_of(mailing)))
    for variant, step in product(variants_of(session, mailing), steps):
        if problems := content_problems(session, plugins, mailing, variant.number, step):
            return naming_step(plugins, mailing, step, str(ValidationFailedError(problems)))
    return ""


def naming_step(plugins: Plugins, mailing: Mailing, step: int, words: str) -> str:
    """Say of which step of a cascade the words are."""
    if not mailing.cascade:
        return words
    return f"Step {step}, {plugins.channels[channel_at(mailing, step)].label}: {words}"


def content_warnings(session: Session, mailing: Mailing) -> list[str]:
    """Name the variables that no customer has; they would stay empty."""
    known = [*known_variables(session, mailing.tenant_id), *OF_EVERY_MESSAGE]
    found: dict[str, None] = {}
    for variant in variants_of(session, mailing):
        for text in _texts([variant.content, variant.steps]):
            found.update(dict.fromkeys(_unknown(text, known)))
    return list(found)


def preview_customers(
    session: Session, plugins: Plugins, mailing: Mailing, limit: int = 20, step: int = 1
) -> list[tuple[int, str]]:
    """Offer some customers whom a step's channel reaches, as (number, name), for the preview."""
    c = table(Customer).c
    addresses = {AddressKind.EMAIL: c.email, AddressKind.PHONE: c.phone}
    address = addresses.get(plugins.channels[channel_at(mailing, step)].address_kind, c.id)
    query = (
        select(c.id, c.first_name, c.last_name, c.city)
        .where(c.tenant_id == mailing.tenant_id, address.is_not(None))
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
    step: int = 1,
    contacts: bool = True,
    links_url: str = "",
) -> str:
    """Render a variant's step for one customer, by the code that sends; links are not tracked.

    What is not filled in yet is left out; the way out leads nowhere. Without `contacts` the
    customer's address and number are hidden. Pictures of the library are shown from `links_url`.

    Raises:
        EnvoiError: The content cannot be rendered; the message says why and where.
    """
    variant = get_variant(session, mailing, number)
    final = final_content(session, plugins, mailing, variant, step)
    variables: Mapping[str, Any] = {}
    if customer_id is not None:
        variables = sample_variables(session, plugins, mailing, customer_id, contacts=contacts)
    channel = channel_at(mailing, step)
    short = plugins.channels[channel].short_links
    urls = example_urls(links_url, mailing.tenant_id, customer_id or 0, short=short)
    library = Library(session, mailing.tenant_id, links_url)
    return rendered(plugins, channel, final, library, {**addresses(urls), **variables})


def addresses(urls: MessageUrls) -> Mapping[str, Any]:
    """The addresses that a content may show, by the names of their variables."""
    return {
        "unsubscribe_url": urls.of(TokenKind.UNSUBSCRIBE),
        "preferences_url": urls.of(TokenKind.PREFERENCES),
        "view_url": urls.of(TokenKind.VIEW),
    }


def sample_variables(
    session: Session, plugins: Plugins, mailing: Mailing, customer_id: int, *, contacts: bool
) -> Mapping[str, Any]:
    """Return a customer's variables; without `contacts` address and number are hidden."""
    kind = plugins.channels[mailing.channel].address_kind
    person = sample_person(session, mailing.tenant_id, customer_id, kind)
    known = dict(person.variables) if contacts else _without_contacts(person)
    return {**examples(plugins), **known}


def rendered(
    plugins: Plugins,
    channel: str,
    content: Mapping[str, Any],
    library: Library,
    variables: Mapping[str, Any],
) -> str:
    """Render content that may be a draft, with links as they were written."""
    spec = plugins.channels[channel]
    checked = validate_content(plugins, channel, content, draft=True)
    kit = Kit(library, plugins.macros)
    known = {**examples(plugins), **variables}
    shown: str = fence(plugins, "channel", spec.name, lambda: spec.preview(checked, kit, known))
    return shown


def _without_contacts(person: Person) -> dict[str, Any]:
    client = person.variables["client"]
    hidden = {name: HIDDEN for name in ("email", "phone") if client["properties"].get(name)}
    return {**person.variables, "client": {**client, "properties": client["properties"] | hidden}}


def _texts(value: Any) -> Iterator[str]:
    """Every text inside of stored content."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _unknown(text: str, known: list[str]) -> list[str]:
    try:
        return unknown_variables(text, known)
    except TemplateError:
        return []
