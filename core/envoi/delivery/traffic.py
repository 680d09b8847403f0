"""What left by each gateway in the last hour: a row a minute, used again an hour later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import SmallInteger, case, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.circuit import GatewayKey
from envoi.delivery.models import GatewayMinute

AN_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Traffic:
    """How many messages a gateway took and refused in the last hour, and when it last did."""

    accepted: int = 0
    refused: int = 0
    last_at: datetime | None = None


def note_traffic(session: Session, gateway: GatewayKey, accepted: int, refused: int) -> None:
    """Count what a block brought; said last in a transaction, since all senders meet here."""
    minute = func.date_trunc("minute", func.now())
    row = insert(table(GatewayMinute)).values(
        tenant_id=gateway[0],
        gateway_id=gateway[1],
        slot=cast(func.date_part("minute", func.now()), SmallInteger),
        minute=minute,
        accepted=accepted,
        refused=refused,
    )
    old = table(GatewayMinute).c
    same = old.minute == row.excluded.minute
    counted = {
        name: row.excluded[name] + case((same, old[name]), else_=0)
        for name in ("accepted", "refused")
    }
    session.execute(
        row.on_conflict_do_update(
            index_elements=["tenant_id", "gateway_id", "slot"],
            set_={"minute": row.excluded.minute, **counted},
        )
    )


def traffic_of(session: Session, tenant_id: int) -> dict[int, Traffic]:
    """Return each gateway's last hour by its number."""
    c = table(GatewayMinute).c
    recent = c.minute > func.now() - AN_HOUR
    query = select(
        c.gateway_id,
        func.coalesce(func.sum(c.accepted).filter(recent), 0).label("accepted"),
        func.coalesce(func.sum(c.refused).filter(recent), 0).label("refused"),
        func.max(c.minute).label("last_at"),
    ).where(c.tenant_id == tenant_id)
    return {
        row.gateway_id: Traffic(row.accepted, row.refused, row.last_at)
        for row in session.execute(query.group_by(c.gateway_id))
    }
