"""Who gets a mailing: its source, the volume, the customers behind each of its lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from envoi.audience.estimate import (
    Answer,
    Share,
    about,
    balance,
    customers_behind,
    estimate,
    why,
)
from envoi.audience.request import AudienceRequest, channels
from envoi.audience.strata import MOST_STRATA
from envoi.audience.volume import Volume
from envoi.audience.window import SendingWindow
from envoi.customers.models import Customer
from envoi.customers.search import CustomerFilter, matching
from envoi.db import table
from envoi.errors import Problem, ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.mailings.service import get_mailing, variants_of
from envoi.plugins import Plugins
from envoi.policies.models import Policy
from envoi.segments.rows import Buckets
from envoi.segments.service import get_segment

EVERYBODY: Mapping[str, Any] = {}
"""The tree of a mailing to all customers: chosen, not left open."""


@dataclass(frozen=True)
class CustomersOfLine:
    """A page of the customers behind a line, by their numbers, with their names."""

    answers: list[Answer]
    names: dict[int, Customer]
    has_more: bool


def has_source(mailing: Mailing) -> bool:
    """Whether it was chosen who is to get the mailing."""
    return any(s is not None for s in (mailing.segment_id, mailing.audience_id, mailing.tree))


def tree_of(session: Session, mailing: Mailing) -> dict[str, Any] | None:
    """Return the tree of those whom a mailing goes to; None stands for everybody."""
    if mailing.segment_id is not None:
        return get_segment(session, mailing.tenant_id, mailing.segment_id).tree
    if mailing.audience_id is not None:
        return tree_of_audience(mailing.audience_id)
    return mailing.tree or None


def tree_of_audience(audience_id: int) -> dict[str, Any]:
    """Return the tree of a target audience's members."""
    settings = {"criterion": "audience", "operator": "in", "audience": audience_id}
    return {"all": [{"source": "audience", "settings": settings}]}


def audience_request(
    session: Session, plugins: Plugins, tenant_id: int, mailing: Mailing, now: datetime
) -> AudienceRequest:
    """Put together everything that decides who gets the mailing."""
    spec = plugins.channels[mailing.channel]
    policy = session.get(Policy, (tenant_id, mailing.policy_id)) if mailing.policy_id else None
    return AudienceRequest(
        tenant_id=tenant_id,
        channel=mailing.channel,
        address_kind=spec.address_kind,
        tree=tree_of(session, mailing),
        rules=tuple(policy.rules) if policy else (),
        category_id=mailing.category_id,
        control_share=mailing.control_share,
        control_audience_id=mailing.control_audience_id,
        strata=tuple(mailing.strata),
        one_per_address=mailing.one_per_address,
        window=SendingWindow.of(mailing.window_from, mailing.window_until, mailing.window_zone),
        shares=tuple(v.share for v in variants_of(session, mailing)),
        seed=mailing.id,
        now=now,
        then=channels(plugins, [step["channel"] for step in mailing.cascade]),
    )


def estimate_mailing(
    session: Session, plugins: Plugins, tenant_id: int, mailing_id: int, now: datetime | None = None
) -> Volume:
    """Count who would get the mailing now, keep the numbers with it, and return them."""
    mailing = get_mailing(session, tenant_id, mailing_id)
    request = audience_request(session, plugins, tenant_id, mailing, now or datetime.now(UTC))
    volume = estimate(session.connection(), plugins, request)
    mailing.volume = volume.as_document()
    return volume


def estimate_for_now(
    session: Session, plugins: Plugins, tenant_id: int, mailing_id: int, buckets: Buckets
) -> Volume:
    """Count about, from a sample, what `estimate_mailing` is to count exactly after."""
    mailing = get_mailing(session, tenant_id, mailing_id)
    request = audience_request(session, plugins, tenant_id, mailing, datetime.now(UTC))
    volume = about(session.connection(), plugins, request, buckets)
    mailing.volume = volume.as_document()
    return volume


def require_few_strata(volume: Volume) -> None:
    """Refuse a stratification so fine that its strata are nearly single customers."""
    if len(volume.strata) > MOST_STRATA:
        raise ValidationFailedError(
            [
                Problem(
                    "strata",
                    f"These characteristics make {len(volume.strata):,} strata, and"
                    f" {MOST_STRATA} are the most. Leave one out, or make its bands wider.",
                )
            ]
        )


def balance_of(mailing: Mailing, volume: Volume) -> list[tuple[str, list[Share]]]:
    """Compare recipients and control group by each characteristic that strata are made of."""
    if not volume.strata or len(volume.strata[0].codes) != len(mailing.strata):
        return []
    return [(name, balance(volume, place)) for place, name in enumerate(mailing.strata)]


def customers_of_line(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    outcome: str,
    *,
    detail: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> CustomersOfLine:
    """List the customers behind a line of the volume, as they would be now."""
    request = audience_request(session, plugins, mailing.tenant_id, mailing, datetime.now(UTC))
    found = customers_behind(
        session.connection(),
        plugins,
        request,
        outcome,
        detail=detail,
        after=after,
        limit=limit + 1,
    )
    c = table(Customer).c
    ids = [answer.customer_id for answer in found[:limit]]
    query = select(Customer).where(c.tenant_id == mailing.tenant_id, c.id.in_(ids))
    names = {customer.id: customer for customer in session.scalars(query)}
    return CustomersOfLine(found[:limit], names, len(found) > limit)


def customers_named(
    session: Session, tenant_id: int, wanted: str, customer_id: int | None = None, limit: int = 10
) -> list[Customer]:
    """Find customers by number, else by exact id or email address, else by any personal detail."""
    c = table(Customer).c
    if customer_id is not None:
        found = session.get(Customer, (tenant_id, customer_id))
        return [found] if found else []
    if not wanted:
        return []
    named = or_(c.external_id == wanted, c.email == wanted.lower())
    exact = select(Customer).where(c.tenant_id == tenant_id, named).order_by(c.id).limit(limit)
    people = list(session.scalars(exact))
    if people:
        return people
    found_by = matching(session, tenant_id, CustomerFilter(text=wanted))
    return list(session.scalars(select(Customer).where(*found_by).order_by(c.id).limit(limit)))


def answer_of(
    session: Session, plugins: Plugins, mailing: Mailing, customer_id: int
) -> Answer | None:
    """Say what would become of one customer; None for one outside the source."""
    request = audience_request(session, plugins, mailing.tenant_id, mailing, datetime.now(UTC))
    return why(session.connection(), plugins, request, customer_id)
