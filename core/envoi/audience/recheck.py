"""The row stages asked again at claim, for a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
)

from envoi.audience.clock import clock_parameters
from envoi.audience.request import AudienceRequest, at_step, request_of_run
from envoi.audience.stages import judge_rows
from envoi.audience.window import window_parameters
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.claim import Verdict
from envoi.delivery.models import Message, MessageState, Run, Stage
from envoi.plugins import Plugins
from envoi.policies.rules import bind_rules
from envoi.types import AddressKind, Need

# Starting a parallel worker takes longer than a whole block's re-check.
_ALONE = text("SELECT set_config('max_parallel_workers_per_gather', '0', true)")

_SENT = (MessageState.CLAIMED, MessageState.ACCEPTED, MessageState.UNCONFIRMED)


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


class OncePerAddress:
    """Asks besides whether another customer with the same address gets a later step's message.

    Who has a device each may share a telephone: the addresses of a step are compared when
    somebody begins with it, so those who come to it later are compared here. Of two who wait
    the first in the base is kept, as when the recipients are collected.
    """

    def __init__(self, recheck: Recheck, run: Run, request: AudienceRequest, step: int) -> None:
        self._recheck = recheck
        self._statement = _twins(run, request.address_kind, step)

    def __call__(
        self, connection: Connection, customer_ids: Sequence[int], now: datetime | None = None
    ) -> Sequence[Verdict]:
        verdicts = self._recheck(connection, customer_ids, now)
        left = set(customer_ids) - {verdict.customer_id for verdict in verdicts}
        twins = connection.scalars(self._statement, {"customer_ids": list(left)})
        return [*verdicts, *(Verdict(n, Stage.DUPLICATE_ADDRESS, None, None) for n in twins)]


def recheck_of_run(plugins: Plugins, run: Run, step: int = 1) -> Recheck | OncePerAddress:
    """Return the re-check of a run's step."""
    request = at_step(request_of_run(plugins, run, datetime.now(UTC)), step)
    found = Recheck(plugins, request)
    compares = request.one_per_address and request.address_kind is not AddressKind.PUSH
    return OncePerAddress(found, run, request, step) if compares and step > 1 else found


def _twins(run: Run, kind: AddressKind, step: int) -> Select[Any]:
    """Customers of `customer_ids` whose address gets the step's message for somebody else."""
    customer, twin, m = table(Customer).c, table(Customer).alias("twin").c, table(Message).c
    name = "phone" if kind is AddressKind.PHONE else "email"
    first = and_(m.state == MessageState.READY, twin.id < customer.id)
    other = select(literal(1)).where(
        twin.tenant_id == run.tenant_id,
        twin[name] == customer[name],
        twin.id != customer.id,
        m.tenant_id == run.tenant_id,
        m.run_id == run.id,
        m.launched_on == run.launched_on,
        m.customer_id == twin.id,
        m.step == step,
        or_(m.state.in_(sorted(_SENT)), first),
    )
    only = bindparam("customer_ids", type_=ARRAY(BigInteger))
    mine = (customer.tenant_id == run.tenant_id, customer.id == func.any(only))
    return select(customer.id).where(*mine, other.exists())


def recheck(plugins: Plugins, request: AudienceRequest) -> Select[Any]:
    """Return customer_id, stage, detail, deferred_until of those not to be sent to now.

    Takes the parameters `customer_ids` and `now`. With a null stage the customer is deferred.
    """
    only = bindparam("customer_ids", type_=ARRAY(BigInteger))
    judged = judge_rows(plugins, request, only=only)
    rows = judged.query.subquery("judged").c
    held = or_(rows.stage.is_not(None), rows.deferred_until.is_not(None))
    return select(rows.customer_id, rows.stage, rows.detail, rows.deferred_until).where(held)
