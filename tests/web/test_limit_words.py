"""Pages say which limit slows a mailing down, and how long it takes because of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from desk import Desk
from envoi.db import Database
from envoi.delivery.limits import set_limits
from envoi.delivery.models import GatewayDay, Run, RunStatus
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from ledger_rows import add_run


def today() -> date:
    return datetime.now(ZoneInfo("Europe/Berlin")).date()


def limit(
    database: Database, found: Plugins, tenant_id: int, gateway_id: int, **limits: Any
) -> None:
    with database.tenant_session(tenant_id) as session:
        set_limits(session, found, tenant_id, gateway_id, limits)


def warm_up(first_day: int) -> dict[str, Any]:
    return {"warmup": {"start": today().isoformat(), "first_day": first_day, "growth": 2}}


def take(database: Database, tenant_id: int, gateway_id: int, count: int) -> None:
    with database.tenant_session(tenant_id) as session:
        session.add(
            GatewayDay(
                tenant_id=tenant_id, gateway_id=gateway_id, day=today(), domain="", taken=count
            )
        )


def when(desk: Desk, draft: int) -> str:
    return desk.get(f"/mailings/{draft}/when").words.replace("\xa0", " ")


@pytest.fixture
def running(database: Database, tenant_id: int, gateway_id: int) -> str:
    """The address of a mailing that is being sent through the gateway."""
    made = add_run(database, tenant_id, launched_at=datetime.now(UTC) - timedelta(minutes=10))
    with database.tenant_session(tenant_id) as session:
        run = session.get(Run, (tenant_id, made.run_id))
        assert run is not None
        run.status, run.finished_at, run.gateway_id = RunStatus.SENDING, None, gateway_id
    return f"/mailings/{made.mailing_id}/progress"


def test_without_a_limit_nothing_is_said(desk: Desk, draft: int, gateway_id: int) -> None:
    assert "this takes about" not in when(desk, draft)


def test_the_gateways_rate_makes_the_estimate(
    desk: Desk, database: Database, plugins: Plugins, tenant_id: int, draft: int, gateway_id: int
) -> None:
    limit(database, plugins, tenant_id, gateway_id, per_second=0.0025)
    said = "At 0.002 a second of the gateway this takes about 4 h 20 min."
    assert said in when(desk, draft)


def test_the_slower_limit_counts(
    desk: Desk, database: Database, plugins: Plugins, tenant_id: int, draft: int, gateway_id: int
) -> None:
    limit(database, plugins, tenant_id, gateway_id, per_second=50)
    assert "At 50 a second of the gateway this takes about 1 min." in when(desk, draft)
    with database.tenant_session(tenant_id) as session:
        mailing = session.get(Mailing, (tenant_id, draft))
        assert mailing is not None
        mailing.limit_per_minute = 1
    assert "At 1 a minute this takes about 39 min." in when(desk, draft)


def test_a_warm_up_spreads_it_over_days(
    desk: Desk, database: Database, plugins: Plugins, tenant_id: int, draft: int, gateway_id: int
) -> None:
    limit(database, plugins, tenant_id, gateway_id, plugins=warm_up(10))
    take(database, tenant_id, gateway_id, 4)
    shown = when(desk, draft)
    last = today() + timedelta(days=2)
    assert f"Warm-up: 6 leave on the first day, the last on {last.day} " in shown


def test_a_running_mailing_says_what_slows_it_down(
    desk: Desk,
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    gateway_id: int,
    running: str,
) -> None:
    limit(database, plugins, tenant_id, gateway_id, per_minute=600, plugins=warm_up(400))
    take(database, tenant_id, gateway_id, 120)
    shown = desk.get(running).words.replace("\xa0", " ")
    assert "All mailings together: at most 10 a second." in shown
    assert "Warm-up: 120 of 400 today." in shown


def test_a_day_that_is_used_up_goes_on_tomorrow(
    desk: Desk,
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    gateway_id: int,
    running: str,
) -> None:
    limit(database, plugins, tenant_id, gateway_id, plugins=warm_up(400))
    take(database, tenant_id, gateway_id, 400)
    shown = desk.get(running).words.replace("\xa0", " ")
    assert "Warm-up: 400 of 400 have left today; it goes on at " in shown
    assert ", 00:00 CE" in shown
