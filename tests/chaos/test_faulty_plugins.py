"""A plugin that hangs, ends its process or crashes it pauses its own mailing and harms no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from envoi.db import Database
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import MessageState, Run, RunKind, RunStatus
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run
from envoi.installation import Installation
from envoi.jobs import Work, announce
from envoi.operations.plugin_errors import faults_of, lately
from envoi.plugins import Plugins, load_plugins
from envoi.settings import Settings
from envoi.tenants.plugins import switch_plugin
from envoi.tenants.service import create_tenant
from factories.customers import make_customers
from factories.delivery import a_run, a_run_through, email_content, is_sent, states
from factories.workers import Workers
from processes import wait_until
from smtp_sink import SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

PLUGIN = Path(__file__).parents[1] / "fixtures" / "faulty_plugin"
BLOCK, THREADS = 10, 3


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Those that are installed, the faulty one among them."""
    monkeypatch.syspath_prepend(PLUGIN)
    return load_plugins()


@pytest.fixture
def other_tenant(database: Database) -> int:
    """A company that has nothing to do with the plugin."""
    return create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id


@contextmanager
def worker(settings: Settings, queue: str = "send") -> Iterator[Workers]:
    """One process that knows the plugin."""
    log = settings.data_dir / "worker.log"
    impatient = settings.model_copy(update={"plugin_seconds": 2})
    found = Workers(impatient, 1, THREADS, (queue,), log=log, plugins=PLUGIN)
    found.start()
    try:
        yield found
    finally:
        found.end()
        print(log.read_text()[-6000:])  # noqa: T201 (pytest shows it when a test fails)


def wait_for(workers: Workers, holds: Callable[[], bool], what: str) -> None:
    """Wait as a supervisor does: with a new process for one that has ended."""

    def looked() -> bool:
        workers.start()
        return holds()

    wait_until(looked, seconds=40, what=what)


def a_faulty_run(installation: Installation, tenant_id: int, fault: str, at: int) -> Run:
    with installation.database.tenant_session(tenant_id) as session:
        switch_plugin(session, installation.plugins, tenant_id, "faulty", on=True)
        taken = str(installation.settings.data_dir / "taken")
        gateway = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider="faulty",
            name="faulty",
            values={"fault": fault, "at": at, "taken": taken},
        )
        return a_run(session, tenant_id, gateway.id, 30, block_size=BLOCK)


def paused(database: Database, run: Run) -> Run | None:
    with database.tenant_session(run.tenant_id) as session:
        found = get_run(session, run.tenant_id, run.id)
        return found if found.status == RunStatus.PAUSED else None


def is_settled(database: Database, run: Run) -> bool:
    """Whether nobody holds a message of a run any more, dead or alive."""
    return MessageState.CLAIMED not in states(database, run.tenant_id, run).values()


@pytest.mark.parametrize(
    ("fault", "at", "said"),
    [
        ("exit", 4, "called os._exit(7)"),
        ("crash", 4, "crashed: Segmentation fault"),
        ("hang", 0, "did not answer in"),
        ("hang", 4, "did not answer in"),
    ],
)
def test_a_provider_stops_its_own_mailing_alone(
    installation: Installation,
    settings: Settings,
    tenant_id: int,
    other_tenant: int,
    fault: str,
    at: int,
    said: str,
) -> None:
    database = installation.database
    with SmtpSink() as sink:
        bad = a_faulty_run(installation, tenant_id, fault, at)
        good = a_run_through(installation, other_tenant, sink.port, 200, block_size=BLOCK)
        with worker(settings) as workers:
            wait_for(workers, lambda: bool(paused(database, bad)), "the pause")
            wait_for(workers, lambda: is_sent(database, good), "the other mailing")
            wait_for(workers, lambda: is_settled(database, bad), "the reconciler")
        assert len(set(sink.recipients)) == 200
        assert len(sink.recipients) <= 200 + THREADS, "again is only what was on the wire"
    stopped = paused(database, bad)
    assert stopped is not None
    assert stopped.pause_reason.startswith(f"Plugin faulty: provider faulty {said}")
    found = list(states(database, tenant_id, bad).values())
    assert found.count(MessageState.UNCONFIRMED) <= THREADS
    taken = settings.data_dir / "taken"
    sent = taken.read_text().splitlines() if taken.exists() else []
    assert len(sent) == len(set(sent)), "nothing left twice"
    with database.tenant_session(tenant_id) as session:
        (fault_row,) = faults_of(session, tenant_id, "faulty")
        assert fault_row.place == "provider faulty"
        assert lately(session, tenant_id) == {"faulty": 1}


@pytest.mark.parametrize("fault", ["exit", "hang"])
def test_a_macro_stops_its_own_mailing_before_a_byte_leaves(
    installation: Installation, settings: Settings, tenant_id: int, other_tenant: int, fault: str
) -> None:
    database = installation.database
    with SmtpSink() as sink, SmtpSink() as other:
        with database.tenant_session(tenant_id) as session:
            switch_plugin(session, installation.plugins, tenant_id, "faulty", on=True)
        content = email_content(f'<p>{{{{ faulty_code("{fault}") }}}}</p>')
        bad = a_run_through(installation, tenant_id, sink.port, 20, content=content)
        good = a_run_through(installation, other_tenant, other.port, 100, block_size=BLOCK)
        with worker(settings) as workers:
            wait_for(workers, lambda: bool(paused(database, bad)), "the pause")
            wait_for(workers, lambda: is_sent(database, good), "the other mailing")
        assert sink.recipients == []
        assert len(other.recipients) == len(set(other.recipients))
    stopped = paused(database, bad)
    assert stopped is not None
    assert stopped.pause_reason.startswith("Plugin faulty: macro faulty_code ")
    assert set(states(database, tenant_id, bad).values()) == {MessageState.READY}


@pytest.mark.parametrize("fault", ["exit", "hang"])
def test_a_rule_stops_its_own_audience_and_no_other(
    installation: Installation, settings: Settings, tenant_id: int, fault: str
) -> None:
    """It hangs with the run's row locked, so that only the end of its process frees that."""
    database = installation.database
    with database.tenant_session(tenant_id) as session:
        switch_plugin(session, installation.plugins, tenant_id, "faulty", on=True)
        make_customers(session, tenant_id, 10)
        rule = {"kind": "faulty_rule", "settings": {"fault": fault}}
        bad, good = (a_collecting_run(session, tenant_id, rules) for rules in ([rule], []))
    with worker(settings, "bulk") as workers:
        wait_for(workers, lambda: bool(paused(database, bad)), "the pause")
        wait_for(workers, lambda: is_collected(database, good), "the other audience")
    stopped = paused(database, bad)
    assert stopped is not None
    assert stopped.pause_reason.startswith("Plugin faulty: rule kind faulty_rule ")
    assert stopped.collected_at is None


def a_collecting_run(session: Session, tenant_id: int, rules: list[dict[str, Any]]) -> Run:
    run = create_run(
        session,
        tenant_id,
        mailing_id=None,
        kind=RunKind.MAILING,
        channel="email",
        gateway_id=None,
        settings=RunSettings(
            rules=rules, variants=[VariantContent(number=1, share=100, content={})]
        ),
        now=datetime.now(UTC),
    )
    announce(session, tenant_id, Work.COLLECT, run.id)
    return run


def is_collected(database: Database, run: Run) -> bool:
    with database.tenant_session(run.tenant_id) as session:
        return get_run(session, run.tenant_id, run.id).collected_at is not None


def test_a_kill_from_outside_pauses_nothing(
    installation: Installation, settings: Settings, tenant_id: int
) -> None:
    database = installation.database
    with SmtpSink() as sink:
        run = a_run_through(installation, tenant_id, sink.port, 300, block_size=BLOCK)
        with worker(settings) as workers:
            for already in (20, 120):
                wait_for(workers, partial(_has_taken, sink, already), "sending")
                workers.kill(workers.processes[0])
            wait_for(workers, lambda: is_sent(database, run), "the end")
        assert paused(database, run) is None
        assert len(set(sink.recipients)) == 300
        assert len(sink.recipients) <= 300 + 2 * THREADS, "again is only what was on the wire"


def _has_taken(sink: SmtpSink, more_than: int) -> bool:
    return len(sink.recipients) > more_than
