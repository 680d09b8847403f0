"""The circuit of a gateway and failing over: asked of real servers, over several processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from envoi.db import Database, table
from envoi.delivery import shares
from envoi.delivery.circuit import BackOff
from envoi.delivery.gateways import Account, get_gateway, set_gateway, store_account
from envoi.delivery.models import Circuit, Message, MessageState, Run, RunStatus, Sender
from envoi.delivery.plan import Plan, Plans
from envoi.delivery.probing import probe_gateway
from envoi.delivery.routes import Route, choose_route, gateway_in_use
from envoi.delivery.runs import get_run, resume_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.delivery.traffic import traffic_of
from envoi.installation import Installation
from envoi.jobs import Work, is_announced
from envoi.plugins import Plugins
from envoi.tenants.models import EnabledPlugin
from factories.customers import customer_ids
from factories.delivery import a_run, a_run_through, an_installation, smtp_gateway, states
from smtp_sink import Script, SmtpSink

BRIEFLY = BackOff(first=0.01)


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path, worker_processes=1)


@contextmanager
def engines(installation: Installation, processes: int = 1) -> Iterator[list[Engine]]:
    """So many sender sessions, which know nothing of each other but the database."""
    with ExitStack() as stack:
        found = []
        for _ in range(processes):
            session = SenderSession(installation.database, installation.settings.data_dir, 4)
            engine = Engine(installation, stack.enter_context(session), BRIEFLY)
            stack.callback(engine.connections.close_idle, 0)
            found.append(engine)
        yield found


def work(senders: list[Engine], tenant_id: int, run: Run, threads: int = 1) -> None:
    """Let every process send by so many threads until nothing is due."""
    started = [
        threading.Thread(target=engine.send_run, args=(tenant_id, run.id, lambda: False))
        for engine in senders
        for _ in range(threads)
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def until_paused(
    installation: Installation, senders: list[Engine], tenant_id: int, run: Run, threads: int = 1
) -> Run:
    """Let time pass until the run is paused."""
    for _ in range(50):
        work(senders, tenant_id, run, threads)
        let_time_pass(installation.database, tenant_id)
        now = course(installation.database, tenant_id, run)
        if now.status == RunStatus.PAUSED:
            return now
    raise AssertionError("it never paused")


def let_time_pass(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        session.execute(update(Circuit).values(next_try_at=func.now()))


def course(database: Database, tenant_id: int, run: Run) -> Run:
    with database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run.id)


def circuit_of(database: Database, tenant_id: int, gateway: int) -> Circuit:
    with database.tenant_session(tenant_id) as session:
        return session.get_one(Circuit, (tenant_id, gateway))


def most_attempts(database: Database, tenant_id: int) -> int:
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        most = session.scalar(select(func.max(c.attempt)).where(c.tenant_id == tenant_id))
    return most or 0


def second_gateway(
    installation: Installation, tenant_id: int, port: int, *, may_stand_in: bool = True
) -> int:
    with installation.database.tenant_session(tenant_id) as session:
        account = Account(
            name="backup",
            provider="smtp",
            values={"host": "127.0.0.1", "port": port, "security": "none"},
            may_stand_in=may_stand_in,
        )
        plugins, settings = installation.plugins, installation.settings
        return store_account(session, plugins, settings, tenant_id, "email", None, account).id


def test_a_silent_gateway_is_probed_and_the_run_goes_on_by_itself(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
        run = a_run(session, tenant_id, gateway, 10)
    with engines(installation) as senders:
        paused = until_paused(installation, senders, tenant_id, run)
        assert paused.waits_for_gateway
        assert str(free_port) in paused.pause_reason
        assert set(states(database, tenant_id, run).values()) == {MessageState.READY}
        pauses = []
        for _ in range(3):
            assert not probe_gateway(installation, tenant_id, gateway, BRIEFLY)
            circuit = circuit_of(database, tenant_id, gateway)
            assert circuit.failed_at
            pauses.append(circuit.next_try_at - circuit.failed_at)
        assert pauses[0] < pauses[1] < pauses[2]
        with SmtpSink(port=free_port) as sink:
            assert probe_gateway(installation, tenant_id, gateway, BRIEFLY)
            assert sink.recipients == []
            assert course(database, tenant_id, run).status == RunStatus.SENDING
            work(senders, tenant_id, run, threads=2)
            assert len(set(sink.recipients)) == len(sink.recipients) == 10
    assert circuit_of(database, tenant_id, gateway).failures == 0
    assert most_attempts(database, tenant_id) == 0
    with database.tenant_session(tenant_id) as session:
        assert not is_announced(session, tenant_id, Work.PROBE, gateway)
        assert traffic_of(session, tenant_id)[gateway].accepted == 10


def test_a_gateway_that_answers_is_not_probed(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
        assert not probe_gateway(installation, tenant_id, gateway)
        assert sink.connections == 0


def test_one_sender_of_all_processes_tries_a_gateway_that_has_failed(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(banner="421 4.3.2 too busy")) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 80, block_size=5)
        with engines(installation, processes=2) as senders:
            paused = until_paused(installation, senders, tenant_id, run, threads=4)
            assert "421 4.3.2 too busy" in paused.pause_reason
            assert sink.connections <= 2 * 4 + 4, "all at first, one at a time after that"
            sink.script = Script()
            assert probe_gateway(installation, tenant_id, gateway, BRIEFLY)
            work(senders, tenant_id, run, threads=4)
            work(senders, tenant_id, run, threads=4)
        assert len(set(sink.recipients)) == len(sink.recipients) == 80
    assert most_attempts(database, tenant_id) == 0


def test_a_gateway_that_refuses_everything_is_no_fault_of_the_messages(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    """Check 18: at most 50 attempts over all processes, none of them burned."""
    with SmtpSink(Script(rules=((".", "554 5.7.1 relay access denied"),))) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 200, block_size=50)
        with engines(installation, processes=2) as senders:
            paused = until_paused(installation, senders, tenant_id, run, threads=2)
            assert "554 5.7.1 relay access denied" in paused.pause_reason
            assert 0 < sink.refusals <= 50
            assert set(states(database, tenant_id, run).values()) == {MessageState.READY}
            sink.script = Script()
            assert probe_gateway(installation, tenant_id, gateway, BRIEFLY)
            work(senders, tenant_id, run)
        assert len(set(sink.recipients)) == len(sink.recipients) == 200
    assert most_attempts(database, tenant_id) == 0


def test_a_gateway_that_never_answers_sends_nobody_copy_after_copy(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    """It takes every message and hangs up, so each would be sent again up to five times."""
    with SmtpSink(Script(rules=((".", "drop_after"),))) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 100, block_size=50)
        with engines(installation, processes=2) as senders:
            paused = until_paused(installation, senders, tenant_id, run, threads=2)
            assert "confirmed none of the last" in paused.pause_reason
            assert 0 < len(sink.recipients) <= 50
            found = set(states(database, tenant_id, run).values())
            assert found == {MessageState.READY}, "what may have arrived waits to be sent again"


def test_unknown_recipients_are_no_fault_of_the_gateway(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(rules=((".", "550 5.1.1 user unknown"),))) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 30)
        with engines(installation) as senders:
            work(senders, tenant_id, run)
    assert set(states(database, tenant_id, run).values()) == {MessageState.FAILED}


def test_another_gateway_stands_in_and_gives_way_again(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with SmtpSink() as backup:
        with database.tenant_session(tenant_id) as session:
            main = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
            run = a_run(session, tenant_id, main, 30, block_size=10)
        second_gateway(installation, tenant_id, backup.port)
        with engines(installation) as senders:
            for _ in range(10):
                work(senders, tenant_id, run)
                let_time_pass(database, tenant_id)
            assert len(set(backup.recipients)) == len(backup.recipients) == 30
            assert course(database, tenant_id, run).status == RunStatus.SENT
            with database.tenant_session(tenant_id) as session:
                in_use = gateway_in_use(session, tenant_id, run.id)
                assert (in_use.name, in_use.instead_of) == ("backup", "test")
                later = a_run(session, tenant_id, main, customer_ids(session, tenant_id)[:3])
            with SmtpSink(port=free_port) as mended:
                assert probe_gateway(installation, tenant_id, main, BRIEFLY)
                work(senders, tenant_id, later)
                assert len(mended.recipients) == 3
            assert len(backup.recipients) == 30


def test_a_gateway_stands_in_only_where_it_may(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with SmtpSink() as reserved:
        with database.tenant_session(tenant_id) as session:
            main = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
            run = a_run(session, tenant_id, main, 5)
        second_gateway(installation, tenant_id, reserved.port, may_stand_in=False)
        with engines(installation) as senders:
            until_paused(installation, senders, tenant_id, run)
        assert reserved.recipients == []


def test_a_mended_gateway_is_used_at_once(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    """The engine keeps its plan and its circuit; changing the gateway is enough."""
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
        run = a_run(session, tenant_id, gateway, 5)
    with engines(installation) as senders:
        until_paused(installation, senders, tenant_id, run)
        with SmtpSink() as sink:
            with database.tenant_session(tenant_id) as session:
                assert smtp_gateway(session, installation, tenant_id, sink.port) == gateway
            work(senders, tenant_id, run)
            assert len(sink.recipients) == 5


def test_a_person_who_resumes_is_obeyed_at_once(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
        run = a_run(session, tenant_id, gateway, 5)
    with engines(installation) as senders:
        until_paused(installation, senders, tenant_id, run)
        for _ in range(2):
            with database.tenant_session(tenant_id) as session:
                resume_run(session, tenant_id, run.id)
            work(senders, tenant_id, run)
            assert course(database, tenant_id, run).status == RunStatus.PAUSED, "it failed again"
        with SmtpSink(port=free_port) as sink:
            with database.tenant_session(tenant_id) as session:
                resume_run(session, tenant_id, run.id)
            work(senders, tenant_id, run)
            assert len(sink.recipients) == 5


def test_whoever_waits_goes_on_when_another_run_has_closed_the_circuit(
    installation: Installation, database: Database, tenant_id: int, free_port: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, free_port, connect_timeout=1)
        resumed = a_run(session, tenant_id, gateway, 3)
        forgotten = a_run(session, tenant_id, gateway, customer_ids(session, tenant_id))
    with engines(installation) as senders:
        for run in (resumed, forgotten):
            until_paused(installation, senders, tenant_id, run)
        with SmtpSink(port=free_port) as sink:
            with database.tenant_session(tenant_id) as session:
                resume_run(session, tenant_id, resumed.id)
            work(senders, tenant_id, resumed)
            assert len(sink.recipients) == 3
            assert not probe_gateway(installation, tenant_id, gateway), "nothing is open"
            assert course(database, tenant_id, forgotten).status == RunStatus.SENDING
            work(senders, tenant_id, forgotten)
            assert len(sink.recipients) == 6


def test_a_wrong_password_opens_the_circuit_at_once(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with SmtpSink(Script(banner="554 5.7.1 you are blocked")) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            run = a_run(session, tenant_id, gateway, 5)
        with engines(installation) as senders:
            work(senders, tenant_id, run)
            work(senders, tenant_id, run)
        assert sink.connections == 1
    assert "you are blocked" in course(database, tenant_id, run).pause_reason
    assert circuit_of(database, tenant_id, gateway).answer == "554 5.7.1 you are blocked"


@pytest.mark.parametrize(("processes", "most"), [(1, 2), (2, 3), (3, 2), (3, 1)])
def test_no_more_connections_than_a_gateway_allows(
    installation: Installation,
    database: Database,
    tenant_id: int,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    most: int,
) -> None:
    monkeypatch.setattr(shares, "SETTLE_SECONDS", 0)
    end_senders(database)
    with SmtpSink(Script(delay_ms=(1, 3))) as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            get_gateway(session, tenant_id, gateway).most_connections = most
            run = a_run(session, tenant_id, gateway, 120, block_size=10)
        with engines(installation, processes) as senders:
            work(senders, tenant_id, run, threads=4)
        assert sink.connections == most or (processes > 1 and sink.connections < most)
        assert len(set(sink.recipients)) == len(sink.recipients) == 120


def end_senders(database: Database) -> None:
    """Other tests may have left sessions behind that seem to live."""
    with database.system_session() as session:
        session.execute(table(Sender).update().values(ended_at=func.now()))


def test_who_has_just_begun_takes_no_connection_before_all_know_of_it(
    installation: Installation,
    database: Database,
    tenant_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end_senders(database)
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, sink.port)
            get_gateway(session, tenant_id, gateway).most_connections = 2
            run = a_run(session, tenant_id, gateway, 20, block_size=10)
        with engines(installation, 2) as (_, second):
            work([second], tenant_id, run)
            assert sink.recipients == []
            monkeypatch.setattr(shares, "SETTLE_SECONDS", 0)
            monkeypatch.setattr(shares, "COUNT_SECONDS", 0)
            with engines(installation, 1) as (third,):
                work([third], tenant_id, run)
                assert sink.recipients == [], "the places are those of the first two"
        with engines(installation, 1) as (alone,):
            work([alone], tenant_id, run)
        assert len(set(sink.recipients)) == len(sink.recipients) == 20


def test_plugins_switched_on_or_off_make_plans_anew(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, smtp_gateway(session, installation, tenant_id, 25), 1)
    plans = Plans(installation)

    def plan() -> Plan:
        with database.tenant_session(tenant_id) as session:
            route = choose_route(session, installation.plugins, tenant_id, run.id)
        assert isinstance(route, Route)
        return plans.get(tenant_id, run.id, route)

    before = plan()
    assert plan() is before
    with database.tenant_session(tenant_id) as session:
        session.add(EnabledPlugin(tenant_id=tenant_id, name="some_partner"))
    assert plan() is not before


def test_the_names_of_gateways_are_their_own(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        first = smtp_gateway(session, installation, tenant_id, 25)
        again = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider="smtp",
            name="test",
            values={"host": "mail.test", "security": "none"},
        )
        assert again.id == first
        assert again.version == 3
