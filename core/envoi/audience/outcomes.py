"""The set stages: duplicate address, control group and variants, for estimate and collection.

They compare customers with each other, so they are decided once and never again at claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    SmallInteger,
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
from envoi.delivery.models import Stage


@dataclass(frozen=True)
class Outcomes:
    """One row for every customer of the segment.

    Columns: customer_id, stratum, stage, detail, deferred_until. A null stage means eligible.
    """

    rows: CTE
    may_defer: bool


def outcomes(judged: Judged, request: AudienceRequest) -> Outcomes:
    """Add the duplicates to the row stages."""
    rows = judged.query.cte("judged")
    if not request.one_per_address:
        return Outcomes(rows, judged.may_defer)
    shared = _shared_addresses(rows)
    duplicate = and_(shared.c.keeper.is_not(None), shared.c.keeper != rows.c.customer_id)
    lost = or_(duplicate, rows.c.stage.is_not(None))
    query = select(
        rows.c.customer_id,
        rows.c.stratum,
        case(
            (duplicate, cast(Stage.DUPLICATE_ADDRESS.value, SmallInteger)), else_=rows.c.stage
        ).label("stage"),
        case((duplicate, cast(null(), Text)), else_=rows.c.detail).label("detail"),
        case((~lost, rows.c.deferred_until)).label("deferred_until"),
    ).select_from(rows.outerjoin(shared, shared.c.address == rows.c.address))
    return Outcomes(query.cte("outcome"), judged.may_defer)


def drawn(found: Outcomes, request: AudienceRequest) -> CTE:
    """Add `control` (whether drawn into it) and `variant` (null unless a recipient)."""
    rows = found.rows
    if not permille(request.control_share) and len(request.shares) == 1:
        nobody = literal(False).label("control")
        return select(rows, nobody, _variant(rows.c.stage.is_(None), literal(1))).cte("drawn")
    ordered = _ordered(rows, request)
    if permille(request.control_share):
        weights = _weights(rows, request)
        seats = places("seats", weights, PERMILLE)
        picked = select(
            *ordered.c,
            and_(ordered.c.stage.is_(None), ordered.c.place <= seats.c.places).label("is_control"),
        ).select_from(ordered.outerjoin(seats, seats.c.key == ordered.c.stratum))
    else:
        picked = select(*ordered.c, literal(False).label("is_control"))
    return _with_variants(picked.cte("picked"), request)


def _shared_addresses(rows: CTE) -> CTE:
    """Choose who is kept of those who share an address: the first who passes all else."""
    keeper = func.min(rows.c.customer_id).filter(rows.c.stage.is_(None))
    return (
        select(rows.c.address, keeper.label("keeper"))
        .where(rows.c.address.is_not(None))
        .group_by(rows.c.address)
        .having(and_(func.count() > 1, keeper.is_not(None)))
        .cte("shared")
    )


def _ordered(rows: CTE, request: AudienceRequest) -> CTE:
    seed = literal(request.seed, BigInteger)
    eligible = rows.c.stage.is_(None)
    number = case((eligible, func.envoi_draw(seed, rows.c.customer_id, type_=BigInteger)))
    tickets = select(rows, number.label("ticket")).cte("ticket")
    place = func.row_number().over(
        partition_by=(tickets.c.stage.is_(None), tickets.c.stratum),
        order_by=(tickets.c.ticket, tickets.c.customer_id),
    )
    return select(tickets, place.label("place")).cte("ordered")


def _weights(rows: CTE, request: AudienceRequest) -> CTE:
    size = func.count() * permille(request.control_share)
    return (
        select(rows.c.stratum.label("key"), size.label("weight"))
        .where(rows.c.stage.is_(None))
        .group_by(rows.c.stratum)
        .cte("strata")
    )


def _with_variants(picked: CTE, request: AudienceRequest) -> CTE:
    kept = [c for c in picked.c if c.name not in ("is_control", "place", "ticket")]
    control = picked.c.is_control.label("control")
    recipient = and_(picked.c.stage.is_(None), ~picked.c.is_control)
    if len(request.shares) == 1:
        return select(*kept, control, _variant(recipient, literal(1))).cte("drawn")
    units = share_units(request.shares)
    share = values(column("key", Integer), column("unit", Integer), name="share").data(
        list(enumerate(units))
    )
    count = select(func.count()).select_from(picked).where(recipient).scalar_subquery()
    weights = select(share.c.key, (cast(count, BigInteger) * share.c.unit).label("weight"))
    sizes = places("variant_size", weights.cte("variant_weight"), sum(units))
    upto = select(
        sizes.c.key, func.sum(sizes.c.places).over(order_by=sizes.c.key).label("upto")
    ).subquery("variant_end")
    ends = select(
        func.array_agg(aggregate_order_by(cast(upto.c.upto, BigInteger), upto.c.key))
    ).scalar_subquery()
    place = func.row_number().over(
        partition_by=recipient, order_by=(picked.c.ticket, picked.c.customer_id)
    )
    number = func.width_bucket(place - 1, ends, type_=Integer) + 1
    return select(*kept, control, _variant(recipient, number)).cte("drawn")


def _variant(recipient: ColumnElement[bool], number: Any) -> ColumnElement[Any]:
    return case((recipient, cast(number, SmallInteger))).label("variant")
