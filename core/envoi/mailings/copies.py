"""Test messages, and the copies that watchers get of a mailing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.accounts.models import Account, Membership
from envoi.customers.contacts import check_phone
from envoi.customers.devices import addressed
from envoi.customers.models import Customer, Quality
from envoi.db import table
from envoi.delivery.copies import NOBODY, Copy, add_copies, copies_of
from envoi.delivery.gateways import default_gateway
from envoi.delivery.models import Run, RunKind
from envoi.delivery.runs import RunSettings, VariantContent, create_run
from envoi.errors import NotFoundError, Problem, ValidationFailedError
from envoi.mailings.cascade import channel_at, channels_of
from envoi.mailings.content import content_problems, final_content
from envoi.mailings.models import Mailing, Variant
from envoi.mailings.service import get_mailing, variants_of
from envoi.mailings.variants import get_variant
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.models import WatcherGroup
from envoi.tenants.service import tenant_settings
from envoi.twice import A_MOMENT
from envoi.types import AddressKind

TEST_MARK = "[Test] "
COPY_MARK = "[Copy] "
MAX_COPIES = 50
_LIFETIME_MINUTES = 60


def send_test(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    tenant_id: int,
    mailing_id: int,
    *,
    addresses: Sequence[str],
    numbers: Sequence[int] = (1,),
    customer_id: int | None = None,
    step: int = 1,
) -> Run:
    """Send variants of a mailing's step as they stand to people who look at them.

    Args:
        addresses: Where to; nobody of them need be a customer.
        numbers: The variants, each of which every address gets.
        customer_id: For whom it is rendered; None is the company's test customer.

    Returns:
        A run outside of every figure; `copies_of` says what became of it. The same test asked
        for a moment ago is returned again: a form was sent twice.

    Raises:
        ValidationFailedError: An address is none, or a variant cannot be sent.
    """
    mailing = get_mailing(session, tenant_id, mailing_id, lock=True)
    kind = plugins.channels[channel_at(mailing, step)].address_kind
    if kind is AddressKind.PUSH:
        wanted = _devices(session, plugins, tenant_id, addresses)
    else:
        country = tenant_settings(session, tenant_id).default_country
        wanted = _checked(kind, addresses, country)
    if problems := _problems_of_test(session, plugins, mailing, wanted, numbers, step):
        raise ValidationFailedError(problems)
    variants = [get_variant(session, mailing, number) for number in numbers]
    customer = _test_customer(session, tenant_id, customer_id)
    about = (session, plugins, settings, mailing, variants)
    return _copies_run(*about, wanted, customer, TEST_MARK, step)


def _problems_of_test(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    addresses: Sequence[str],
    numbers: Sequence[int],
    step: int,
) -> list[Problem]:
    problems = [
        problem
        for number in numbers
        for problem in content_problems(session, plugins, mailing, number, step)
    ]
    if default_gateway(session, mailing.tenant_id, channel_at(mailing, step)) is None:
        no_gateway = "There is no gateway for this channel. Set one up in Settings."
        problems.append(Problem("gateway", no_gateway))
    if not addresses:
        problems.append(Problem("addresses", "Nobody is chosen. Enter an address."))
    if len(addresses) * len(numbers) > MAX_COPIES:
        most = f"A test goes to at most {MAX_COPIES} addresses. Choose fewer."
        problems.append(Problem("addresses", most))
    return problems


def copy_to_watchers(
    session: Session, plugins: Plugins, settings: Settings, mailing: Mailing
) -> list[Run]:
    """Send each variant once, by every channel, to the mailing's watchers, if it has any."""
    group = _group(session, mailing.tenant_id, mailing.watcher_group_id)
    about = (session, plugins, settings, mailing, variants_of(session, mailing))
    customer = _test_customer(session, mailing.tenant_id, None)
    return [
        _copies_run(*about, wanted, customer, COPY_MARK, step)
        for step, channel in enumerate(channels_of(mailing), start=1)
        if group and (wanted := _watching(session, plugins, group, channel))
    ]


def _watching(session: Session, plugins: Plugins, group: WatcherGroup, channel: str) -> list[str]:
    """Return the addresses of watchers that can be sent to by a channel."""
    kind = plugins.channels[channel].address_kind
    country = tenant_settings(session, group.tenant_id).default_country
    wanted = _usable(kind, addresses_of(group, kind), country)
    if kind is AddressKind.PUSH:
        wanted, _ = addressed(session, group.tenant_id, wanted, plugins.push_services)
    return wanted


def chosen_addresses(
    session: Session,
    tenant_id: int,
    kind: AddressKind,
    *,
    typed: str = "",
    employees: Iterable[int] = (),
    watcher_group_id: int | None = None,
) -> list[str]:
    """Put together whom a test goes to: typed addresses, employees by account, watchers."""
    found = [part for line in typed.splitlines() for part in line.replace(";", ",").split(",")]
    if kind is AddressKind.EMAIL:
        chosen = set(employees)
        found += [
            email for number, _, email in employees_of(session, tenant_id) if number in chosen
        ]
    group = _group(session, tenant_id, watcher_group_id)
    found += addresses_of(group, kind) if group else []
    return list(dict.fromkeys(address.strip() for address in found if address.strip()))


def employees_of(session: Session, tenant_id: int) -> list[tuple[int, str, str]]:
    """List a company's employees as (account, name, email) for choosing."""
    account, membership = table(Account), table(Membership)
    query = (
        select(account.c.id, account.c.name, account.c.email)
        .join(membership, membership.c.account_id == account.c.id)
        .where(membership.c.tenant_id == tenant_id, account.c.active)
        .order_by(account.c.name)
    )
    return [(row.id, row.name or row.email, row.email) for row in session.execute(query)]


def get_test(session: Session, tenant_id: int, mailing_id: int, run_id: int) -> Run:
    """Return a mailing's test by one channel, or raise `NotFoundError`."""
    run = session.get(Run, (tenant_id, run_id))
    if run is None or run.kind != RunKind.TEST or run.mailing_id != mailing_id:
        raise NotFoundError("There is no such test. Send a new one.")
    return run


def _copies_run(
    session: Session,
    plugins: Plugins,
    settings: Settings,
    mailing: Mailing,
    variants: Sequence[Variant],
    addresses: Sequence[str],
    customer_id: int,
    mark: str,
    step: int,
) -> Run:
    contents = [
        VariantContent(
            number=variant.number,
            content=_marked(final_content(session, plugins, mailing, variant, step), mark),
        )
        for variant in variants
    ]
    wanted = RunSettings(
        category_id=mailing.category_id,
        lifetime_minutes=_LIFETIME_MINUTES,
        variants=contents,
        message_domain=settings.message_domain,
        links_url=settings.links_url,
    )
    copies = [Copy(address=a, variant=variant.number) for variant in variants for a in addresses]
    channel = channel_at(mailing, step)
    if (again := _just_asked(session, mailing, channel, wanted, customer_id, copies)) is not None:
        return again
    run = create_run(
        session,
        mailing.tenant_id,
        mailing_id=mailing.id,
        kind=RunKind.TEST,
        channel=channel,
        gateway_id=None,
        settings=wanted,
        now=datetime.now(UTC),
    )
    add_copies(session, run, customer_id, copies)
    return run


def _just_asked(
    session: Session,
    mailing: Mailing,
    channel: str,
    wanted: RunSettings,
    customer_id: int,
    copies: Sequence[Copy],
) -> Run | None:
    """Return the run of the same copies of a moment ago; the caller has locked the mailing."""
    c = table(Run).c
    mine = (c.tenant_id == mailing.tenant_id, c.mailing_id == mailing.id, c.channel == channel)
    recent = select(Run).where(*mine, c.kind == RunKind.TEST, c.created_at > func.now() - A_MOMENT)
    asked = [(copy.address, copy.variant) for copy in copies]
    for run in session.scalars(recent.order_by(c.id.desc())):
        made = copies_of(run)
        same = [(copy.address, copy.variant) for copy in made.copies] == asked
        if (
            same
            and made.customer_id == customer_id
            and RunSettings.model_validate(run.settings) == wanted
        ):
            return run
    return None


def _marked(content: dict[str, Any], mark: str) -> dict[str, Any]:
    """Say in the subject, where there is one, that this is no message to a customer."""
    subject = content.get("subject")
    return {**content, "subject": f"{mark}{subject}"[:500]} if subject else content


def _checked(kind: AddressKind, addresses: Sequence[str], country: str) -> list[str]:
    if kind is AddressKind.PHONE:
        return _phones(addresses, country)
    return _emails(addresses) if kind is AddressKind.EMAIL else list(addresses)


def _devices(
    session: Session, plugins: Plugins, tenant_id: int, addresses: Sequence[str]
) -> list[str]:
    """Name devices with their services; raise for every one of which nobody knows it."""
    found, strange = addressed(session, tenant_id, addresses, plugins.push_services)
    problems = [
        Problem(
            "addresses",
            f"No app has registered this token: {token[:100]}."
            " Put its service before it, as in fcm:TOKEN.",
        )
        for token in strange
    ]
    if problems:
        raise ValidationFailedError(problems)
    return found


def _phones(addresses: Sequence[str], country: str) -> list[str]:
    """Write numbers as providers want them; raise for every one that can get no message."""
    found = {address: check_phone(address, country) for address in addresses}
    problems = [
        Problem("addresses", f"This is no number of a mobile phone: {address[:100]}.")
        for address, contact in found.items()
        if contact.quality is not Quality.GOOD
    ]
    if problems:
        raise ValidationFailedError(problems)
    return list(dict.fromkeys(str(contact.value) for contact in found.values()))


def _usable(kind: AddressKind, addresses: Sequence[str], country: str) -> list[str]:
    """Leave out what is no address: nobody looks at a form when watchers get their copies."""
    if kind is not AddressKind.PHONE:
        return list(addresses)
    found = (check_phone(address, country) for address in addresses)
    good = (str(contact.value) for contact in found if contact.quality is Quality.GOOD)
    return list(dict.fromkeys(good))


def _emails(addresses: Sequence[str]) -> list[str]:
    problems, found = [], []
    for address in addresses:
        try:
            parts = validate_email(address, check_deliverability=False, test_environment=True)
            found.append(f"{parts.local_part}@{parts.ascii_domain}")
        except EmailNotValidError:
            problems.append(Problem("addresses", f"This is no email address: {address[:100]}."))
    if problems:
        raise ValidationFailedError(problems)
    return list(dict.fromkeys(found))


def _test_customer(session: Session, tenant_id: int, customer_id: int | None) -> int:
    chosen = customer_id or tenant_settings(session, tenant_id).test_customer_id
    if chosen is None:
        return NOBODY
    if session.get(Customer, (tenant_id, chosen)) is None:
        if customer_id is None:
            return NOBODY
        raise NotFoundError(f"There is no customer number {customer_id}.")
    return chosen


def _group(session: Session, tenant_id: int, group_id: int | None) -> WatcherGroup | None:
    return session.get(WatcherGroup, (tenant_id, group_id)) if group_id else None


def addresses_of(group: WatcherGroup, kind: AddressKind) -> list[str]:
    """The group's addresses of the kind that a channel sends to."""
    lists = {
        AddressKind.EMAIL: group.emails,
        AddressKind.PHONE: group.phones,
        AddressKind.PUSH: group.pushes,
    }
    return list(lists[kind])
