"""Counts while a person edits: about at once, exact after; an older one never goes on beside.

The first answer comes from five thousand customers where the base is large, and has a count
for every condition. All counts of one person run in two lanes, the first ones and the exact
ones, with one statement at a time in each; whoever enters a lane cancels who is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5
from time import monotonic, sleep, time_ns

from sqlalchemy import BigInteger, func, select, text, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.errors import ConflictError
from envoi.plugins import Plugins
from envoi.segments.compile import branch_flags, customer_ids
from envoi.segments.queries import SAMPLE_SIZE
from envoi.segments.rows import ALL_BUCKETS, Buckets
from envoi.segments.tree import Group

PATIENCE = 2.0
"""Seconds that a person waits for the first count of a base that is counted as a whole."""
LONGEST = 120.0
"""Seconds that an exact count may take."""
SAMPLED = 5_000
"""Customers that a sample has, more or less."""
LARGE = 100_000
"""From how many customers on the first count is of a sample."""

_HUNDREDTH: Buckets = (0, 100)
_CANCELLED = "57014"
_FIRST, _EXACT = "first", "exact"
_NEWER = "A newer count has taken the place of this one."
_WAIT = 0.02
# A sample is read by tens of thousands of looks into indexes, whose pages are in memory; and
# somebody who clicks fast gets one core, not all of them.
_NAME = text(
    "SELECT set_config('application_name', :name, true), set_config('jit', 'off', true),"
    " set_config('random_page_cost', '1.1', true),"
    " set_config('max_parallel_workers_per_gather', '0', true),"
    " set_config('statement_timeout', :timeout, true)"
)
_TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:lane, 0))")
_CANCEL = text(
    """
SELECT coalesce(bool_or(number > :mine AND kind = ANY(:above)), false) AS superseded,
    count(CASE WHEN number < :mine AND kind = ANY(:below) AND state = 'active'
        THEN pg_cancel_backend(pid) END) AS cancelled
FROM (
    SELECT pid, state, split_part(application_name, ' ', 3)::bigint AS number,
        split_part(application_name, ' ', 4) AS kind
    FROM pg_stat_activity
    WHERE application_name LIKE 'envoi count %'
        AND split_part(application_name, ' ', 5) = :whose
        AND datname = current_database() AND backend_type = 'client backend'
) AS counting
"""
)


class SupersededError(ConflictError):
    """The same editor has asked for a newer count, so nobody looks at this one."""


class TooLongError(ConflictError):
    """A count was given up because it took too long."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many customers a tree has out of the whole base, and whether that is exact.

    Of a sample the base is about, too. `branches` says the same of every node of the tree by
    its path; `examples` are the ids of ten of its customers. An exact count of a large base
    has neither: the first count had.
    """

    customers: int
    base: int
    exact: bool
    counted_at: datetime
    branches: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Counts of every node by its path, out of the customers that were looked at."""

    base: int
    found: Mapping[str, int]
    examples: tuple[int, ...] = ()


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
    """Count a tree for somebody who is editing it; their older counts are cancelled.

    A large base is counted by a sample; `exact_count` is to be asked for next then.

    Args:
        database: The database; the count has a transaction of its own.
        tenant_id: The tenant.
        tree: What to count.
        editor: Who edits, the same for every count of one person.
        now: The moment that every condition is evaluated at.
        plugins: All plugins.
        patience: Seconds after which a sample is counted instead of a small base.

    Raises:
        SupersededError: A newer count of the same editor has cancelled this one.
        TooLongError: Even the sample took too long.
    """
    lane = _Lane(database, tenant_id, editor, _FIRST)
    buckets = sample_buckets(database, tenant_id)
    if buckets is None:
        try:
            with lane.session(patience) as session:
                return _first(session, tenant_id, tree, now, plugins, None)
        except TooLongError:
            buckets = _HUNDREDTH
    with lane.session(10 * patience) as session:
        return _first(session, tenant_id, tree, now, plugins, buckets)


def exact_count(
    database: Database,
    tenant_id: int,
    tree: Group,
    *,
    editor: str,
    now: datetime,
    plugins: Plugins,
    patience: float = LONGEST,
) -> Count:
    """Count a tree exactly, after `live_count` has answered with a sample.

    Raises:
        SupersededError: The same editor has asked for a newer count of either kind.
        TooLongError: It took more than `patience` seconds.
    """
    with _Lane(database, tenant_id, editor, _EXACT).session(patience) as session:
        customers = count(session, tenant_id, tree, now=now, plugins=plugins)
        base = _base(session, tenant_id)
        return Count(customers=customers, base=base, exact=True, counted_at=now)


def count(session: Session, tenant_id: int, tree: Group, *, now: datetime, plugins: Plugins) -> int:
    """Count a tree exactly, in an open session."""
    ids = customer_ids(session, tenant_id, tree, now=now, plugins=plugins)
    return session.scalar(select(func.count()).select_from(ids.subquery())) or 0


def branch_counts(
    session: Session,
    tenant_id: int,
    tree: Group,
    *,
    now: datetime,
    plugins: Plugins,
    buckets: Buckets | None = None,
) -> Branches:
    """Count every condition and group of a tree in one statement; the root's path is empty.

    Args:
        session: An open session of the tenant.
        tenant_id: The tenant.
        tree: What to count.
        now: The moment that every condition is evaluated at.
        plugins: All plugins.
        buckets: Looks at a sample only; the counts are the sample's then.
    """
    customers, holds = branch_flags(
        session, tenant_id, tree, now=now, plugins=plugins, buckets=buckets
    )
    c = customers.c
    ids = func.array_agg(aggregate_order_by(c.id, c.bucket, c.id)).filter(holds[""])
    counts = [func.count().filter(flag) for flag in holds.values()]
    examples = type_coerce(ids, ARRAY(BigInteger))[1:SAMPLE_SIZE]
    base, found, *counted = session.execute(select(func.count(), examples, *counts)).one()
    return Branches(
        base=base, found=dict(zip(holds, counted, strict=True)), examples=tuple(found or ())
    )


def _first(
    session: Session,
    tenant_id: int,
    tree: Group,
    now: datetime,
    plugins: Plugins,
    buckets: Buckets | None,
) -> Count:
    """Scale a sample by its share of the buckets; counting a large base takes its time too."""
    seen = branch_counts(session, tenant_id, tree, now=now, plugins=plugins, buckets=buckets)
    first, end = buckets or (0, ALL_BUCKETS)
    base, *found = (
        round(number * ALL_BUCKETS / (end - first)) for number in (seen.base, *seen.found.values())
    )
    branches = dict(zip(seen.found, found, strict=True))
    return Count(
        customers=branches[""],
        base=base,
        exact=buckets is None,
        counted_at=now,
        branches=branches,
        examples=seen.examples,
    )


def sample_buckets(database: Database, tenant_id: int) -> Buckets | None:
    """The buckets of about `SAMPLED` customers; None where the whole base is not large."""
    with database.tenant_session(tenant_id) as session:
        base = _base(session, tenant_id, _HUNDREDTH) * ALL_BUCKETS // _HUNDREDTH[1]
    return (0, max(1, ALL_BUCKETS * SAMPLED // base)) if base >= LARGE else None


@contextmanager
def counting(
    database: Database, tenant_id: int, editor: str, *, exact: bool, patience: float = LONGEST
) -> Iterator[Session]:
    """Open a transaction for another count of the same person, in the lane of its kind.

    Raises:
        SupersededError: The same editor has asked for a newer count.
        TooLongError: It took more than `patience` seconds.
    """
    with _Lane(database, tenant_id, editor, _EXACT if exact else _FIRST).session(patience) as s:
        yield s


def _base(session: Session, tenant_id: int, buckets: Buckets = (0, ALL_BUCKETS)) -> int:
    customer = table(Customer).c
    first, end = buckets
    query = select(func.count()).where(
        customer.tenant_id == tenant_id, customer.bucket >= first, customer.bucket < end
    )
    return session.scalar(query) or 0


@dataclass(frozen=True)
class _Lane:
    """Where one person's counts of a kind run one after the other, the newest at once."""

    database: Database
    tenant_id: int
    editor: str
    kind: str
    number: int = field(default_factory=time_ns)
    """The moment at which the count was asked for: who is newer."""

    @contextmanager
    def session(self, patience: float) -> Iterator[Session]:
        """Open a transaction that others of this person can cancel, and that ends by itself."""
        started = monotonic()
        try:
            with self.database.tenant_session(self.tenant_id) as session:
                self._enter(session, round(patience * 1000))
                self._cancel_older()
                yield session
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _CANCELLED:
                raise
            if monotonic() - started < patience:
                raise SupersededError(_NEWER) from error
            raise TooLongError("Counting took too long. Make the conditions simpler.") from error

    def _enter(self, session: Session, milliseconds: int) -> None:
        """Say who is coming, then cancel whoever is inside until they have left."""
        name = f"envoi count {self.number} {self.kind} {self._whose}"
        session.execute(_NAME, {"name": name, "timeout": f"{milliseconds}ms"})
        while not session.scalar(_TRY, {"lane": f"envoi count {self.kind} {self._whose}"}):
            self._cancel_older()
            sleep(_WAIT)

    def _cancel_older(self) -> None:
        """Cancel older counts as the owner: the role of tenants may not."""
        first = self.kind == _FIRST
        asked = {
            "whose": self._whose,
            "mine": self.number,
            "below": [_FIRST, _EXACT] if first else [_EXACT],
            "above": [_FIRST] if first else [_FIRST, _EXACT],
        }
        with self.database.system_session() as session:
            if session.execute(_CANCEL, asked).one().superseded:
                raise SupersededError(_NEWER)

    @property
    def _whose(self) -> str:
        """A short name of the person: PostgreSQL keeps 63 characters of an application's."""
        return md5(f"{self.tenant_id}/{self.editor}".encode(), usedforsecurity=False).hexdigest()[
            :16
        ]
