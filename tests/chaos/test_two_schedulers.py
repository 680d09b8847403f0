"""Two schedulers, one of them killed: every mailing that is due starts once and in time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from chaos.processes import SCHEDULER, start
from chaos.starting import confirmed_mailings, runs_of
from envoi.db import Database
from envoi.installation import open_installation
from envoi.jobs import MOST_HINTS, Work, hint
from envoi.settings import Settings
from envoi.tenants.service import create_tenant
from processes import wait_until

pytestmark = pytest.mark.usefixtures("only_ours")

MAILINGS = 30
BEFORE = datetime.now(UTC)
LATEST_SECONDS = 15


def test_each_mailing_starts_once_and_in_time(
    database: Database, tenant_id: int, settings: Settings
) -> None:
    queues = ((SCHEDULER,), (SCHEDULER,), ("quick",), ("quick",))
    processes = [start(settings, mine, 2) for mine in queues]
    try:
        first = create_tenant(database, slug="first", name="First").id
        confirmed_mailings(database, first, 1, BEFORE)
        wait_until(lambda: bool(runs_of(database, first)), seconds=60, what="the first start")
        starts_at = datetime.now(UTC) + timedelta(seconds=2)
        confirmed_mailings(database, tenant_id, MAILINGS, starts_at)
        random.choice(processes[:2]).kill()
        wait_until(
            lambda: len(runs_of(database, tenant_id)) >= MAILINGS, seconds=60, what="all starts"
        )
    finally:
        for process in processes:
            process.kill()
            process.join()
    rows = runs_of(database, tenant_id)
    assert len(rows) == len({row.mailing_id for row in rows}) == MAILINGS
    delays = sorted((row.created_at - starts_at).total_seconds() for row in rows)
    assert delays[0] >= 0, "none before its time"
    assert delays[int(0.99 * MAILINGS) - 1] <= LATEST_SECONDS, delays[-5:]


def test_however_often_a_button_is_pressed_few_hints_wait(
    settings: Settings,
) -> None:
    installation = open_installation(settings)
    assert installation.broker is not None
    installation.broker.flush("bulk")
    given = [hint(installation.broker, Work.AUDIENCE, 1, 1) for _ in range(MOST_HINTS * 2)]
    assert 0 < sum(given) <= MOST_HINTS
    assert not given[-1]
    assert installation.broker is not None
    installation.broker.flush("bulk")
    installation.database.engine.dispose()
