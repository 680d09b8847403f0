"""What limits a gateway while it sends: its rate, those of domains, and a day's allowance."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update

from envoi.db import Database, table
from envoi.delivery.limits import ALL_DOMAINS, Cap, set_limits
from envoi.delivery.models import (
    BlockState,
    GatewayDay,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunKind,
)
from envoi.delivery.quota import DayQuota, taken_on
from envoi.delivery.recipients import PeopleQuery, Wanted
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import ValidationFailedError
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.tenants.models import DueWork
from envoi.types import AddressKind
from factories.customers import customer_ids
from factories.delivery import a_run, an_installation, smtp_gateway, states
from smtp_sink import Script, SmtpSink

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, redis_url: str
) -> Installation:
    return an_installation(database, plugins, tmp_path, redis_url=SecretStr(redis_url))


@contextmanager
def an_engine(installation: Installation, threads: int = 2) -> Iterator[Engine]:
    data_dir = installation.settings.data_dir
    with SenderSession(installation.database, data_dir, threads) as sender:
        engine = Engine(installation, sender)
        yield engine
        engine.connections.close_idle(0)


def send(installation: Installation, run: Run, threads: int = 1, seconds: float = 20) -> None:
    """Send until nothing may leave, or for so long, with so many threads."""
    stop = threading.Event()
    with an_engine(installation, threads) as engine:

        def work() -> None:
            while engine.send_run(run.tenant_id, run.id, stop.is_set, seconds) and seconds >= 20:
                pass

        found = [threading.Thread(target=work) for _ in range(threads)]
        for thread in found:
            thread.start()
        for thread in found:
            thread.join()


def limited(
    installation: Installation, tenant_id: int, port: int, people: int, **limits: Any
) -> Run:
    """A run to so many people through a gateway with these limits."""
    with installation.database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, port)
        set_limits(session, installation.plugins, tenant_id, gateway, limits)
        return a_run(session, tenant_id, gateway, people, block_size=50)


def warming_up(**changes: Any) -> dict[str, Any]:
    today = datetime.now(BERLIN).date().isoformat()
    return {"warmup": {"start": today, "first_day": 30, "growth": 2, **changes}}


def taken(database: Database, run: Run) -> dict[str, int]:
    with database.tenant_connection(run.tenant_id) as connection:
        day = datetime.now(BERLIN).date()
        return taken_on(connection, run.tenant_id, run.gateway_id or 0, day)


def announced_at(database: Database, run: Run) -> datetime:
    c = table(DueWork).c
    query = select(c.due_at).where(c.tenant_id == run.tenant_id, c.ref == run.id, c.kind == "send")
    with database.system_session() as session:
        found: datetime = session.execute(query).scalar_one()
    return found


def midnight() -> datetime:
    tomorrow = datetime.now(BERLIN).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=BERLIN).astimezone(UTC)


def attempts(database: Database, run: Run) -> set[int]:
    c = table(Message).c
    query = select(c.attempt).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_connection(run.tenant_id) as connection:
        return set(connection.scalars(query))


def test_a_slow_gateway_sends_at_its_rate(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 90, per_minute=20 * 60)
        send(installation, run, threads=3)
        moments = sorted(one.at for one in sink.received)
    assert len(moments) == 90
    assert moments[-1] - moments[0] >= 85 / 20
    assert max(sum(a <= b < a + 1 for b in moments) for a in moments) <= 23
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}


def test_a_gateway_that_may_hardly_send_gives_its_place_back(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 60, per_minute=2)
        send(installation, run, threads=2)
        assert len(sink.recipients) == 1
    wait = announced_at(database, run) - datetime.now(UTC)
    assert timedelta(seconds=20) < wait < timedelta(seconds=31)
    assert attempts(database, run) == {0}


def test_a_domain_at_its_limit_holds_nobody_else_up(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 100, domains={"mail3.test": 2})
        for _ in range(3):
            send(installation, run, seconds=1)
        served = Counter(rcpt.partition("@")[2] for rcpt in sink.recipients)
        moments = [one.at for one in sink.received if one.rcpt.endswith("@mail3.test")]
    assert all(served[f"mail{n}.test"] == 10 for n in range(10) if n != 3)
    assert 1 <= served["mail3.test"] < 10, "the rest is for later"
    assert max(sum(a <= b < a + 1 for b in moments) for a in moments) <= 3
    assert attempts(database, run) == {0}


def test_domains_of_the_whole_installation(
    database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path, redis_url: str
) -> None:
    known = {"redis_url": SecretStr(redis_url), "domain_limits": {"mail5.test": 1}}
    installation = an_installation(database, plugins, tmp_path, **known)
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 100)
        send(installation, run, seconds=1)
        served = Counter(rcpt.partition("@")[2] for rcpt in sink.recipients)
    assert served["mail5.test"] <= 3
    assert sum(served.values()) - served["mail5.test"] == 90


def test_warm_up_ends_the_day_and_goes_on_tomorrow(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 120, plugins=warming_up())
        send(installation, run, threads=3)
        assert len(sink.recipients) == len(set(sink.recipients)) == 30
        assert taken(database, run) == {"": 30}
        assert announced_at(database, run) == midnight()
        assert attempts(database, run) == {0}
        send(installation, run, threads=2)
        assert len(sink.recipients) == 30
        _let_a_day_pass(database, run)
        send(installation, run, threads=2)
        assert len(sink.recipients) == len(set(sink.recipients)) == 60, "counted per day"


def test_warm_up_of_a_domain_lets_others_through(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    wanted = warming_up(first_day=1_000, domains={"mail3.test": 4})
    with SmtpSink() as sink:
        run = limited(installation, tenant_id, sink.port, 100, plugins=wanted)
        send(installation, run, threads=2)
        served = Counter(rcpt.partition("@")[2] for rcpt in sink.recipients)
    assert served["mail3.test"] == 4
    assert sum(served.values()) == 94
    assert taken(database, run) == {"": 94, "mail3.test": 4}
    assert announced_at(database, run) == midnight()


def test_what_did_not_leave_is_given_back(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(delay_ms=(40, 40))) as sink:
        run = limited(installation, tenant_id, sink.port, 200, plugins=warming_up(first_day=500))
        send(installation, run, seconds=0.1)
        assert 0 < len(sink.recipients) < 200
        assert taken(database, run) == {"": len(sink.recipients)}


def test_what_is_given_back_after_midnight_is_yesterdays(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, 25)
    quota = DayQuota(tenant_id, gateway, BERLIN, lambda _: {ALL_DOMAINS: Cap(10, "ten")})
    people = PeopleQuery(tenant_id, AddressKind.EMAIL, Wanted())
    now = datetime.now(UTC)
    with database.tenant_connection(tenant_id) as connection:
        quota.after(lambda _connection, _customers: [], people)(connection, [1, 2, 3])
        quota.give_back(connection, ["x.test"], now - timedelta(days=1))
        day = now.astimezone(BERLIN).date()
        assert taken_on(connection, tenant_id, gateway, day) == {ALL_DOMAINS: 3}
        quota.give_back(connection, ["x.test"], now)
        assert taken_on(connection, tenant_id, gateway, day) == {ALL_DOMAINS: 2}


def test_a_test_message_is_no_part_of_the_warm_up(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        limited(installation, tenant_id, sink.port, 2, plugins=warming_up(start="2999-01-01"))
        with database.tenant_session(tenant_id) as session:
            people = customer_ids(session, tenant_id)
            run = a_run(session, tenant_id, None, people, kind=RunKind.TEST)
        send(installation, run)
        assert len(sink.recipients) == 2


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"per_second": 0}, "per_second"),
        ({"per_minute": "many"}, "per_minute"),
        ({"domains": {"gmail": 5}}, "domains"),
        ({"domains": {"gmail.com": -1}}, "domains"),
        ({"plugins": {"warmup": {"start": "soon"}}}, "plugins.warmup.start"),
        ({"plugins": {"unknown": {}}}, "plugins.unknown"),
    ],
)
def test_wrong_limits_are_refused(
    installation: Installation,
    database: Database,
    tenant_id: int,
    limits: dict[str, Any],
    field: str,
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, 25)
        with pytest.raises(ValidationFailedError) as caught:
            set_limits(session, installation.plugins, tenant_id, gateway, limits)
    assert [problem.field for problem in caught.value.problems] == [field]


def _let_a_day_pass(database: Database, run: Run) -> None:
    """What was taken was taken yesterday, and what waits is due."""
    days, block = table(GatewayDay), table(RunBlock)
    yesterday = days.c.day - timedelta(days=1)
    with database.tenant_session(run.tenant_id) as session:
        session.execute(
            update(days).where(days.c.tenant_id == run.tenant_id).values(day=func.date(yesterday))
        )
        session.execute(
            update(block)
            .where(block.c.run_id == run.id, block.c.state == BlockState.READY)
            .values(due_at=func.now())
        )
