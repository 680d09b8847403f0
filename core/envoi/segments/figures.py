"""What a segment is worth and whom of it each channel reaches: counted in the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.audience.estimate import estimate
from envoi.audience.request import AudienceRequest
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.errors import PluginError, ValidationFailedError
from envoi.jobs import Work, announce, withdraw
from envoi.operations.plugin_errors import add_fault
from envoi.plugins import Plugins
from envoi.receipts.models import Receipt
from envoi.segments.compile import customer_ids
from envoi.segments.models import Segment
from envoi.sql import CustomerIds

FRESH = timedelta(days=1)
"""How long figures are shown without being counted again."""


@dataclass(frozen=True, kw_only=True)
class SegmentFigures:
    """A segment's figures as of a moment; money in minor units, cancelled receipts left out.

    `reachable` are the good recipients of each channel: who would get a mailing without policy
    and control group. `problem` says why a broken segment could not be counted.
    """

    version: int
    counted_at: datetime
    customers: int = 0
    base: int = 0
    receipts: int = 0
    total: int = 0
    revenue: int = 0
    reachable: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def share_of_base(self) -> float | None:
        """Which part of all customers the segment is."""
        return self.customers / self.base if self.base else None

    @property
    def share_of_revenue(self) -> float | None:
        """Which part of all that was ever bought its customers bought."""
        return self.total / self.revenue if self.revenue > 0 else None

    @property
    def average_receipt(self) -> int | None:
        """What one of its customers' receipts comes to."""
        return round(self.total / self.receipts) if self.receipts else None


_DOCUMENT = TypeAdapter(SegmentFigures)


def figures_of(document: Mapping[str, Any]) -> SegmentFigures | None:
    """Read a segment's stored figures; None before they were first counted."""
    return _DOCUMENT.validate_python(document) if document else None


def announce_figures(session: Session, tenant_id: int, segment_id: int) -> None:
    """Let the workers count a segment's figures."""
    announce(session, tenant_id, Work.FIGURES, segment_id)


def is_stale(figures: SegmentFigures | None, version: int, now: datetime) -> bool:
    """Tell whether figures are missing, of an older version, or older than a day."""
    return figures is None or figures.version != version or now - figures.counted_at > FRESH


def refresh_figures(
    database: Database, plugins: Plugins, tenant_id: int, segment_id: int
) -> SegmentFigures | None:
    """Count a segment's figures and store them; None where the segment is gone.

    A segment that was saved meanwhile stays announced, and is counted anew.
    """
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        segment = session.get(Segment, (tenant_id, segment_id))
        figures = _figures(session, segment, plugins, now) if segment else None
        version = _store(session, tenant_id, segment_id, figures) if figures else None
        if figures is None or version in (None, figures.version):
            withdraw(session, tenant_id, Work.FIGURES, segment_id)
    return figures


def _figures(session: Session, segment: Segment, plugins: Plugins, now: datetime) -> SegmentFigures:
    tenant_id, version = segment.tenant_id, segment.version
    try:
        ids = customer_ids(session, tenant_id, segment.tree, now=now, plugins=plugins)
        worth = _worth(session, tenant_id, ids)
        reachable = _reachable(session, segment, plugins, now)
    except (ValidationFailedError, PluginError) as error:
        add_fault(session, tenant_id, error)
        return SegmentFigures(version=version, counted_at=now, problem=_sentence(error))
    return SegmentFigures(version=version, counted_at=now, reachable=reachable, **worth)


def _sentence(error: ValidationFailedError | PluginError) -> str:
    if isinstance(error, ValidationFailedError):
        return " ".join(problem.message for problem in error.problems)
    return str(error)


def _worth(session: Session, tenant_id: int, ids: CustomerIds) -> dict[str, Any]:
    """Count customers and receipts, inside the segment and in all, in one statement."""
    customer, receipt = table(Customer).c, table(Receipt).c
    members = ids.cte("members").prefix_with("MATERIALIZED", dialect="postgresql")
    everybody = select(func.count()).where(customer.tenant_id == tenant_id).scalar_subquery()
    inside = receipt.customer_id.in_(select(members.c[0]))
    bought = (
        select(
            func.coalesce(func.sum(receipt.amount), 0).label("revenue"),
            func.count().filter(inside).label("receipts"),
            func.coalesce(func.sum(receipt.amount).filter(inside), 0).label("total"),
        )
        .where(receipt.tenant_id == tenant_id, ~receipt.cancelled)
        .subquery()
    )
    counted = select(func.count()).select_from(members).scalar_subquery()
    query = select(counted.label("customers"), everybody.label("base"), bought)
    row = session.execute(query).one()
    return {name: int(value) for name, value in row._mapping.items()}


def _reachable(
    session: Session, segment: Segment, plugins: Plugins, now: datetime
) -> dict[str, int]:
    channels = plugins.for_tenant(session, segment.tenant_id).channels
    return {
        name: estimate(
            session.connection(),
            plugins,
            AudienceRequest(
                tenant_id=segment.tenant_id,
                channel=name,
                address_kind=spec.address_kind,
                now=now,
                tree=segment.tree,
            ),
        ).eligible
        for name, spec in sorted(channels.items())
    }


def _store(
    session: Session, tenant_id: int, segment_id: int, figures: SegmentFigures
) -> int | None:
    """Keep the figures and return the version that the segment has by now."""
    row = table(Segment)
    counted = {} if figures.problem else {"last_count": figures.customers}
    version: int | None = session.scalar(
        update(row)
        .where(row.c.tenant_id == tenant_id, row.c.id == segment_id)
        .values(
            figures=_DOCUMENT.dump_python(figures, mode="json"),
            **counted,
            last_counted_at=figures.counted_at,
        )
        .returning(row.c.version)
    )
    return version
