"""What a draft is going to cost: its messages made for a sample, times those who would get it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from statistics import fmean, pstdev
from typing import Any

from sqlalchemy import ColumnElement, Integer, Label, case, cast, func, literal, select
from sqlalchemy.orm import Session

from envoi.audience.outcomes import outcomes
from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_rows, segment_of
from envoi.audience.statement import run_statement
from envoi.audience.volume import Volume
from envoi.content.kit import Kit
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.macros import examples
from envoi.delivery.models import Run, RunKind
from envoi.delivery.prices import PriceList, channel_prices
from envoi.delivery.recipients import PeopleQuery, Wanted
from envoi.delivery.steps import Success
from envoi.errors import ValidationFailedError
from envoi.library.files import Library
from envoi.mailings.audience import audience_request
from envoi.mailings.cascade import channels_of, following
from envoi.mailings.content import CHECKED_WITH, addresses, final_content
from envoi.mailings.models import Mailing
from envoi.mailings.service import variants_of
from envoi.mailings.variants import validate_content
from envoi.plugins import Plugins
from envoi.segments.rows import ALL_BUCKETS
from envoi.tracking.urls import example_urls
from envoi.types import AddressKind, CompiledContent, Recipient

SAMPLE = 500
PAST_RUNS = 10
"""So many of the last runs of a channel tell how many of its messages are delivered."""

_CERTAIN = 2.0
"""Standard errors by which a sample's mean may be wrong."""


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """What a mailing is going to cost, in 1/10,000 of the currency's unit, and its parts.

    `low` and `high` differ where messages were only made for some, and where a cascade goes on
    for those alone whom an earlier channel does not reach. `priced` tells whether any gateway
    has prices.
    """

    low: int
    high: int
    parts_low: int
    parts_high: int
    priced: bool


@dataclass(frozen=True)
class _Group:
    """Recipients who begin with a step and whose addresses cost the same; some by number."""

    step: int
    prefixes: Sequence[str]
    count: int
    sample: Sequence[int]


@dataclass(frozen=True)
class _Share:
    """A number between two bounds."""

    low: float
    high: float

    def __mul__(self, other: _Share) -> _Share:
        return _Share(self.low * other.low, self.high * other.high)


def has_cost(session: Session, plugins: Plugins, mailing: Mailing) -> bool:
    """Whether there is anything to estimate: parts that are counted, or a gateway with prices."""
    names = channels_of(mailing)
    counted = any(plugins.channels[name].length for name in names if name in plugins.channels)
    return counted or any(channel_prices(session, mailing.tenant_id, name) for name in names)


def estimate_cost(
    session: Session, plugins: Plugins, mailing: Mailing, links_url: str
) -> CostEstimate:
    """Estimate a draft's cost; the customers are counted exactly, by what they cost.

    Raises:
        ValidationFailedError: A content cannot be sent as it is.
    """
    request = audience_request(session, plugins, mailing.tenant_id, mailing, datetime.now(UTC))
    lists = [channel_prices(session, mailing.tenant_id, name) for name in channels_of(mailing)]
    groups = _groups(session, plugins, mailing, request, lists)
    parts = _parts(session, plugins, mailing, groups, links_url)
    moved = _moved_on(session, mailing)
    scale = _recipients_share(mailing)
    amount = total = _Share(0, 0)
    for step, prices in enumerate(lists, start=1):
        for group in groups:
            reach = _reach(moved, group.step, step)
            each = reach * parts[step, group.prefixes] * _Share(scale, scale)
            price = prices.at(group.prefixes[step - 1])
            total = _plus(total, each, group.count)
            amount = _plus(amount, each, group.count * price)
    return CostEstimate(
        low=round(amount.low),
        high=round(amount.high),
        parts_low=round(total.low),
        parts_high=round(total.high),
        priced=any(lists),
    )


def _plus(sum_: _Share, each: _Share, times: int) -> _Share:
    return _Share(sum_.low + each.low * times, sum_.high + each.high * times)


def _recipients_share(mailing: Mailing) -> float:
    """Which share of the eligible is not held back as control group."""
    volume = Volume.from_document(mailing.volume)
    if volume is None or not volume.eligible:
        return 1 - mailing.control_share / 100
    return volume.recipients / volume.eligible


def _groups(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    request: AudienceRequest,
    lists: Sequence[PriceList],
) -> list[_Group]:
    """Count the eligible by what their addresses cost at every step, in one statement."""
    segment = segment_of(session.connection(), plugins, request)
    rows = outcomes(judge_rows(plugins, request, segment=segment), request).rows
    c = table(Customer).c
    begins = rows.c.step if "step" in rows.c else literal(1, Integer)
    keys: list[Label[Any]] = [begins.label("step")]
    kinds = [plugins.channels[name].address_kind for name in channels_of(mailing)]
    for number, (prices, kind) in enumerate(zip(lists, kinds, strict=True)):
        phone = c.phone if kind is AddressKind.PHONE else literal("")
        keys.append(_prefix(prices, phone).label(f"prefix_{number}"))
    eligible = (
        select(*keys, c.id, c.bucket)
        .select_from(rows.join(table(Customer), c.id == rows.c.customer_id))
        .where(c.tenant_id == mailing.tenant_id, rows.c.stage.is_(None))
        .subquery("eligible")
    )
    sample = func.array_agg(eligible.c.id).filter(eligible.c.bucket < _last_bucket(mailing))
    alike = [eligible.c[key.name] for key in keys]
    counted = select(*alike, func.count().label("customers"), sample.label("sample"))
    counted = counted.group_by(*alike)
    found = run_statement(session.connection(), plugins, request, counted)
    return [
        _Group(row[0], tuple(row[1 : 1 + len(lists)]), row.customers, row.sample or ())
        for row in found
    ]


def _last_bucket(mailing: Mailing) -> int:
    """So many of the 10,000 buckets hold about as many customers as are looked at."""
    volume = Volume.from_document(mailing.volume)
    eligible = volume.eligible if volume else SAMPLE
    return max(1, min(ALL_BUCKETS, ALL_BUCKETS * SAMPLE // max(1, eligible)))


def _prefix(prices: PriceList, address: ColumnElement[str]) -> ColumnElement[str]:
    """The beginning of an address by which it is priced."""
    whens = [
        (func.left(address, length).in_(prefixes), func.left(address, length))
        for length, prefixes in prices.by_length()
        if length
    ]
    return case(*whens, else_="") if whens else cast(literal(""), address.type)


def _parts(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    groups: Sequence[_Group],
    links_url: str,
) -> Mapping[tuple[int, Sequence[str]], _Share]:
    """How many parts a message has on average, by step and what addresses cost."""
    known = {n: g.prefixes for g in groups for n in g.sample[:SAMPLE]}
    found: dict[tuple[int, Sequence[str]], _Share] = {}
    for step, channel in enumerate(channels_of(mailing), start=1):
        counted: dict[Sequence[str], list[int]] = defaultdict(list)
        if plugins.channels[channel].length is not None:
            for number, parts in _made(session, plugins, mailing, step, sorted(known), links_url):
                counted[known[number]].append(parts)
        everybody = [parts for group in counted.values() for parts in group] or [1]
        is_sample = sum(g.count for g in groups) > len(everybody) > 1
        error = _CERTAIN * pstdev(everybody) / sqrt(len(everybody)) if is_sample else 0.0
        for group in groups:
            mean = fmean(counted.get(group.prefixes) or everybody)
            found[step, group.prefixes] = _Share(max(1.0, mean - error), mean + error)
    return found


def _made(
    session: Session,
    plugins: Plugins,
    mailing: Mailing,
    step: int,
    numbers: Sequence[int],
    links_url: str,
) -> Iterator[tuple[int, int]]:
    """Make the messages of some customers, each of the variant of its turn; give their parts."""
    spec = plugins.channels[channels_of(mailing)[step - 1]]
    contents = _contents(session, plugins, mailing, step)
    people = PeopleQuery(mailing.tenant_id, spec.address_kind, Wanted())
    found = people.fetch(session.connection(), numbers)
    shown = examples(plugins)
    for place, (number, person) in enumerate(found.items()):
        urls = example_urls(links_url, mailing.tenant_id, number, short=spec.short_links)
        links = addresses(urls)
        recipient = Recipient(
            address=person.address or "",
            name=person.name,
            variables={**shown, **person.variables},
            message_key="",
            one_click_url=links["unsubscribe_url"],
            open_url=links["unsubscribe_url"],
            click=urls.click,
            **links,
        )
        try:
            # Not the first variant for all of a small sample: they stand in blocks.
            yield number, contents[place * 61 % len(contents)].render(recipient).parts
        except ValidationFailedError:
            # It fails alone when it is sent, and costs nothing.
            continue


def _contents(
    session: Session, plugins: Plugins, mailing: Mailing, step: int
) -> list[CompiledContent]:
    """The variants' contents, each as often as its share in per cent."""
    spec = plugins.channels[channels_of(mailing)[step - 1]]
    kit = Kit(Library(session, mailing.tenant_id, ""), plugins.macros)
    found: list[CompiledContent] = []
    for variant in variants_of(session, mailing):
        final = final_content(session, plugins, mailing, variant, step)
        content = validate_content(plugins, spec.name, final)
        compiled = spec.compile(content, CHECKED_WITH, kit)
        found += [compiled] * max(1, round(variant.share))
    return found


def _moved_on(session: Session, mailing: Mailing) -> list[_Share]:
    """Which share of those whom a step is sent to goes on to the next one, step by step."""
    found = []
    for channel, step in zip(channels_of(mailing), following(mailing), strict=False):
        rates = _delivered(session, mailing.tenant_id, channel)
        low, high = min(rates, default=0.0), max(rates, default=1.0)
        if step.success is Success.READ:
            low = 0.0
        found.append(_Share(1 - high, 1 - low))
    return found


def _reach(moved: Sequence[_Share], begins: int, step: int) -> _Share:
    """Which share of those who begin with a step a later one is sent to."""
    if step < begins:
        return _Share(0, 0)
    share = _Share(1, 1)
    for part in moved[begins - 1 : step - 1]:
        share = share * part
    return share


def _delivered(session: Session, tenant_id: int, channel: str) -> list[float]:
    """Which shares of the last runs of a channel were delivered."""
    c = table(Run).c
    query = (
        select(c.delivered, c.sent)
        .where(c.tenant_id == tenant_id, c.channel == channel, c.kind == RunKind.MAILING)
        .where(c.sent > 0, c.delivered.is_not(None))
        .order_by(c.id.desc())
        .limit(PAST_RUNS)
    )
    return [min(1.0, row.delivered / row.sent) for row in session.execute(query)]
