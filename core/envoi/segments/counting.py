"""Counts while a person edits: exact within two seconds, else about, never two at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.errors import ConflictError
from envoi.plugins import Plugins
from envoi.segments.compile import Buckets, customer_ids
from envoi.segments.queries import SAMPLE_SIZE, SampledCustomer, sample_of, sampled_customers
from envoi.segments.tree import Group

PATIENCE = 2.0
"""Seconds that a person waits for an exact count."""
SAMPLE: Buckets = (0, 100)
"""One customer in a hundred."""
_CANCELLED = "57014"


class SupersededError(ConflictError):
    """The same editor has asked for a newer count, so nobody looks at this one."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many customers a tree has out of the whole base, and whether that is exact."""

    customers: int
    base: int
    exact: bool
    counted_at: datetime


def count(session: Session, tenant_id: int, tree: Group, *, now: datetime, plugins: Plugins) -> int:
    """Count a tree exactly, in an open session."""
    return _count(session, tenant_id, tree, now, plugins, None)


def live_count(
    database: Database,
    tenant_id: int,
    tree: Group,
    *,
    editor: str,
    now: datetime,
    plugins: Plugins,
    patience: float = PATIENCE,
) -> Count:
    """Count a tree for somebody who is editing it; their older count is cancelled.

    Args:
        database: The database; the count has a transaction of its own.
        tenant_id: The tenant.
        tree: What to count.
        editor: Who edits what, the same for every count of one open builder.
        now: The moment that every condition is evaluated at.
        plugins: All plugins.
        patience: Seconds after which one customer in a hundred is counted instead.

    Raises:
        SupersededError: A newer count of the same editor has cancelled this one.
    """
    name = f"envoi count {tenant_id}/{editor}"[:63]
    _cancel(database, name)
    started = monotonic()
    try:
        with _named(database, tenant_id, name, patience) as session:
            customers = count(session, tenant_id, tree, now=now, plugins=plugins)
            base = _base(session, tenant_id)
            return Count(customers=customers, base=base, exact=True, counted_at=now)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", "") != _CANCELLED:
            raise
        if monotonic() - started < patience:
            raise SupersededError("A newer count has taken the place of this one.") from error
    with _named(database, tenant_id, name, 10 * patience) as session:
        return _about(session, tenant_id, tree, now, plugins)


def sample(
    session: Session,
    tenant_id: int,
    tree: Group,
    *,
    now: datetime,
    plugins: Plugins,
    whole: bool = True,
) -> list[SampledCustomer]:
    """Show up to ten customers of a tree, out of a hundredth of the base where that has ten.

    Args:
        session: An open session of the tenant.
        tenant_id: The tenant.
        tree: Whose customers to show.
        now: The moment that every condition is evaluated at.
        plugins: All plugins.
        whole: False keeps to the hundredth, for trees that take long.
    """
    found: list[int] = []
    for buckets in (SAMPLE, None) if whole else (SAMPLE,):
        ids = customer_ids(session, tenant_id, tree, now=now, plugins=plugins, buckets=buckets)
        found = sample_of(session, tenant_id, ids)
        if len(found) == SAMPLE_SIZE:
            break
    return sampled_customers(session, tenant_id, found)


def _count(
    session: Session,
    tenant_id: int,
    tree: Group,
    now: datetime,
    plugins: Plugins,
    buckets: Buckets | None,
) -> int:
    ids = customer_ids(session, tenant_id, tree, now=now, plugins=plugins, buckets=buckets)
    return session.scalar(select(func.count()).select_from(ids.subquery())) or 0


def _about(session: Session, tenant_id: int, tree: Group, now: datetime, plugins: Plugins) -> Count:
    """Scale the sample by the base, which is counted, not by its nominal share."""
    found = _count(session, tenant_id, tree, now, plugins, SAMPLE)
    base, sampled = _base(session, tenant_id), _base(session, tenant_id, SAMPLE)
    customers = round(found * base / sampled) if sampled else 0
    return Count(customers=customers, base=base, exact=False, counted_at=now)


def _base(session: Session, tenant_id: int, buckets: Buckets = (0, 10_000)) -> int:
    customer = table(Customer).c
    first, end = buckets
    query = select(func.count()).where(
        customer.tenant_id == tenant_id, customer.bucket >= first, customer.bucket < end
    )
    return session.scalar(query) or 0


@contextmanager
def _named(database: Database, tenant_id: int, name: str, patience: float) -> Iterator[Session]:
    """A transaction that `_cancel` finds, and that ends by itself."""
    with database.tenant_session(tenant_id) as session:
        session.execute(
            text(
                "SELECT set_config('application_name', :name, true),"
                " set_config('statement_timeout', :timeout, true)"
            ),
            {"name": name, "timeout": f"{round(patience * 1000)}ms"},
        )
        yield session


def _cancel(database: Database, name: str) -> None:
    """Cancel the running counts of this name, as the owner: the role of tenants may not."""
    with database.system_session() as session:
        session.execute(
            text(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = :name"
                " AND datname = current_database() AND backend_type = 'client backend'"
                " AND state = 'active'"
            ),
            {"name": name},
        )
