"""How many of a segment would get a mailing, and why the others would not, in one statement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    and_,
    literal,
    select,
    true,
)
from sqlalchemy.orm import Session

from envoi.audience.outcomes import Outcomes, drawn, has_control, outcomes
from envoi.audience.request import AudienceRequest
from envoi.audience.stages import judge_rows, segment_of
from envoi.audience.statement import run_statement
from envoi.audience.volume import Line, Stratum, Volume, account, tally
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import Stage
from envoi.errors import NotFoundError
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.segments.rows import ALL_BUCKETS, Buckets

SEGMENT = "segment"
CONTROL = "control"
RECIPIENTS = "recipients"
ELIGIBLE = "eligible"
DEFERRED = "deferred"


@dataclass(frozen=True)
class Answer:
    """One customer's outcome: a stage's name, `control`, `recipients` or `deferred`.

    A deferred customer is a recipient whose turn comes at `deferred_until`.
    """

    customer_id: int
    outcome: str
    stage: Stage | None
    detail: str | None
    deferred_until: datetime | None


@dataclass(frozen=True)
class Share:
    """A value of a characteristic in both groups, its shares in per cent of each."""

    code: int
    recipients: int
    control: int
    recipients_share: float
    control_share: float

    @property
    def difference(self) -> float:
        """How many percentage points more of the recipients have the value."""
        return self.recipients_share - self.control_share


def estimate(connection: Connection, plugins: Plugins, request: AudienceRequest) -> Volume:
    """Count every stage exactly as a collection at this moment would."""
    return _counted(connection, plugins, request, _found(connection, plugins, request))


def about(
    connection: Connection, plugins: Plugins, request: AudienceRequest, buckets: Buckets
) -> Volume:
    """Count the stages of a sample and scale them: for a large base, while the rest is counted.

    Customers who share an address are among the others here.

    Args:
        connection: An open connection of the tenant.
        plugins: All plugins.
        request: What eligibility depends on.
        buckets: The sample: the first bucket and the one after the last, of 10,000.
    """
    ids = literal(_sampled(connection, plugins, request, buckets), ARRAY(BigInteger))
    found = outcomes(judge_rows(plugins, request, only=ids, sample=True), request)
    first, end = buckets
    volume = _counted(connection, plugins, request, found)
    return volume.scaled(ALL_BUCKETS / (end - first), request.shares)


def _sampled(
    connection: Connection, plugins: Plugins, request: AudienceRequest, buckets: Buckets
) -> list[int]:
    if request.tree is None:
        c = table(Customer).c
        first, end = buckets
        mine = (c.tenant_id == request.tenant_id, c.bucket >= first, c.bucket < end)
        return list(connection.scalars(select(c.id).where(*mine)))
    ids = customer_ids(
        Session(bind=connection),
        request.tenant_id,
        request.tree,
        now=request.now,
        plugins=plugins,
        buckets=buckets,
    )
    return list(connection.scalars(ids))


def _counted(
    connection: Connection, plugins: Plugins, request: AudienceRequest, found: Outcomes
) -> Volume:
    # Who is deferred depends on who exactly is drawn, and so does a control group of named
    # customers; the sizes of all others follow from the strata.
    needs_draw = request.control_audience_id is not None or (
        found.may_defer and has_control(request)
    )
    rows = drawn(found, request) if needs_draw else found.rows
    return account(run_statement(connection, plugins, request, tally(rows)), request)


def customers_behind(
    connection: Connection,
    plugins: Plugins,
    request: AudienceRequest,
    outcome: str,
    *,
    detail: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[Answer]:
    """List the customers of one outcome in the order of their numbers.

    Args:
        outcome: A stage's name in lower case, `eligible`, `control`, `recipients`, `deferred`,
            or `segment` for everybody.
        detail: Only those with this detail of the stage.
        after: The last number of the page before.
    """
    rows = drawn(_found(connection, plugins, request), request)
    query = select(rows).where(_is(rows, outcome), rows.c.customer_id > after)
    if detail is not None:
        query = query.where(rows.c.detail == detail)
    query = query.order_by(rows.c.customer_id).limit(limit)
    return [_answer(row) for row in run_statement(connection, plugins, request, query)]


def why(
    connection: Connection, plugins: Plugins, request: AudienceRequest, customer_id: int
) -> Answer | None:
    """Say what would become of one customer now; None for one outside the segment."""
    rows = drawn(_found(connection, plugins, request), request)
    query = select(rows).where(rows.c.customer_id == customer_id)
    return next(map(_answer, run_statement(connection, plugins, request, query)), None)


def balance(volume: Volume, place: int) -> list[Share]:
    """Compare recipients and control group by the characteristic at a place among the strata."""
    eligible: Counter[int] = Counter()
    control: Counter[int] = Counter()
    for stratum in volume.strata:
        eligible[stratum.codes[place]] += stratum.eligible
        control[stratum.codes[place]] += stratum.control
    return [
        Share(
            code=code,
            recipients=eligible[code] - control[code],
            control=control[code],
            recipients_share=100 * (eligible[code] - control[code]) / (volume.recipients or 1),
            control_share=100 * control[code] / (volume.control or 1),
        )
        for code in sorted(eligible)
    ]


def _found(connection: Connection, plugins: Plugins, request: AudienceRequest) -> Outcomes:
    segment = segment_of(connection, plugins, request)
    return outcomes(judge_rows(plugins, request, segment=segment), request)


def _is(rows: CTE, outcome: str) -> ColumnElement[bool]:
    eligible = rows.c.stage.is_(None)
    recipient = and_(eligible, ~rows.c.control)
    if outcome == SEGMENT:
        return true()
    if outcome == ELIGIBLE:
        return eligible
    if outcome == CONTROL:
        return and_(eligible, rows.c.control)
    if outcome == RECIPIENTS:
        return recipient
    if outcome == DEFERRED:
        return and_(recipient, rows.c.deferred_until.is_not(None))
    if outcome.upper() not in Stage.__members__:
        raise NotFoundError(f"There is no line {outcome!r} in the volume.")
    condition: ColumnElement[bool] = rows.c.stage == Stage[outcome.upper()].value
    return condition


def _answer(row: Row[Any]) -> Answer:
    stage = None if row.stage is None else Stage(row.stage)
    if stage is not None:
        return Answer(row.customer_id, stage.name.lower(), stage, row.detail, None)
    if row.control:
        return Answer(row.customer_id, CONTROL, None, None, None)
    outcome = RECIPIENTS if row.deferred_until is None else DEFERRED
    return Answer(row.customer_id, outcome, None, row.detail, row.deferred_until)


__all__ = [
    "CONTROL",
    "DEFERRED",
    "ELIGIBLE",
    "RECIPIENTS",
    "SEGMENT",
    "Answer",
    "Line",
    "Share",
    "Stratum",
    "Volume",
    "balance",
    "customers_behind",
    "estimate",
    "why",
]
