"""reports: 10,000 status webhooks, and again three times over, shuffled and partly too early."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import quantiles

from sqlalchemy import func, select, text

from bench import mailing
from bench.figures import Figure, at_most, info
from bench.load import load
from bench.stage import Stage, open_run
from bench.tracking import served_tracking
from envoi.db import table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, Run
from envoi.delivery.runs import RunSettings
from envoi.feedback.models import Inbound, WaitingReport
from envoi.feedback.reports import match_waiting
from envoi.feedback.webhook import PATH, make_webhook
from envoi.tracking.tokens import signer_of

REPORTS, TIMES = 10_000, 3
EARLY = 20
"""Of so many messages one is written down only after all its reports have come."""

COURSES = (("delivered", "read"), ("failed", "delivered"), ("read",), ("failed",), ("delivered",))
"""What is reported of a message, by its number; *read* comes without *delivered* as well."""

_PROVIDER = {
    "url": "https://sms.test/send",
    "report_proof": "query",
    "report_secret": "told only to the provider",
    "report_words": {"delivered": "delivered", "read": "read", "failed": "failed"},
}
_MESSAGES = text(
    "INSERT INTO message (tenant_id, run_id, launched_on, customer_id, step, state, variant,"
    " accepted_at) SELECT :tenant, :run, :day, i, 1, 5, 1, now() - interval '1 hour'"
    " FROM generate_series(1, :count) AS i"
)
_SUBMISSIONS = text(
    "INSERT INTO submission (tenant_id, gateway_id, provider_id, run_id, customer_id, step, number,"
    " launched_on, state) SELECT :tenant, :gateway, :run || '-' || i, :run, i, 1, 1, :day, 3"
    " FROM generate_series(1, :count) AS i WHERE (i % :early = 0) = :late"
)


def run(stage: Stage, reports: int = REPORTS) -> list[Figure]:
    """Report in order of one run and in disorder of another, and compare what became of them."""
    people = reports * len(COURSES) // sum(map(len, COURSES))
    tenant_id = stage.tenant()
    gateway_id, address = _gateway(stage, tenant_id)
    ordered, shuffled = (_sent_run(stage, tenant_id, people) for _ in range(2))
    _submit(stage, ordered, gateway_id, people, late=False)
    _submit(stage, ordered, gateway_id, people, late=True)
    _submit(stage, shuffled, gateway_id, people, late=False)
    mailing.settle(stage)
    storm = TIMES * _paths(address, shuffled, people)
    random.Random(7).shuffle(storm)
    with served_tracking(stage) as (port, _):
        in_order = load(port, _paths(address, ordered, people), connections=1)
        done = load(port, storm)
    assert in_order.refused + done.refused == 0
    _submit(stage, shuffled, gateway_id, people, late=True)
    while match_waiting(stage.database, tenant_id, gateway_id):
        pass
    kept = _count(stage, tenant_id, Inbound)
    return [
        at_most("reports.p95_ms", 1e3 * quantiles(done.waits, n=20)[-1], "ms", 100),
        info("reports.rate", done.rate, "reports/s"),
        info("reports.in_order", in_order.rate, "reports/s"),
        at_most("reports.differences", _differences(stage, ordered, shuffled), "messages", 0),
        at_most("reports.kept_twice", kept - 2 * len(storm) // TIMES, "reports", 0),
        at_most("reports.waiting", _count(stage, tenant_id, WaitingReport), "reports", 0),
    ]


def _gateway(stage: Stage, tenant_id: int) -> tuple[int, str]:
    """A gateway, and the address to report to with what proves it."""
    site = stage.installation
    with stage.database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            site.plugins,
            site.settings,
            tenant_id,
            channel="sms",
            provider="http_sms",
            name="Reseller",
            values=_PROVIDER,
        )
        key = make_webhook(session, signer_of(site.settings), tenant_id, gateway.id).key
    return gateway.id, f"{PATH}{key}?secret=told%20only%20to%20the%20provider"


def _sent_run(stage: Stage, tenant_id: int, people: int) -> Run:
    with stage.database.tenant_session(tenant_id) as session:
        run = open_run(session, tenant_id, RunSettings(variants=[]))
        run.channel = "sms"
        fixed = {"tenant": tenant_id, "run": run.id, "day": run.launched_on, "count": people}
        session.execute(_MESSAGES, fixed)
    return run


def _submit(stage: Stage, run: Run, gateway_id: int, people: int, *, late: bool) -> None:
    fixed = {"tenant": run.tenant_id, "run": run.id, "day": run.launched_on, "count": people}
    more = {"gateway": gateway_id, "early": EARLY, "late": late}
    with stage.database.tenant_session(run.tenant_id) as session:
        session.execute(_SUBMISSIONS, fixed | more)


def _paths(address: str, run: Run, people: int) -> list[str]:
    return [
        f"{address}&id={run.id}-{person}&status={word}"
        for person in range(1, people + 1)
        for word in COURSES[person % len(COURSES)]
    ]


def _differences(stage: Stage, ordered: Run, shuffled: Run) -> int:
    """How many messages ended otherwise; the moments are those at which reports came."""
    pairs = zip(_facts(stage, ordered), _facts(stage, shuffled), strict=True)
    return sum(one != other for one, other in pairs)


def _facts(stage: Stage, run: Run) -> Sequence[tuple[object, ...]]:
    m = table(Message).c
    facts = [fact.is_not(None) for fact in (m.delivered_at, m.bounced_at, m.opened_at)]
    query = select(m.customer_id, m.state, *facts).where(
        m.tenant_id == run.tenant_id, m.run_id == run.id, m.launched_on == run.launched_on
    )
    with stage.database.tenant_session(run.tenant_id) as session:
        return [tuple(row) for row in session.execute(query.order_by(m.customer_id))]


def _count(stage: Stage, tenant_id: int, model: type[Inbound | WaitingReport]) -> int:
    query = select(func.count()).where(table(model).c.tenant_id == tenant_id)
    with stage.database.tenant_session(tenant_id) as session:
        return session.scalar(query) or 0
