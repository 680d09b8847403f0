"""What a policy would have done last month, and quiet hours at every customer's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text, update

from envoi.audience.estimate import DEFERRED, estimate, why
from envoi.audience.request import AudienceRequest
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.models import MessageState, Run, Stage
from envoi.errors import PluginError
from envoi.plugins import Plugins
from envoi.policies.dry_run import dry_run
from envoi.tenants.models import TimeZone
from envoi.types import AddressKind
from factories.customers import make_customers
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_run

ONE_A_WEEK = {"kind": "frequency_cap", "settings": {"most": 1, "period": 1, "unit": "week"}}
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


def sent(database: Database, tenant_id: int, days_ago: int, customers: list[int]) -> LedgerRun:
    """A mailing that reached these customers so many days ago."""
    at = NOW - timedelta(days=days_ago)
    run = add_run(database, tenant_id, launched_at=at)
    add_messages(database, run, customers, accepted_at=at + timedelta(minutes=1))
    volume = {"recipients": len(customers)}
    with database.tenant_session(tenant_id) as session:
        mine = (table(Run).c.tenant_id == tenant_id, table(Run).c.id == run.run_id)
        session.execute(update(table(Run)).where(*mine).values(collected_at=at, volume=volume))
    return run


def test_each_mailing_is_judged_by_what_had_left_before_it(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    people = add_customers(database, tenant_id, 10)
    sent(database, tenant_id, 40, people)
    first = sent(database, tenant_id, 20, people[:6])
    second = sent(database, tenant_id, 17, people[3:])
    sent(database, tenant_id, 5, people[:2])
    with database.tenant_session(tenant_id) as session:
        found = dry_run(session, plugins, tenant_id, [ONE_A_WEEK], NOW)
    assert [(m.messages, m.blocked) for m in found.mailings] == [(2, 0), (7, 3), (6, 0)]
    assert found.mailings[1].mailing_id == second.mailing_id
    assert found.mailings[2].mailing_id == first.mailing_id
    assert found.mailings[1].reasons == {"frequency_cap": 3}
    assert (found.messages, found.blocked, found.deferred, found.exact) == (15, 3, 0, True)


def test_what_would_come_later_is_counted_apart(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    people = add_customers(database, tenant_id, 4)
    sent(database, tenant_id, 3, people)
    sent(database, tenant_id, 2, people[:3])
    later = ONE_A_WEEK | {"settings": {**ONE_A_WEEK["settings"], "over_limit": "defer"}}  # type: ignore[dict-item]
    with database.tenant_session(tenant_id) as session:
        found = dry_run(session, plugins, tenant_id, [later], NOW)
    assert [(m.blocked, m.deferred) for m in found.mailings] == [(0, 3), (0, 0)]


def test_what_was_never_sent_is_not_asked(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    people = add_customers(database, tenant_id, 3)
    run = sent(database, tenant_id, 2, people[:1])
    add_messages(database, run, people[1:], state=MessageState.EXCLUDED, accepted_at=None)
    with database.tenant_session(tenant_id) as session:
        found = dry_run(session, plugins, tenant_id, [], NOW)
    assert [(m.messages, m.blocked) for m in found.mailings] == [(1, 0)]


def test_a_rule_without_its_plugin_says_so(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    sent(database, tenant_id, 2, add_customers(database, tenant_id, 1))
    with (
        pytest.raises(PluginError, match="not installed or not enabled"),
        database.tenant_session(tenant_id) as session,
    ):
        dry_run(session, plugins, tenant_id, [{"kind": "gone", "settings": {}}], NOW)


def quiet_request(tenant_id: int, now: datetime, **settings: str) -> AudienceRequest:
    rule: dict[str, Any] = {"kind": "quiet_hours", "settings": settings}
    return AudienceRequest(
        tenant_id=tenant_id,
        channel="email",
        address_kind=AddressKind.EMAIL,
        now=now,
        rules=(rule,),
    )


def in_zones(database: Database, tenant_id: int) -> dict[int, str]:
    """One customer in each zone and one whose zone is unknown; the company is in Berlin."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session.connection(), tenant_id, len(ZONES) + 1)
        numbers = dict(session.execute(select(table(TimeZone).c.name, table(TimeZone).c.id)).all())
        ids = list(session.scalars(select(table(Customer).c.id).order_by(table(Customer).c.id)))
        for customer, zone in zip(ids, ZONES, strict=False):
            c = table(Customer).c
            mine = (c.tenant_id == tenant_id, c.id == customer)
            session.execute(update(table(Customer)).where(*mine).values(zone_id=numbers[zone]))
        session.execute(
            text("UPDATE customer SET zone_id = NULL WHERE tenant_id = :t AND id = :id"),
            {"t": tenant_id, "id": ids[-1]},
        )
    return dict(zip(ids, (*ZONES, "Europe/Berlin"), strict=True))


@pytest.mark.parametrize(("begin", "end"), [("22:00", "08:00"), ("12:00", "14:30")])
def test_it_is_quiet_by_each_customers_own_clock(
    database: Database, plugins: Plugins, tenant_id: int, begin: str, end: str
) -> None:
    zones = in_zones(database, tenant_id)
    first, last = time.fromisoformat(begin), time.fromisoformat(end)
    for hour in range(0, 24, 3):
        now = datetime(2026, 3, 10, hour, 10, tzinfo=UTC)
        request = quiet_request(tenant_id, now, begin=begin, end=end)
        for customer, zone in zones.items():
            local = now.astimezone(ZoneInfo(zone))
            inside = (
                first <= local.time() < last
                if first < last
                else local.time() >= first or local.time() < last
            )
            with database.tenant_session(tenant_id) as session:
                answer = why(session.connection(), plugins, request, customer)
            assert answer is not None
            assert (answer.outcome == DEFERRED) is inside, (now, zone)
            if inside:
                assert answer.deferred_until is not None
                until = answer.deferred_until.astimezone(ZoneInfo(zone))
                # Deferred messages share blocks by the quarter of an hour.
                assert timedelta() <= until - now < timedelta(hours=11)
                assert until.time() >= last
                assert (until - timedelta(minutes=15)).time() <= last


def test_quiet_hours_may_drop(database: Database, plugins: Plugins, tenant_id: int) -> None:
    in_zones(database, tenant_id)
    now = datetime(2026, 3, 10, 11, 30, tzinfo=UTC)
    request = quiet_request(tenant_id, now, begin="12:00", end="13:00", in_quiet="drop")
    with database.tenant_session(tenant_id) as session:
        volume = estimate(session.connection(), plugins, request)
    assert volume.excluded(Stage.POLICY) == 2
