"""Lift: how many more bought than would have without the mailing, by the control group.

Everybody who was assigned counts, opened or not, received or not, with every purchase in one
window that both groups share: from the launch on, as long as the attribution window is. This
is not attribution, which counts purchases that followed an open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from envoi.delivery.models import MessageState, Run
from envoi.mailings.statistics import (
    SMALLEST_GROUP,
    Difference,
    Mean,
    compare_means,
    compare_shares,
    ratio_of_sums,
)
from envoi.tenants.service import company_zone, tenant_settings

WITHOUT_ATTRIBUTION = 14
"""Days of the window where a mailing attributes nothing."""

# Added up instead of joined, so that no plan depends on what the statistics of a month that has
# just begun say of its messages; a nested loop took a minute for 14,000 customers.
_GROUPS = text(
    """
    SELECT control, count(*) AS customers, count(*) FILTER (WHERE receipts > 0) AS buyers,
        sum(receipts)::bigint AS receipts, sum(revenue)::bigint AS revenue,
        coalesce(var_samp(revenue), 0) AS revenue_variance,
        coalesce(var_samp(receipts), 0) AS receipts_variance,
        coalesce(covar_samp(revenue, receipts), 0) AS covariance
    FROM (
        SELECT bool_or(control) AS control, count(amount)::float8 AS receipts,
            coalesce(sum(amount::float8), 0) AS revenue
        FROM (
            SELECT customer_id, state = :control AS control, CAST(NULL AS bigint) AS amount
            FROM message
            WHERE tenant_id = :tenant AND run_id = :run AND launched_on = :day AND NOT follows
                AND state <> :excluded
            UNION ALL
            SELECT customer_id, NULL, amount FROM receipt
            WHERE tenant_id = :tenant AND at >= :since AND at < :until AND NOT cancelled
        ) AS row_of_either
        GROUP BY customer_id HAVING bool_or(control) IS NOT NULL
    ) AS customer
    GROUP BY control
    """
)


class Verdict(StrEnum):
    """What can be said about the mailing's effect on buying."""

    NO_CONTROL = "no_control"
    TOO_FEW = "too_few"
    MORE = "more"
    FEWER = "fewer"
    NOT_SIGNIFICANT = "not_significant"


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the customers of one group bought in the window; money in minor units."""

    customers: int = 0
    buyers: int = 0
    receipts: int = 0
    revenue: int = 0
    revenue_variance: float = 0.0
    receipts_variance: float = 0.0
    covariance: float = 0.0

    @property
    def conversion(self) -> float | None:
        """Buyers among the customers; None for an empty group."""
        return self.buyers / self.customers if self.customers else None

    @property
    def average_receipt(self) -> float | None:
        """Revenue per receipt."""
        return self.revenue / self.receipts if self.receipts else None

    @property
    def revenue_per_customer(self) -> float | None:
        """Revenue per customer, whether they bought or not."""
        return self.revenue / self.customers if self.customers else None


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Main group beside control group; no differences where a group is too small for rates."""

    since: datetime
    until: datetime
    is_open: bool
    main: Group
    control: Group
    verdict: Verdict
    conversion: Difference | None = None
    average_receipt: Difference | None = None
    revenue_per_customer: Difference | None = None

    @property
    def expected_revenue(self) -> float | None:
        """What the main group would have brought with the control group's revenue."""
        per_customer = self.control.revenue_per_customer
        return None if per_customer is None else per_customer * self.main.customers

    @property
    def revenue(self) -> Difference | None:
        """The whole main group's revenue against what was to be expected."""
        each, count = self.revenue_per_customer, self.main.customers
        if each is None:
            return None
        return Difference(
            value=each.value * count, low=each.low * count, high=each.high * count, p=each.p
        )


@dataclass(frozen=True)
class _Compared:
    verdict: Verdict
    differences: dict[str, Difference] = field(default_factory=dict)


def lift_of(session: Session, run: Run, now: datetime) -> Lift:
    """Compare the groups of a run over their shared window, as far as it has gone."""
    until = _window_end(session, run)
    groups = _groups(session, run.tenant_id, run.id, run.launched_on, run.created_at, until)
    main, control = groups.get(False, Group()), groups.get(True, Group())
    compared = _compare(main, control)
    return Lift(
        since=run.created_at,
        until=until,
        is_open=now < until,
        main=main,
        control=control,
        verdict=compared.verdict,
        **compared.differences,
    )


def _window_end(session: Session, run: Run) -> datetime:
    """Return when the window of both groups ends: with the range of dates, or after the days."""
    if last := run.settings.get("attribution_until"):
        zone = company_zone(tenant_settings(session, run.tenant_id))
        end = datetime.combine(date.fromisoformat(last) + timedelta(days=1), time(), zone)
        return max(end.astimezone(UTC), run.created_at)
    days = int(run.settings.get("attribution_days") or WITHOUT_ATTRIBUTION)
    return run.created_at + timedelta(days=days)


def _groups(
    session: Session, tenant_id: int, run_id: int, day: date, since: datetime, until: datetime
) -> dict[bool, Group]:
    values: dict[str, Any] = {
        "tenant": tenant_id,
        "run": run_id,
        "day": day,
        "since": since,
        "until": until,
        "control": int(MessageState.CONTROL),
        "excluded": int(MessageState.EXCLUDED),
    }
    rows = [dict(row._mapping) for row in session.execute(_GROUPS, values)]
    return {row.pop("control"): Group(**row) for row in rows}


def _compare(main: Group, control: Group) -> _Compared:
    if not control.customers:
        return _Compared(Verdict.NO_CONTROL)
    if min(main.customers, control.customers) < SMALLEST_GROUP:
        return _Compared(Verdict.TOO_FEW)
    conversion = compare_shares(main.buyers, main.customers, control.buyers, control.customers)
    differences = {
        "conversion": conversion,
        "revenue_per_customer": compare_means(_per_customer(main), _per_customer(control)),
    }
    if main.receipts and control.receipts:
        differences["average_receipt"] = compare_means(_per_receipt(main), _per_receipt(control))
    if not conversion.is_significant:
        return _Compared(Verdict.NOT_SIGNIFICANT, differences)
    return _Compared(Verdict.MORE if conversion.value > 0 else Verdict.FEWER, differences)


def _per_customer(group: Group) -> Mean:
    mean = group.revenue / group.customers
    return Mean(count=group.customers, mean=mean, variance=group.revenue_variance)


def _per_receipt(group: Group) -> Mean:
    return ratio_of_sums(
        group.customers,
        (group.revenue, group.receipts),
        (group.revenue_variance, group.receipts_variance),
        group.covariance,
    )
