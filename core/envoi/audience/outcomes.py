"""The set stages: duplicate address, control group and variants, for estimate and collection.

They compare customers with each other, so they are decided once and never again at claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    SmallInteger,
    Subquery,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    null,
    or_,
    select,
    values,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from envoi.audience.control import PERMILLE, permille, places, share_units
from envoi.audience.request import AudienceRequest
from envoi.audience.stages import Judged
from envoi.db import table
from envoi.delivery.models import Stage
from envoi.target_audiences.models import AudienceMember


@dataclass(frozen=True)
class Outcomes:
    """One row for every customer of the segment.

    Columns: customer_id, stratum, stage, detail, deferred_until, for a cascade also step. A null
    stage means eligible.
    """

    rows: CTE
    may_defer: bool


def outcomes(judged: Judged, request: AudienceRequest) -> Outcomes:
    """Add the duplicates to the row stages."""
    rows = judged.query.cte("judged")
    if not request.one_per_address:
        return Outcomes(rows, judged.may_defer)
    kept = _keepers(rows)
    duplicate = and_(kept.c.keeper.is_not(None), kept.c.keeper != rows.c.customer_id)
    lost = or_(duplicate, rows.c.stage.is_not(None))
    query = select(
        rows.c.customer_id,
        rows.c.stratum,
        case(
            (duplicate, cast(Stage.DUPLICATE_ADDRESS.value, SmallInteger)), else_=rows.c.stage
        ).label("stage"),
        case((duplicate, cast(null(), Text)), else_=rows.c.detail).label("detail"),
        case((~lost, rows.c.deferred_until)).label("deferred_until"),
        *([rows.c.step] if "step" in rows.c else []),
    ).select_from(rows.outerjoin(kept, kept.c.shared_address == rows.c.shared_address))
    return Outcomes(query.cte("outcome"), judged.may_defer)


def drawn(found: Outcomes, request: AudienceRequest) -> CTE:
    """Add `control` (whether drawn into it) and `variant` (null unless a recipient)."""
    rows, variants = found.rows, len(request.shares) > 1
    source: FromClause = rows
    control: ColumnElement[bool] = literal(False)
    number: ColumnElement[int] = literal(1)
    if has_control(request) or variants:
        picked = _picked(rows, request)
        held = select(picked.c.customer_id).where(picked.c.held).subquery("held")
        source = source.outerjoin(held, held.c.customer_id == rows.c.customer_id)
        control = held.c.customer_id.is_not(None)
        if variants:
            cut = _variants(picked, request)
            source = source.outerjoin(cut, cut.c.customer_id == rows.c.customer_id)
            number = cut.c.variant
    recipient = and_(rows.c.stage.is_(None), ~control)
    variant = case((recipient, cast(number, SmallInteger)))
    query = select(rows, control.label("control"), variant.label("variant"))
    return query.select_from(source).cte("drawn")


def has_control(request: AudienceRequest) -> bool:
    """Whether some of the eligible are to get nothing."""
    return request.control_audience_id is not None or permille(request.control_share) > 0


def _keepers(rows: CTE) -> Subquery:
    """Choose who is kept of those who share an address: the first who passes all else."""
    keeper = func.min(rows.c.customer_id).filter(rows.c.stage.is_(None))
    return (
        select(rows.c.shared_address, keeper.label("keeper"))
        .where(rows.c.shared_address.is_not(None))
        .group_by(rows.c.shared_address)
        .having(keeper.is_not(None))
        .subquery("kept")
    )


def _picked(rows: CTE, request: AudienceRequest) -> CTE:
    """Draw among the eligible: `held` are the control group, `ticket` is everybody's draw."""
    seed = literal(request.seed, BigInteger)
    ticket = func.envoi_draw(seed, rows.c.customer_id, type_=BigInteger).label("ticket")
    tickets = (
        select(rows.c.customer_id, rows.c.stratum, ticket)
        .where(rows.c.stage.is_(None))
        .subquery("ticket")
    )
    if request.control_audience_id is not None:
        members = _members(request)
        held = members.c.customer_id.is_not(None).label("held")
        named = tickets.outerjoin(members, members.c.customer_id == tickets.c.customer_id)
        return select(tickets, held).select_from(named).cte("picked")
    if not permille(request.control_share):
        return select(tickets, literal(False).label("held")).cte("picked")
    place = func.row_number().over(
        partition_by=tickets.c.stratum, order_by=(tickets.c.ticket, tickets.c.customer_id)
    )
    ordered = select(tickets, place.label("place")).subquery("ordered")
    seats = places("seats", _weights(rows, request), PERMILLE)
    held = (ordered.c.place <= seats.c.places).label("held")
    return (
        select(ordered.c.customer_id, ordered.c.ticket, held)
        .join_from(ordered, seats, seats.c.key == ordered.c.stratum)
        .cte("picked")
    )


def _members(request: AudienceRequest) -> Subquery:
    member = table(AudienceMember).c
    query = select(member.customer_id).where(
        member.tenant_id == request.tenant_id, member.audience_id == request.control_audience_id
    )
    return query.subquery("member")


def _weights(rows: CTE, request: AudienceRequest) -> CTE:
    size = func.count() * permille(request.control_share)
    return (
        select(rows.c.stratum.label("key"), size.label("weight"))
        .where(rows.c.stage.is_(None))
        .group_by(rows.c.stratum)
        .cte("strata")
    )


def _variants(picked: CTE, request: AudienceRequest) -> Subquery:
    """Cut the recipients, in the order of their draws, by the variants' shares."""
    units = share_units(request.shares)
    share = values(column("key", Integer), column("unit", Integer), name="share").data(
        list(enumerate(units))
    )
    count = select(func.count()).select_from(picked).where(~picked.c.held).scalar_subquery()
    weights = select(share.c.key, (cast(count, BigInteger) * share.c.unit).label("weight"))
    sizes = places("variant_size", weights.cte("variant_weight"), sum(units))
    upto = func.sum(sizes.c.places).over(order_by=sizes.c.key)
    ends = select(sizes.c.key, cast(upto, BigInteger).label("upto")).subquery("variant_end")
    bounds = select(func.array_agg(aggregate_order_by(ends.c.upto, ends.c.key))).scalar_subquery()
    place = func.row_number().over(order_by=(picked.c.ticket, picked.c.customer_id))
    number = func.width_bucket(place - 1, bounds, type_=Integer) + 1
    query = select(picked.c.customer_id, number.label("variant")).where(~picked.c.held)
    return query.subquery("cut")
