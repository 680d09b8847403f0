"""The sending window and the limit per minute act: at collection, at claim, after a pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, select, update

from envoi.audience.collection import collect
from envoi.audience.recheck import recheck_of_run
from envoi.audience.window import COMPANY, CUSTOMER, OUTSIDE_WINDOW, SendingWindow
from envoi.db import Database, table
from envoi.delivery.blocks import BlockKey, new_block
from envoi.delivery.claim import claim_block
from envoi.delivery.models import BlockState, Message, MessageState, Run, RunBlock, RunKind
from envoi.delivery.pace import pace_of
from envoi.delivery.runs import RunSettings, VariantContent, create_run, pause_run, resume_run
from envoi.plugins import Plugins
from factories.customers import make_customers
from factories.delivery import states

DAY = 24 * 60
BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
PEOPLE = 30


def minute_of(moment: datetime, zone: ZoneInfo) -> int:
    local = moment.astimezone(zone)
    return local.hour * 60 + local.minute


def window_in(hours: int, zone: ZoneInfo = BERLIN, by: str = COMPANY) -> SendingWindow:
    """A window of two hours that opens in so many hours by a clock."""
    start = (minute_of(datetime.now(UTC), zone) + 60 * hours) % DAY
    return SendingWindow(start, (start + 120) % DAY, by)


def make_run(database: Database, tenant_id: int, **settings: Any) -> Run:
    frozen = RunSettings(variants=[VariantContent(number=1, content={})], **settings)
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, PEOPLE // 2)
        make_customers(session, tenant_id, PEOPLE // 2, first=PEOPLE, zone="Asia/Kathmandu")
        return create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel="email",
            gateway_id=None,
            settings=frozen,
            now=datetime.now(UTC),
        )


def of_window(window: SendingWindow) -> dict[str, Any]:
    zone = {"window_zone": window.zone}
    return {"window_from": window.start, "window_until": window.end, **zone}


def messages(database: Database, run: Run) -> list[Any]:
    c = table(Message).c
    query = select(table(Message)).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_connection(run.tenant_id) as connection:
        return list(connection.execute(query.order_by(c.customer_id)))


def blocks(connection: Connection, run: Run) -> list[Any]:
    c = table(RunBlock).c
    query = select(table(RunBlock)).where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    return list(connection.execute(query.order_by(c.due_at, c.number)))


def busiest_minute(found: list[Any]) -> int:
    """How many messages fall due within any sixty seconds."""
    due = [block for block in found if block.state == BlockState.READY]
    minute = timedelta(minutes=1)
    return max(
        sum(int(b.size) for b in due if first.due_at <= b.due_at < first.due_at + minute)
        for first in due
    )


def test_outside_the_companys_window_everybody_waits_for_it(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    window = window_in(3)
    run = make_run(database, tenant_id, **of_window(window))
    volume = collect(database, plugins, tenant_id, run.id)
    assert volume is not None
    assert volume.deferred == volume.recipients == PEOPLE
    for row in messages(database, run):
        assert row.detail == OUTSIDE_WINDOW
        assert minute_of(row.due_at, BERLIN) == window.start
    with database.tenant_connection(tenant_id) as connection:
        assert claim_block(connection, tenant_id, run.id, 1, lambda *_: ()) is None


def test_by_the_customers_own_clock(database: Database, plugins: Plugins, tenant_id: int) -> None:
    window = window_in(-1, KATHMANDU, CUSTOMER)
    run = make_run(database, tenant_id, **of_window(window))
    assert collect(database, plugins, tenant_id, run.id) is not None
    rows = messages(database, run)
    now = datetime.now(UTC)
    waiting = [row for row in rows if row.due_at > now]
    assert len(waiting) == PEOPLE // 2, "in Berlin, the zone of all others, it is another hour"
    assert all(minute_of(row.due_at, BERLIN) == window.start for row in waiting)


def test_what_waits_beyond_the_lifetime_expires(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    run = make_run(database, tenant_id, lifetime_minutes=60, **of_window(window_in(3)))
    assert collect(database, plugins, tenant_id, run.id) is not None
    assert {row.due_at for row in messages(database, run)} == {run.expires_at}
    c = table(Run).c
    with database.tenant_connection(tenant_id) as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(update(table(Run)).where(c.id == run.id).values(expires_at=past))
        connection.execute(update(table(RunBlock)).values(due_at=past))
        claimed = claim_block(connection, tenant_id, run.id, 1, lambda *_: ())
        assert claimed is not None
        assert not claimed.messages
    assert set(states(database, tenant_id, run).values()) == {MessageState.EXPIRED}


def test_a_window_that_closes_meanwhile_is_asked_at_claim(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    window = window_in(-1)
    run = make_run(database, tenant_id, **of_window(window))
    assert collect(database, plugins, tenant_id, run.id) is not None
    ids = [row.customer_id for row in messages(database, run)]
    asked = recheck_of_run(plugins, run)
    later = datetime.now(UTC) + timedelta(hours=2)
    with database.tenant_connection(tenant_id) as connection:
        assert list(asked(connection, ids)) == []
        verdicts = asked(connection, ids, later)
    assert len(verdicts) == PEOPLE
    for verdict in verdicts:
        assert (verdict.stage, verdict.detail) == (None, OUTSIDE_WINDOW)
        assert verdict.deferred_until is not None
        assert minute_of(verdict.deferred_until, BERLIN) == window.start


@pytest.mark.parametrize("limit", [1, 7, 12, 1_000])
def test_no_minute_has_more_than_the_limit(
    database: Database, plugins: Plugins, tenant_id: int, limit: int
) -> None:
    run = make_run(database, tenant_id, limit_per_minute=limit)
    assert collect(database, plugins, tenant_id, run.id) is not None
    with database.tenant_connection(tenant_id) as connection:
        found = blocks(connection, run)
    assert sum(block.size for block in found) == PEOPLE
    assert busiest_minute(found) <= limit
    took = found[-1].due_at - found[0].due_at
    assert took <= timedelta(minutes=2 * PEOPLE / limit), "and it is not much slower than it"


def test_what_is_sent_later_keeps_the_limit(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    """Ten messages retried at the same moment, in the midst of those that wait."""
    run = make_run(database, tenant_id, limit_per_minute=6)
    assert collect(database, plugins, tenant_id, run.id) is not None
    key = BlockKey(tenant_id, run.id, 0, run.launched_on)
    with database.tenant_connection(tenant_id) as connection:
        soon = blocks(connection, run)[0].due_at + timedelta(seconds=70)
        for _ in range(10):
            new_block(connection, key, 1, soon)
        assert busiest_minute(blocks(connection, run)) <= 6


def test_after_a_pause_the_rest_is_spread_anew(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    run = make_run(database, tenant_id, limit_per_minute=6)
    assert collect(database, plugins, tenant_id, run.id) is not None
    with database.tenant_session(tenant_id) as session:
        pause_run(session, tenant_id, run.id, "Lunch")
        # An hour passes: everything has fallen due.
        shifted = table(RunBlock).c.due_at - timedelta(hours=1)
        session.execute(update(table(RunBlock)).values(due_at=shifted))
    with database.tenant_session(tenant_id) as session:
        resume_run(session, tenant_id, run.id)
    with database.tenant_connection(tenant_id) as connection:
        found = blocks(connection, run)
    assert found[0].due_at <= datetime.now(UTC)
    assert busiest_minute(found) <= 6


def test_senders_that_come_back_after_an_hour_keep_the_limit(
    database: Database, plugins: Plugins, tenant_id: int
) -> None:
    run = make_run(database, tenant_id, limit_per_minute=6)
    assert collect(database, plugins, tenant_id, run.id) is not None
    pace = pace_of(6, 250)
    with database.tenant_session(tenant_id) as session:
        shifted = table(RunBlock).c.due_at - timedelta(hours=1)
        session.execute(update(table(RunBlock)).values(due_at=shifted))
    taken = []
    for _ in range(3):
        with database.tenant_connection(tenant_id) as connection:
            taken.append(claim_block(connection, tenant_id, run.id, 1, lambda *_: (), pace))
    assert [claim is not None for claim in taken] == [True, False, False]
    with database.tenant_connection(tenant_id) as connection:
        waiting = [b for b in blocks(connection, run) if b.state == BlockState.READY]
    assert len(waiting) == PEOPLE - 1
    assert waiting[0].due_at > datetime.now(UTC)
    assert busiest_minute(waiting) <= 6


def test_a_pace_keeps_its_limit_whatever_the_block_size() -> None:
    for limit in (1, 5, 6, 7, 59, 250, 1_200, 100_000):
        for size in (1, 3, 250, 500):
            pace = pace_of(limit, size)
            assert pace is not None
            assert pace.size <= size
            assert limit / 2 <= pace.per_minute <= limit
    assert pace_of(None, 250) is None
