"""The customers behind any number of a report, page by page in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select, true
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.models import MessageState, Run, Stage
from envoi.delivery.people import of_run, people_of
from envoi.delivery.states import OPEN_STATES, RECIPIENT_STATES, RESENT
from envoi.errors import ConflictError, NotFoundError
from envoi.mailings import service
from envoi.receipts.models import Attribution
from envoi.sql import CustomerIds


@dataclass(frozen=True, kw_only=True)
class CustomerOutcome:
    """One customer of a run with what became of their message."""

    customer_id: int
    external_id: str
    first_name: str
    last_name: str
    state: MessageState
    stage: Stage | None
    code: int
    detail: str
    accepted_at: datetime | None
    bounced_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    unsubscribed_at: datetime | None


def outcome_names() -> frozenset[str]:
    """Every name that `customers_of` knows."""
    return frozenset(_CONDITIONS) | {stage.name.lower() for stage in Stage}


def customers_of(
    session: Session,
    tenant_id: int,
    mailing_id: int,
    outcome: str,
    *,
    after: int = 0,
    limit: int = 50,
) -> list[CustomerOutcome]:
    """List the customers behind a number of the report.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        mailing_id: A launched mailing.
        outcome: One of `outcome_names`; raises `NotFoundError` for any other.
        after: The last customer's number of the page before.
        limit: How many at most.
    """
    run = _run(session, tenant_id, mailing_id)
    m, customer = people_of(run).c, table(Customer).c
    query = (
        select(
            m.customer_id,
            customer.external_id,
            customer.first_name,
            customer.last_name,
            m.state,
            m.stage,
            func.coalesce(m.code, 0).label("code"),
            func.coalesce(m.detail, "").label("detail"),
            m.accepted_at,
            m.bounced_at,
            m.opened_at,
            m.clicked_at,
            m.unsubscribed_at,
        )
        .select_from(people_of(run))
        .join(table(Customer), and_(customer.tenant_id == tenant_id, customer.id == m.customer_id))
        .where(of_run(run), _condition(run, outcome), m.customer_id > after)
        .order_by(m.customer_id)
        .limit(limit)
    )
    return [_outcome(row._mapping) for row in session.execute(query)]


def count_of(session: Session, tenant_id: int, mailing_id: int, outcome: str) -> int:
    """Count the customers that `customers_of` lists."""
    run = _run(session, tenant_id, mailing_id)
    query: Select[Any] = select(func.count()).where(of_run(run), _condition(run, outcome))
    return session.scalar(query.select_from(people_of(run))) or 0


def customer_ids_of(session: Session, tenant_id: int, mailing_id: int, outcome: str) -> CustomerIds:
    """Select the numbers of everybody behind an outcome, as a set to work with."""
    run = _run(session, tenant_id, mailing_id)
    ids: CustomerIds = select(people_of(run).c.customer_id).where(
        of_run(run), _condition(run, outcome)
    )
    return ids


def outcome_rows(session: Session, tenant_id: int, mailing_id: int, outcome: str) -> Select[Any]:
    """Select everybody behind an outcome with contacts, state and times, for a file."""
    run = _run(session, tenant_id, mailing_id)
    m, customer = people_of(run).c, table(Customer).c
    personal = ("external_id", "first_name", "last_name", "email", "phone")
    times = ("accepted_at", "bounced_at", "opened_at", "clicked_at", "unsubscribed_at")
    stages = case({int(s): s.name.lower() for s in Stage}, value=m.stage, else_="")
    states = case({int(s): s.name.lower() for s in MessageState}, value=m.state)
    return (
        select(
            *(customer[name] for name in personal),
            states.label("state"),
            stages.label("stage"),
            m.code,
            func.coalesce(m.detail, "").label("detail"),
            *(m[name] for name in times),
        )
        .select_from(people_of(run))
        .join(table(Customer), and_(customer.tenant_id == tenant_id, customer.id == m.customer_id))
        .where(of_run(run), _condition(run, outcome))
        .order_by(m.customer_id)
    )


def _run(session: Session, tenant_id: int, mailing_id: int) -> Run:
    run = service.get_run(session, service.get_mailing(session, tenant_id, mailing_id))
    if run is None:
        raise ConflictError("This mailing has not started, so nobody has an outcome yet.")
    return run


def _outcome(row: Any) -> CustomerOutcome:
    return CustomerOutcome(
        **{
            **row,
            "state": MessageState(row["state"]),
            "stage": Stage(row["stage"]) if row["stage"] else None,
        }
    )


def _condition(run: Run, outcome: str) -> ColumnElement[bool]:
    m = people_of(run).c
    if outcome in _CONDITIONS:
        return _CONDITIONS[outcome](run)
    if outcome.upper() in Stage.__members__:
        stage = Stage[outcome.upper()]
        return and_(m.state == int(MessageState.EXCLUDED), m.stage == int(stage))
    raise NotFoundError(f"There is no outcome {outcome!r}.")


def _in(*states: MessageState) -> Callable[[Run], ColumnElement[bool]]:
    return lambda run: people_of(run).c.state.in_(sorted(states))


def _has(fact: str) -> Callable[[Run], ColumnElement[bool]]:
    recipients = _in(*RECIPIENT_STATES)
    return lambda run: and_(recipients(run), people_of(run).c[fact].is_not(None))


def _accepted(*, bounced: bool) -> Callable[[Run], ColumnElement[bool]]:
    def condition(run: Run) -> ColumnElement[bool]:
        m = people_of(run).c
        fact = m.bounced_at.is_not(None) if bounced else m.bounced_at.is_(None)
        return and_(m.state == int(MessageState.ACCEPTED), fact)

    return condition


def _bought(run: Run) -> ColumnElement[bool]:
    a = table(Attribution).c
    buyers = select(a.customer_id).where(a.tenant_id == run.tenant_id, a.run_id == run.id)
    # `IS TRUE` keeps the list a hash that is asked; as a join it depends on fresh statistics.
    return people_of(run).c.customer_id.in_(buyers).is_(true())


_S = MessageState
_SENT_ONCE_MORE = RECIPIENT_STATES - OPEN_STATES
_CONDITIONS: dict[str, Callable[[Run], ColumnElement[bool]]] = {
    "customers": lambda _run: true(),
    "good": _in(_S.CONTROL, *RECIPIENT_STATES),
    "control": _in(_S.CONTROL),
    "recipients": _in(*RECIPIENT_STATES),
    "sent": _in(_S.ACCEPTED),
    "delivered": _accepted(bounced=False),
    "undelivered": _accepted(bounced=True),
    "opened": _has("opened_at"),
    "clicked": _has("clicked_at"),
    "bought": _bought,
    "unsubscribed": _has("unsubscribed_at"),
    "complained": _has("complained_at"),
    "waiting": _in(_S.READY, _S.CLAIMED),
    "not_sent": _in(*RECIPIENT_STATES - {_S.ACCEPTED, _S.READY, _S.CLAIMED}),
    "failed": _in(_S.FAILED),
    "unconfirmed": _in(_S.UNCONFIRMED),
    "resent": lambda run: and_(people_of(run).c.detail == RESENT, _in(*_SENT_ONCE_MORE)(run)),
    "blocked": _in(_S.BLOCKED),
    "expired": _in(_S.EXPIRED),
    "cancelled": _in(_S.CANCELLED),
}
