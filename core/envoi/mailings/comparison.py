"""The variants of a run side by side, and whether the one that is clicked most is the better one.

Variants are compared with each other, not with the control group. With more than two, the one
ahead is the best of several draws; the interval is widened for as many comparisons as there
are pairs (Bonferroni), so that 95 % stays 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.delivery.models import MessageState, Run
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import RECIPIENT_STATES
from envoi.mailings.headline import headline
from envoi.mailings.statistics import SMALLEST_GROUP, Difference, compare_shares
from envoi.receipts.models import Attribution

Sales = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class VariantFigures:
    """What became of a variant's messages; money in minor units."""

    number: int
    subject: str
    recipients: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    receipts: int = 0
    amount: int = 0

    @property
    def has_rates(self) -> bool:
        """Whether enough was delivered for rates to say something."""
        return self.delivered >= SMALLEST_GROUP

    @property
    def click_rate(self) -> float:
        """Customers who clicked, of those delivered to."""
        return self.clicked / self.delivered if self.delivered else 0.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All variants, and the two clicked most with their difference where it can be told."""

    variants: tuple[VariantFigures, ...]
    best: int | None = None
    second: int | None = None
    clicks: Difference | None = None


def comparison_of(session: Session, run: Run) -> Comparison:
    """Count a run's variants by the people who opened and clicked; empty where there is one."""
    contents = run.settings.get("variants") or []
    if len(contents) < 2:
        return Comparison(variants=())
    counted, sales = _counted(session, run), _sales(session, run)
    variants = tuple(
        VariantFigures(
            number=one["number"],
            subject=headline(one["content"]),
            receipts=sales.get(one["number"], (0, 0))[0],
            amount=sales.get(one["number"], (0, 0))[1],
            **counted.get(one["number"], {}),
        )
        for one in contents
    )
    return compare_variants(variants)


def compare_variants(variants: tuple[VariantFigures, ...]) -> Comparison:
    """Set the two that are clicked most against each other."""
    if len(variants) < 2 or not all(variant.has_rates for variant in variants):
        return Comparison(variants=variants)
    best, second, *_rest = sorted(variants, key=lambda v: (-v.click_rate, v.number))
    pairs = len(variants) * (len(variants) - 1) // 2
    clicks = compare_shares(
        best.clicked, best.delivered, second.clicked, second.delivered, comparisons=pairs
    )
    return Comparison(variants=variants, best=best.number, second=second.number, clicks=clicks)


def _counted(session: Session, run: Run) -> dict[int, dict[str, int]]:
    m = people_of(run).c
    delivered = (m.state == int(MessageState.ACCEPTED), m.bounced_at.is_(None))
    query = (
        select(
            m.variant,
            func.count().label("recipients"),
            func.count().filter(*delivered).label("delivered"),
            func.count(m.opened_at).label("opened"),
            func.count(m.clicked_at).label("clicked"),
        )
        .where(of_run(run), m.state.in_(sorted(RECIPIENT_STATES)))
        .group_by(m.variant)
    )
    rows = [dict(row) for row in session.execute(query).mappings()]
    return {row.pop("variant") or 1: row for row in rows}


def _sales(session: Session, run: Run) -> dict[int, Sales]:
    a = table(Attribution).c
    query = (
        select(a.variant, func.count().label("receipts"), func.sum(a.amount).label("amount"))
        .where(a.tenant_id == run.tenant_id, a.run_id == run.id)
        .group_by(a.variant)
    )
    return {row.variant: (row.receipts, int(row.amount)) for row in session.execute(query)}
