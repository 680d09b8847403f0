"""The row stages asked again at claim, for a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Connection, Select, bindparam, or_, select, text

from envoi.audience.clock import clock_parameters
from envoi.audience.request import AudienceRequest, at_step, request_of_run
from envoi.audience.stages import judge_rows
from envoi.audience.window import window_parameters
from envoi.delivery.claim import Verdict
from envoi.delivery.models import Run
from envoi.plugins import Plugins
from envoi.policies.rules import bind_rules
from envoi.types import Need

# Starting a parallel worker takes longer than a whole block's re-check.
_ALONE = text("SELECT set_config('max_parallel_workers_per_gather', '0', true)")


class Recheck:
    """Asks about some customers of one run; build it once and use it for every block.

    Calling it returns a verdict for each customer who is not to be sent to now. Only earlier
    reservations count against a cap, so that two runs never stop each other.
    """

    def __init__(self, plugins: Plugins, request: AudienceRequest) -> None:
        self.statement = recheck(plugins, request)
        self.window = request.window
        rules = bind_rules(plugins, request.rules)
        self.clocked = any(n.need == Need.ZONE_CLOCK for rule in rules for n in rule.needs)

    def __call__(
        self, connection: Connection, customer_ids: Sequence[int], now: datetime | None = None
    ) -> Sequence[Verdict]:
        now = now or datetime.now(UTC)
        parameters = {"customer_ids": list(customer_ids), "now": now}
        if self.clocked:
            parameters |= clock_parameters(now)
        if self.window is not None:
            parameters |= window_parameters(self.window, now)
        connection.execute(_ALONE)
        rows = connection.execute(self.statement, parameters)
        return [Verdict(*row) for row in rows]


def recheck_of_run(plugins: Plugins, run: Run, step: int = 1) -> Recheck:
    """Return the re-check of a run's step."""
    request = request_of_run(plugins, run, datetime.now(UTC))
    return Recheck(plugins, at_step(request, step))


def recheck(plugins: Plugins, request: AudienceRequest) -> Select[Any]:
    """Return customer_id, stage, detail, deferred_until of those not to be sent to now.

    Takes the parameters `customer_ids` and `now`. With a null stage the customer is deferred.
    """
    only = bindparam("customer_ids", type_=ARRAY(BigInteger))
    judged = judge_rows(plugins, request, only=only)
    rows = judged.query.subquery("judged").c
    held = or_(rows.stage.is_not(None), rows.deferred_until.is_not(None))
    return select(rows.customer_id, rows.stage, rows.detail, rows.deferred_until).where(held)
