"""Eligibility: one list of stages, first match wins, each customer exactly one outcome.

The row stages are expressions over one customer's row and the sets joined to it; the estimate,
the collection and the re-check at claim all use them from here. What they need from other
tables is joined as sets, grouped before: on a million customers a correlated subquery takes
several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Select,
    SmallInteger,
    Subquery,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session

from envoi.audience.clock import company_zone_id, zone_clock
from envoi.audience.history import HISTORY_NEEDS, contacts, counts, moment_of
from envoi.audience.request import AudienceRequest, at_step
from envoi.audience.strata import read_strata, stratum
from envoi.audience.window import CUSTOMER, OUTSIDE_WINDOW, openings
from envoi.customers.devices import living
from envoi.customers.models import Customer, CustomerDevice, Quality
from envoi.db import table
from envoi.delivery.models import Stage
from envoi.plugins import Plugins
from envoi.policies.rules import BoundRule, Verdict, bind_rules, judge
from envoi.segments.compile import customer_ids
from envoi.sql import CustomerColumns, CustomerIds, RuleColumns
from envoi.subscriptions.models import WHOLE_CHANNEL, OptOut, Suppression
from envoi.types import AddressKind, Need, NeedRequest

BY_ADDRESS = "address"
"""The detail of an opt-out that another customer with the same address made."""


_QUARTER = 15 * 60
_CHANNEL, _CATEGORY, _SUPPRESSED = "channel", "category", "suppressed"


class AddressIssue:
    """Why an address cannot be used: the details of `Stage.ADDRESS_ISSUE`."""

    WITHOUT = "without"
    INVALID = "invalid"
    QUALITY = "quality"
    LANDLINE = "landline"


@dataclass(frozen=True)
class RowStage:
    """A stage that one customer's row decides: whether it is lost here, and why in detail."""

    stage: Stage
    lost: ColumnElement[bool]
    detail: ColumnElement[Any]


@dataclass(frozen=True)
class Judged:
    """The row stages applied: a statement with one row for every customer of the segment."""

    query: Select[Any]
    may_defer: bool


def segment_of(
    connection: Connection, plugins: Plugins, request: AudienceRequest
) -> CustomerIds | None:
    """Return the customers of the segment, None for all, for the open transaction."""
    if request.tree is None:
        return None
    session = Session(bind=connection)
    return customer_ids(session, request.tenant_id, request.tree, now=request.now, plugins=plugins)


def judge_rows(
    plugins: Plugins,
    request: AudienceRequest,
    *,
    segment: CustomerIds | None = None,
    only: ColumnElement[Any] | None = None,
    sample: bool = False,
) -> Judged:
    """Apply the row stages to a segment, to the customers in an array, or to everybody.

    An array that is a `sample` of a segment has strata as the segment has; addresses are not
    compared in it, for the other customer is seldom in the sample.

    Columns: customer_id, shared_address (only for a segment, and null unless another customer
    has it too), stratum, stage, detail, deferred_until; the detail of a customer who is
    deferred is the rule's reason, or that the sending window is closed. For a cascade also the
    step with which the customer begins: the first that nothing stands against. Where there is
    none, the last one's reason is given.
    """
    count = 1 + len(request.then)
    steps = [
        _judged(plugins, at_step(request, step), segment, only, sample=sample)
        for step in range(1, count + 1)
    ]
    return steps[0] if count == 1 else _first_that_fits(steps)


def _first_that_fits(steps: Sequence[Judged]) -> Judged:
    judged = [step.query.subquery(f"step_{n}") for n, step in enumerate(steps, start=1)]
    first, *others = judged
    source: FromClause = first
    for other in others:
        source = source.join(other, other.c.customer_id == first.c.customer_id)

    def chosen(name: str) -> ColumnElement[Any]:
        found = ((step.c.stage.is_(None), step.c[name]) for step in judged)
        return case(*found, else_=judged[-1].c[name]).label(name)

    place = case(*((step.c.stage.is_(None), n) for n, step in enumerate(judged, start=1)), else_=1)
    query = select(
        first.c.customer_id,
        chosen("shared_address"),
        first.c.stratum,
        *(chosen(name) for name in ("stage", "detail", "deferred_until")),
        cast(place, SmallInteger).label("step"),
    )
    return Judged(query.select_from(source), any(step.may_defer for step in steps))


def _judged(
    plugins: Plugins,
    request: AudienceRequest,
    segment: CustomerIds | None,
    only: ColumnElement[Any] | None,
    *,
    sample: bool,
) -> Judged:
    customer = table(Customer)
    frame = _Frame(request, customer, only)
    frame.refuse()
    rules = bind_rules(plugins, request.rules)
    verdict = judge(plugins, rules, frame.rule_columns(rules))
    opens_at = frame.opens_at()
    stages = _row_stages(frame, verdict)
    stage = case(*((s.lost, cast(s.stage.value, SmallInteger)) for s in stages))
    detail = case(*((s.lost, s.detail) for s in stages), else_=_deferral_reason(verdict, opens_at))
    base = [customer.c.tenant_id == request.tenant_id]
    if only is not None:
        base.append(customer.c.id == func.any(only))
    if segment is not None:
        base.append(customer.c.id.in_(segment))
    shares = request.one_per_address and request.address_kind is not AddressKind.PUSH
    compares = only is None and shares
    shared = frame.shared_address() if compares else cast(null(), Text)
    drawn_in = frame.stratum() if only is None or sample else literal(0, BigInteger)
    query = (
        select(
            customer.c.id.label("customer_id"),
            shared.label("shared_address"),
            drawn_in.label("stratum"),
            stage.label("stage"),
            detail.label("detail"),
            _deferred_until(stages, verdict, opens_at).label("deferred_until"),
        )
        .select_from(frame.source)
        .where(*base)
    )
    return Judged(query, verdict.may_defer or opens_at is not None)


def judge_policy(plugins: Plugins, request: AudienceRequest, customers: Select[Any]) -> Select[Any]:
    """Ask the policy alone about these customers: blocked, reason, deferred_until."""
    customer = table(Customer)
    frame = _Frame(request, customer, None)
    rules = bind_rules(plugins, request.rules)
    verdict = judge(plugins, rules, frame.rule_columns(rules))
    columns = (
        verdict.blocked.label("blocked"),
        verdict.reason.label("reason"),
        verdict.deferred_until.label("deferred_until"),
    )
    mine = (customer.c.tenant_id == request.tenant_id, customer.c.id.in_(customers))
    return select(*columns).select_from(frame.source).where(*mine)


def _deferred_until(
    stages: Sequence[RowStage], verdict: Verdict, opens_at: ColumnElement[Any] | None
) -> ColumnElement[Any]:
    """Take the later of policy and window; what comes then is asked again at claim.

    The policy's moment is rounded up to a quarter of an hour, so that deferred messages share
    blocks; the window opens for all of a zone at once.
    """
    moments = [] if opens_at is None else [opens_at]
    if verdict.may_defer:
        quarters = func.ceil(func.extract("epoch", verdict.deferred_until) / _QUARTER)
        moments.append(func.to_timestamp(quarters * _QUARTER, type_=DateTime(timezone=True)))
    if not moments:
        return verdict.deferred_until
    return case((not_(or_(*(s.lost for s in stages))), func.greatest(*moments)))


def _deferral_reason(verdict: Verdict, opens_at: ColumnElement[Any] | None) -> ColumnElement[Any]:
    reason = verdict.reason if verdict.may_defer else cast(null(), Text)
    if opens_at is None:
        return reason
    closed = case((opens_at.is_not(None), literal(OUTSIDE_WINDOW, Text)))
    return func.coalesce(reason, closed) if verdict.may_defer else closed


def _row_stages(frame: _Frame, verdict: Verdict) -> list[RowStage]:
    """Return the row stages in the order of `Stage`; nobody is in a global control group yet."""
    request, nothing = frame.request, cast(null(), Text)
    stages = [
        RowStage(Stage.GLOBAL_CONTROL, false(), nothing),
        RowStage(Stage.ADDRESS_ISSUE, frame.unusable, frame.address_issue),
        RowStage(Stage.CHANNEL_OPT_OUT, *frame.opted_out(_CHANNEL)),
        RowStage(Stage.SUPPRESSED, frame.suppressed(), nothing),
        RowStage(Stage.POLICY, verdict.blocked, verdict.reason),
    ]
    if request.category_id is not None:
        stages.append(RowStage(Stage.CATEGORY_OPT_OUT, *frame.opted_out(_CATEGORY)))
    return sorted(stages, key=lambda s: s.stage)


class _Frame:
    """The customer's row and the sets joined to it, one after the other."""

    def __init__(
        self, request: AudienceRequest, customer: Any, only: ColumnElement[Any] | None
    ) -> None:
        self.request = request
        self.customer = customer
        self.only = only
        self.source: FromClause = customer
        self.address, quality = _address(request.address_kind, customer.c)
        self.unusable = or_(self.address.is_(None), quality >= Quality.NO_ADDRESS)
        self.address_issue = _address_issue(self.address, quality)
        if request.address_kind is AddressKind.PUSH:
            self.unusable = self._without_device()

    def _without_device(self) -> ColumnElement[bool]:
        """Join who has a device, however many, and tell who has none."""
        c = table(CustomerDevice).c
        query = select(c.customer_id).where(living(self.request.tenant_id))
        reached = query.where(*self._among(c.customer_id)).distinct().subquery("reached")
        self._join(reached, reached.c.customer_id == self.customer.c.id)
        return reached.c.customer_id.is_(None)

    def refuse(self) -> None:
        """Join who and which addresses are out, each with all ways in which they are."""
        people, addresses = self._people(), self._addresses()
        self._join(people, people.c.customer_id == self.customer.c.id)
        self._join(addresses, addresses.c.address == self.address)
        self._by_customer, self._by_address = people.c, addresses.c

    def opted_out(self, way: str) -> tuple[ColumnElement[bool], Any]:
        """Tell who left, himself or by his address, and the detail of that."""
        himself = func.coalesce(self._by_customer[way], False)
        lost = or_(himself, func.coalesce(self._by_address[way], False))
        return lost, case((himself, None), else_=literal(BY_ADDRESS, Text))

    def suppressed(self) -> ColumnElement[bool]:
        """Tell whose address is on the suppression list."""
        return func.coalesce(self._by_address[_SUPPRESSED], False)

    def shared_address(self) -> ColumnElement[Any]:
        """Join the addresses that more than one customer of the base has.

        The index finds them; grouping all addresses of an audience costs several times as much.
        """
        customer = table(Customer).alias("twin").c
        address, _ = _address(self.request.address_kind, customer)
        query = select(address.label("address")).where(
            customer.tenant_id == self.request.tenant_id, address.is_not(None)
        )
        twins = query.group_by(address).having(func.count() > 1).subquery("twins")
        self._join(twins, twins.c.address == self.address)
        return twins.c.address

    def opens_at(self) -> ColumnElement[Any] | None:
        """Join when the sending window opens for a customer; null while it is open."""
        window = self.request.window
        if window is None:
            return None
        closed, zone = openings(window, self.request.now), company_zone_id(self.request.tenant_id)
        if window.zone == CUSTOMER:
            zone = func.coalesce(self.customer.c.zone_id, zone)
        self._join(closed, closed.c.id == zone)
        opens_at: ColumnElement[Any] = closed.c.opens_at
        return opens_at

    def stratum(self) -> ColumnElement[int]:
        """Join the custom attributes that strata are made of, and return the stratum."""
        today = self.request.now.astimezone(UTC).date()
        codes = []
        for characteristic in read_strata(self.request.strata):
            values = characteristic.values_of(self.request.tenant_id)
            if values is not None:
                self._join(values, values.c.customer_id == self.customer.c.id)
            codes.append(characteristic.code(self.customer.c, values, today))
        return stratum(codes)

    def _people(self) -> Subquery:
        opt_out = table(OptOut).c
        ways = [func.bool_or(opt_out.category_id == c).label(w) for w, c in self._ways().items()]
        query = select(opt_out.customer_id, *ways).where(*self._left(opt_out))
        query = query.where(*self._among(opt_out.customer_id)).group_by(opt_out.customer_id)
        return query.subquery("people_out")

    def _addresses(self) -> Subquery:
        opt_out, suppression = table(OptOut).c, table(Suppression).c
        ways = self._ways()
        left = select(
            opt_out.address,
            *((opt_out.category_id == category).label(way) for way, category in ways.items()),
            false().label(_SUPPRESSED),
        ).where(*self._left(opt_out), opt_out.address.is_not(None))
        barred = select(
            suppression.address, *(false().label(way) for way in ways), true().label(_SUPPRESSED)
        ).where(
            suppression.tenant_id == self.request.tenant_id,
            suppression.channel == self.request.channel,
        )
        out = union_all(
            left.where(*self._among_addresses(opt_out.address)),
            barred.where(*self._among_addresses(suppression.address)),
        ).subquery("out")
        flags = [func.bool_or(out.c[way]).label(way) for way in (*ways, _SUPPRESSED)]
        return select(out.c.address, *flags).group_by(out.c.address).subquery("addresses_out")

    def _ways(self) -> dict[str, int]:
        """The opt-outs that matter: of the channel, and of the mailing's category."""
        ways = {_CHANNEL: WHOLE_CHANNEL}
        if self.request.category_id is not None:
            ways[_CATEGORY] = self.request.category_id
        return ways

    def _left(self, opt_out: Any) -> tuple[ColumnElement[bool], ...]:
        return (
            opt_out.tenant_id == self.request.tenant_id,
            opt_out.channel == self.request.channel,
            opt_out.category_id.in_(self._ways().values()),
        )

    def rule_columns(self, rules: Sequence[BoundRule]) -> RuleColumns:
        """Join what the rules need, each once, and hand it out as columns."""
        wanted = dict.fromkeys(need for rule in rules for need in rule.needs)
        needs = [n for n in wanted if n.need in HISTORY_NEEDS]
        found, last = self._history(needs) if needs else ({}, {})
        minute = midnight = None
        if any(need.need == Need.ZONE_CLOCK for need in wanted):
            clock, zone = zone_clock(
                self.request.tenant_id, self.request.now, self.customer.c.zone_id
            )
            self._join(clock, clock.c.id == zone)
            minute, midnight = clock.c.local_minute, clock.c.local_midnight
        asked = any(need.need == Need.CUSTOMER for need in wanted)
        return RuleColumns(
            now=moment_of(self.request),
            customer=_customer_columns(self.customer.c) if asked else None,
            counts=found,
            last_contact=last,
            local_minute=minute,
            local_midnight=midnight,
        )

    def _history(self, needs: Sequence[NeedRequest]) -> Any:
        history = contacts(self.request, needs, self.only)
        self._join(history, history.c.customer_id == self.customer.c.id)
        return counts(history, needs)

    def _join(self, other: FromClause, on: ColumnElement[bool]) -> None:
        self.source = self.source.outerjoin(other, on)

    def _among(self, customer_id: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        return [] if self.only is None else [customer_id == func.any(self.only)]

    def _among_addresses(self, address: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Keep a block's re-check from reading every address that ever left.

        An array is looked up address by address; joined as a set, the planner may read the
        whole index of customers' addresses for each block.
        """
        if self.only is None:
            return []
        other = table(Customer).alias()
        theirs, _ = _address(self.request.address_kind, other.c)
        mine = and_(other.c.tenant_id == self.request.tenant_id, other.c.id == func.any(self.only))
        return [address == func.any(func.array(select(theirs).where(mine).scalar_subquery()))]


def _address(kind: AddressKind, customer: Any) -> tuple[ColumnElement[Any], ColumnElement[int]]:
    """Return the address that a channel uses and its quality code."""
    if kind is AddressKind.EMAIL:
        return customer.email, customer.email_quality
    if kind is AddressKind.PHONE:
        return customer.phone, customer.phone_quality
    # Devices have tokens, which no two customers share and no list of addresses names.
    return cast(null(), Text), literal(Quality.NO_ADDRESS.value, SmallInteger)


def _address_issue(address: ColumnElement[Any], quality: ColumnElement[int]) -> ColumnElement[Any]:
    return case(
        (or_(address.is_(None), quality == Quality.NO_ADDRESS), AddressIssue.WITHOUT),
        (quality == Quality.FORMAT_ERROR, AddressIssue.INVALID),
        (quality == Quality.LANDLINE, AddressIssue.LANDLINE),
        else_=AddressIssue.QUALITY,
    )


def _customer_columns(customer: Any) -> CustomerColumns:
    return CustomerColumns(
        id=customer.id,
        gender=customer.gender,
        birth_date=customer.birth_date,
        registered_on=customer.registered_on,
        city=customer.city,
    )
