"""Counts of runs that are being sent: shared for two seconds, equal to the ledger at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from envoi.db import Database
from envoi.delivery import glimpses
from envoi.delivery.glimpses import KEPT_SECONDS, glimpse
from envoi.delivery.models import MessageState, Run
from envoi.delivery.runs import progress
from envoi.mailings.live import live_figures
from envoi.plugins import Plugins
from ledger_rows import LedgerRun, add_customers, add_messages, add_run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves on; counting takes no time unless the count moves it."""
    now = [1_000_000.0]
    monkeypatch.setattr(glimpses, "monotonic", lambda: now[0])
    return now


def looked(database: Database, run: LedgerRun, clock: list[float], took: float) -> int:
    """How many rows a look shows that takes so long to count."""

    with database.tenant_session(run.tenant_id) as session:

        def count() -> int:
            clock[0] += took
            return progress(session, run.tenant_id, run.run_id).recipients

        return glimpse(session, ("rows", run.tenant_id, run.run_id), count)


def test_what_is_slow_to_count_is_never_older_than_two_seconds(
    database: Database, tenant_id: int, clock: list[float]
) -> None:
    run = add_run(database, tenant_id)
    add_messages(database, run, add_customers(database, tenant_id, 3))
    assert looked(database, run, clock, took=0.5) == 3
    add_messages(database, run, add_customers(database, tenant_id, 2))
    clock[0] += KEPT_SECONDS - 0.6
    assert looked(database, run, clock, took=0.5) == 3
    clock[0] += 0.2
    assert looked(database, run, clock, took=0.5) == 5


def test_what_is_quick_to_count_is_never_kept(
    database: Database, tenant_id: int, clock: list[float]
) -> None:
    run = add_run(database, tenant_id)
    for expected in (1, 2):
        add_messages(database, run, add_customers(database, tenant_id, 1))
        assert looked(database, run, clock, took=0.01) == expected


def test_of_many_who_look_one_counts(
    database: Database, tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glimpses, "QUICK_SECONDS", 0.0)
    counted: list[int] = []

    def count() -> int:
        counted.append(1)
        return len(counted)

    def look(_number: int) -> int:
        with database.tenant_session(tenant_id) as session:
            return glimpse(session, ("once", tenant_id), count)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(look, range(8))) == {1}


def test_the_end_is_the_ledgers(
    database: Database, plugins: Plugins, tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glimpses, "QUICK_SECONDS", 0.0)
    run = add_run(database, tenant_id)
    customers = add_customers(database, tenant_id, 9)
    add_messages(database, run, customers[:4])
    assert figures(database, plugins, run) == (4, 4)
    with database.tenant_session(tenant_id) as session:
        found = session.get(Run, (tenant_id, run.run_id))
        assert found is not None
        found.finished_at = datetime.now(UTC)
    add_messages(database, run, customers[4:], state=MessageState.FAILED, accepted_at=None)
    assert figures(database, plugins, run) == (9, 4)


def figures(database: Database, plugins: Plugins, run: LedgerRun) -> tuple[int, int]:
    with database.tenant_session(run.tenant_id) as session:
        found = session.get(Run, (run.tenant_id, run.run_id))
        assert found is not None
        counted = live_figures(session, plugins, found, datetime.now(UTC)).progress
        ledger = progress(session, run.tenant_id, run.run_id)
        assert counted == ledger
    return counted.recipients, counted.accepted
