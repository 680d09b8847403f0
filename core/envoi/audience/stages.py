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
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Select,
    SmallInteger,
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
)
from sqlalchemy.orm import Session

from envoi.audience.clock import zone_clock
from envoi.audience.history import HISTORY_NEEDS, contacts, counts, moment_of
from envoi.audience.request import AudienceRequest
from envoi.audience.strata import stratum
from envoi.customers.models import Customer, Quality
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
) -> Judged:
    """Apply the row stages to a segment, to the customers in an array, or to everybody.

    Columns: customer_id, address, stratum, stage, detail, deferred_until; the detail of a
    customer who is deferred is the rule's reason.
    """
    customer = table(Customer)
    frame = _Frame(request, customer, only)
    rules = bind_rules(plugins, request.rules)
    verdict = judge(plugins, rules, frame.rule_columns(rules))
    stages = _row_stages(frame, verdict)
    stage = case(*((s.lost, cast(s.stage.value, SmallInteger)) for s in stages))
    detail = case(*((s.lost, s.detail) for s in stages), else_=_deferral_reason(verdict))
    base = [customer.c.tenant_id == request.tenant_id]
    if only is not None:
        base.append(customer.c.id == func.any(only))
    if segment is not None:
        base.append(customer.c.id.in_(segment))
    today = request.now.astimezone(UTC).date()
    query = (
        select(
            customer.c.id.label("customer_id"),
            frame.address.label("address"),
            stratum(request.strata, customer.c, today).label("stratum"),
            stage.label("stage"),
            detail.label("detail"),
            _deferred_until(stages, verdict).label("deferred_until"),
        )
        .select_from(frame.source)
        .where(*base)
    )
    return Judged(query, verdict.may_defer)


def _deferred_until(stages: Sequence[RowStage], verdict: Verdict) -> ColumnElement[Any]:
    """Round up to a quarter of an hour, so that deferred messages share blocks."""
    if not verdict.may_defer:
        return verdict.deferred_until
    quarters = func.ceil(func.extract("epoch", verdict.deferred_until) / _QUARTER)
    until = func.to_timestamp(quarters * _QUARTER, type_=DateTime(timezone=True))
    return case((not_(or_(*(s.lost for s in stages))), until))


def _deferral_reason(verdict: Verdict) -> ColumnElement[Any]:
    return verdict.reason if verdict.may_defer else cast(null(), Text)


def _row_stages(frame: _Frame, verdict: Verdict) -> list[RowStage]:
    """Return the row stages in the order of `Stage`; nobody is in a global control group yet."""
    request, nothing = frame.request, cast(null(), Text)
    stages = [
        RowStage(Stage.GLOBAL_CONTROL, false(), nothing),
        RowStage(Stage.ADDRESS_ISSUE, frame.address_issue.is_not(None), frame.address_issue),
        RowStage(Stage.CHANNEL_OPT_OUT, *frame.opted_out("channel", WHOLE_CHANNEL)),
        RowStage(Stage.SUPPRESSED, frame.suppressed(), nothing),
        RowStage(Stage.POLICY, verdict.blocked, verdict.reason),
    ]
    if request.category_id is not None:
        category = frame.opted_out("category", request.category_id)
        stages.append(RowStage(Stage.CATEGORY_OPT_OUT, *category))
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
        self.address, self.address_issue = _address(request.address_kind, customer.c)

    def opted_out(self, name: str, category_id: int) -> tuple[ColumnElement[bool], Any]:
        """Join the opt-outs of a channel or category, by customer and by address."""
        opt_out = table(OptOut).c
        kept = (
            opt_out.tenant_id == self.request.tenant_id,
            opt_out.channel == self.request.channel,
            opt_out.category_id == category_id,
        )
        people = select(opt_out.customer_id).where(*kept, *self._among(opt_out.customer_id))
        addresses = select(opt_out.address).where(*kept, opt_out.address.is_not(None))
        addresses = addresses.where(*self._among_addresses(opt_out.address)).distinct()
        by_customer, by_address = (
            people.subquery(f"{name}_left"),
            addresses.subquery(f"{name}_gone"),
        )
        self._join(by_customer, by_customer.c.customer_id == self.customer.c.id)
        self._join(by_address, by_address.c.address == self.address)
        himself = by_customer.c.customer_id.is_not(None)
        lost = or_(himself, by_address.c.address.is_not(None))
        return lost, case((himself, None), else_=literal(BY_ADDRESS, Text))

    def suppressed(self) -> ColumnElement[bool]:
        """Join the suppression list of the channel."""
        suppression = table(Suppression).c
        query = select(suppression.address).where(
            suppression.tenant_id == self.request.tenant_id,
            suppression.channel == self.request.channel,
            *self._among_addresses(suppression.address),
        )
        found = query.subquery("suppressed")
        self._join(found, found.c.address == self.address)
        return found.c.address.is_not(None)

    def rule_columns(self, rules: Sequence[BoundRule]) -> RuleColumns:
        """Join what the rules need, each once, and hand it out as columns."""
        wanted = dict.fromkeys(need for rule in rules for need in rule.needs)
        needs = [n for n in wanted if n.need in HISTORY_NEEDS]
        found, last = self._history(needs) if needs else ({}, {})
        minute = midnight = None
        if any(need.need == Need.ZONE_CLOCK for need in wanted):
            clock, zone = zone_clock(self.request, self.customer.c.zone_id)
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
        """Keep a block's re-check from reading every address that ever left."""
        if self.only is None:
            return []
        other = table(Customer).alias()
        theirs, _ = _address(self.request.address_kind, other.c)
        mine = and_(other.c.tenant_id == self.request.tenant_id, other.c.id == func.any(self.only))
        return [address.in_(select(theirs).where(mine))]


def _address(kind: AddressKind, customer: Any) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the address a channel uses and the issue with it, null when there is none."""
    if kind is AddressKind.EMAIL:
        address, quality = customer.email, customer.email_quality
    elif kind is AddressKind.PHONE:
        address, quality = customer.phone, customer.phone_quality
    else:  # Devices are not part of a customer's data yet.
        return cast(null(), Text), literal(AddressIssue.WITHOUT, Text)
    issue = case(
        (or_(address.is_(None), quality == Quality.NO_ADDRESS), AddressIssue.WITHOUT),
        (quality == Quality.FORMAT_ERROR, AddressIssue.INVALID),
        (quality == Quality.LANDLINE, AddressIssue.LANDLINE),
        (quality >= Quality.NO_ADDRESS, AddressIssue.QUALITY),
    )
    return address, issue


def _customer_columns(customer: Any) -> CustomerColumns:
    return CustomerColumns(
        id=customer.id,
        gender=customer.gender,
        birth_date=customer.birth_date,
        registered_on=customer.registered_on,
        city=customer.city,
    )
