"""Bursts of clicks, verdicts that change, and counters that stay equal to the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from envoi.cli.counters import counters as commands
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState
from envoi.jobs import Work
from envoi.plugins import Plugins
from envoi.tenants.models import DueWork
from envoi.tracking import counters
from envoi.tracking.classify import VERSION, Mark, Signals, rule_of
from envoi.tracking.judging import announce_outdated, reclassify
from envoi.tracking.ledger import Hit, write
from envoi.tracking.models import EventKind
from envoi_workers.actors import perform
from envoi_workers.scheduler import Scheduler
from envoi_workers.workshop import Workshop
from factories.delivery import an_installation
from ledger_rows import NOW, LedgerRun, add_customers, add_messages, add_run, facts, scalar

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PROXY, SCANNER = "Mozilla/5.0", "Barracuda Sentinel (EE)"
OPENED = NOW - timedelta(minutes=10)


@pytest.fixture
def customers(database: Database, tenant_id: int) -> list[int]:
    return add_customers(database, tenant_id, 3)


@pytest.fixture
def run(database: Database, tenant_id: int, customers: list[int]) -> LedgerRun:
    run = add_run(database, tenant_id)
    add_messages(database, run, customers)
    return run


def click(run: LedgerRun, customer: int, link: int, seconds: float, agent: str = FIREFOX) -> Hit:
    at = OPENED + timedelta(seconds=seconds)
    return Hit(run.ref(customer), EventKind.CLICK, at, link, agent=agent)


def put(database: Database, run: LedgerRun, *hits: Hit) -> None:
    write(database, run.tenant_id, run.launched_on, hits)


def machines(database: Database, run: LedgerRun) -> list[bool]:
    """The verdict on every hit, in order of time."""
    with database.tenant_connection(run.tenant_id) as connection:
        found = "SELECT array_agg(machine ORDER BY at, id) FROM message_event WHERE run_id = :r"
        return list(scalar(connection, found, r=run.run_id))


@pytest.mark.parametrize("together", [True, False])
def test_whoever_follows_every_link_at_once_is_a_machine(
    database: Database, run: LedgerRun, customers: list[int], together: bool
) -> None:
    hits = [click(run, customers[0], link, link) for link in range(4)]
    other = click(run, customers[1], 0, 1)
    for batch in [[*hits, other]] if together else [[hit] for hit in [*hits, other]]:
        put(database, run, *batch)
    assert facts(database, run, customers[0]).clicked_at is None
    assert facts(database, run, customers[0]).opened_at is None
    assert facts(database, run, customers[1]).clicked_at == other.at
    assert machines(database, run).count(True) == 4
    assert counters.compare(database, run.tenant_id, run.run_id) == []


def test_an_open_before_the_burst_and_a_click_after_it_are_a_persons(
    database: Database, run: LedgerRun, customers: list[int]
) -> None:
    seen = Hit(run.ref(customers[0]), EventKind.OPEN, OPENED - timedelta(minutes=1), agent=FIREFOX)
    put(database, run, seen)
    for link in range(3):
        put(database, run, click(run, customers[0], link, link))
    late = click(run, customers[0], 1, 600)
    put(database, run, late)
    row = facts(database, run, customers[0])
    assert (row.opened_at, row.clicked_at) == (seen.at, late.at)
    assert machines(database, run) == [False, True, True, True, False]


@pytest.mark.parametrize(
    "clicks",
    [
        [(0, 0), (0, 0.1), (0, 0.2), (0, 0.3)],
        [(0, 0), (1, 1), (0, 2)],
        [(0, 0), (1, 2), (2, 4)],
    ],
    ids=["one link often", "two links", "three links slowly"],
)
def test_people_click_too(
    database: Database, run: LedgerRun, customers: list[int], clicks: Sequence[tuple[int, float]]
) -> None:
    put(database, run, *(click(run, customers[0], link, at) for link, at in clicks))
    assert not any(machines(database, run))


hits = st.tuples(
    st.integers(0, 2),
    st.sampled_from([EventKind.OPEN, EventKind.CLICK, EventKind.CLICK, EventKind.VIEW]),
    st.integers(-3590, 3500).map(lambda tenths: tenths / 10),
    st.integers(0, 3),
    st.sampled_from([FIREFOX, FIREFOX, FIREFOX, PROXY, SCANNER, ""]),
    st.sampled_from([Mark.NONE, Mark.NONE, Mark.NONE, Mark.HEAD, Mark.PREFETCH]),
)
dense = st.lists(hits.map(lambda hit: (*hit[:2], hit[2] / 60, *hit[3:])), min_size=1, max_size=30)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(drawn=dense, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_what_is_judged_while_it_comes_is_judged_the_same_afterwards(
    database: Database, run: LedgerRun, customers: list[int], drawn: list[Any], cuts: list[int]
) -> None:
    """In whatever batches hits come: counters equal rows, and judging again changes nothing."""
    with database.tenant_connection(run.tenant_id) as connection:
        for name in ("message_event", "event_counter"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.exec_driver_sql("UPDATE message SET opened_at = NULL, clicked_at = NULL")
    made = [
        Hit(
            run.ref(customers[who]),
            kind,
            OPENED + timedelta(seconds=second),
            link if kind is EventKind.CLICK else None,
            marks,
            "192.0.2.7",
            agent,
        )
        for who, kind, second, link, agent, marks in sorted(drawn, key=lambda hit: hit[2])
    ]
    places = [0, *sorted(min(cut, len(made)) for cut in cuts), len(made)]
    for first, last in pairwise(places):
        if made[first:last]:
            put(database, run, *made[first:last])
    assert len(machines(database, run)) == len(made)
    assert counters.compare(database, run.tenant_id, run.run_id) == []
    before = [_facts(database, run, customer) for customer in customers]
    assert reclassify(database, run.tenant_id, run.run_id) == 0
    _turn_verdicts_round(database, run)
    reclassify(database, run.tenant_id, run.run_id)
    assert [_facts(database, run, customer) for customer in customers] == before
    assert counters.compare(database, run.tenant_id, run.run_id) == []
    counters.rebuild(database, run.tenant_id, run.run_id)
    assert counters.compare(database, run.tenant_id, run.run_id) == []


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    accepted_before=st.none() | st.sampled_from([-1.0, 0.0, 1.999999, 2.0, 2.000001, 60.0]),
    state=st.sampled_from([MessageState.CLAIMED, MessageState.ACCEPTED, MessageState.UNCONFIRMED]),
    agent=st.sampled_from([FIREFOX, SCANNER]),
)
def test_the_writer_and_the_classifier_agree_on_what_is_too_quick(
    database: Database,
    run: LedgerRun,
    customers: list[int],
    accepted_before: float | None,
    state: MessageState,
    agent: str,
) -> None:
    """The rule is written in two languages: SQL while hits come, Python when judged again."""
    accepted_at = None if accepted_before is None else OPENED - timedelta(seconds=accepted_before)
    with database.tenant_connection(run.tenant_id) as connection:
        connection.exec_driver_sql("DELETE FROM message_event")
        message = table(Message)
        connection.execute(message.update().values(state=state, accepted_at=accepted_at))
    put(database, run, Hit(run.ref(customers[0]), EventKind.OPEN, OPENED, agent=agent))
    on_the_wire = state is MessageState.CLAIMED
    rule = rule_of(Signals(OPENED, agent, Mark.NONE, accepted_at, on_the_wire))
    assert machines(database, run) == [rule is not None]


def _facts(
    database: Database, run: LedgerRun, customer: int
) -> tuple[datetime | None, datetime | None]:
    row = facts(database, run, customer)
    return row.opened_at, row.clicked_at


def _turn_verdicts_round(database: Database, run: LedgerRun) -> None:
    """Leave everything as an earlier version with the opposite opinion would have."""
    with database.tenant_connection(run.tenant_id) as connection:
        connection.exec_driver_sql("UPDATE message_event SET machine = NOT machine")
        connection.exec_driver_sql(
            "UPDATE message SET opened_at = NULL, clicked_at = now() WHERE (run_id, customer_id)"
            " IN (SELECT run_id, customer_id FROM message_event)"
        )
    counters.rebuild(database, run.tenant_id, run.run_id)


def due_kinds(database: Database, tenant_id: int) -> set[str]:
    work = table(DueWork).c
    with database.tenant_session(tenant_id) as session:
        return set(session.scalars(select(work.kind).where(work.tenant_id == tenant_id)))


def test_runs_of_an_earlier_version_are_judged_again_by_themselves(
    database: Database,
    run: LedgerRun,
    customers: list[int],
    tenant_id: int,
    plugins: Plugins,
    tmp_path: Path,
) -> None:
    put(database, run, click(run, customers[0], 0, 0, SCANNER), click(run, customers[1], 0, 0))
    _turn_verdicts_round(database, run)
    with database.tenant_session(tenant_id) as session:
        assert announce_outdated(session, tenant_id) == 0
        session.execute(
            text("UPDATE run SET classifier = 1 WHERE tenant_id = :t"), {"t": tenant_id}
        )
    installation = an_installation(database, plugins, tmp_path)
    assert Scheduler(installation).judge_again() >= 1
    assert due_kinds(database, tenant_id) == {Work.JUDGE}
    assert perform(Workshop(installation, 1), Work.JUDGE, tenant_id, run.run_id)
    assert due_kinds(database, tenant_id) == {Work.ATTRIBUTE}
    with database.tenant_session(tenant_id) as session:
        assert announce_outdated(session, tenant_id) == 0
        assert scalar(session, "SELECT classifier FROM run WHERE id = :r", r=run.run_id) == VERSION
    assert facts(database, run, customers[0]).clicked_at is None
    assert facts(database, run, customers[1]).clicked_at == OPENED


def test_the_command_finds_rebuilds_and_judges(
    database: Database,
    postgres_url: str,
    run: LedgerRun,
    customers: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ENVOI_DATABASE_URL", postgres_url)
    monkeypatch.setenv("ENVOI_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("ENVOI_DATA_DIR", str(tmp_path))
    put(database, run, click(run, customers[0], 0, 0, SCANNER), click(run, customers[1], 0, 0))
    with database.tenant_session(run.tenant_id) as session:
        slug = scalar(session, "SELECT slug FROM tenant WHERE id = :t", t=run.tenant_id)
        session.execute(text("UPDATE event_counter SET hits = hits + 1 WHERE machine"))
    arguments = ["--tenant", slug, "--mailing", str(run.mailing_id)]
    found = CliRunner().invoke(commands, ["check", *arguments])
    assert found.exit_code == 1
    ((wrong,),) = json.loads(found.output)["differences"].values()
    assert (wrong["machine"], wrong["counted"], wrong["rows"]) == (True, 2, 1)
    assert CliRunner().invoke(commands, ["rebuild", *arguments]).exit_code == 0
    assert CliRunner().invoke(commands, ["check", *arguments]).exit_code == 0
    _turn_verdicts_round(database, run)
    judged = CliRunner().invoke(commands, ["judge", *arguments])
    assert json.loads(judged.output) == {"runs": 1, "changed": 2}
    assert CliRunner().invoke(commands, ["check", *arguments]).exit_code == 0
