"""Handing over several messages at once: what leaves, what is recorded, what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from envoi.db import Database, table
from envoi.delivery.models import (
    Circuit,
    Message,
    MessageState,
    Run,
    RunBlock,
    Submission,
    SubmissionState,
)
from envoi.delivery.outcomes import Outcome
from envoi.delivery.reconcile import reconcile
from envoi.delivery.runs import resume_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.delivery.streaks import REFUSED_BY_ALL, Refusals
from envoi.delivery.submissions import forget_old
from envoi.errors import TemporaryProviderError
from envoi.failpoints import Place
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.tenants.service import tenant_settings
from envoi.types import Outgoing, SendResult, SendStatus
from envoi.types import Submission as Part
from factories.customers import opt_out
from factories.delivery import an_installation, is_sent, states
from factories.scripted import (
    Script,
    accepted,
    cost_of,
    make_due,
    send_through,
    sms_run,
    with_provider,
)


@pytest.fixture
def script() -> Script:
    return Script(batch=20)


@pytest.fixture
def installation(
    database: Database, plugins: Plugins, tmp_path: Path, script: Script
) -> Installation:
    return an_installation(database, with_provider(plugins, script), tmp_path)


def column(database: Database, run: Run, name: str) -> list[object]:
    """A column of a run's messages, by customer."""
    c = table(Message).c
    query = select(c[name]).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        return list(session.scalars(query.order_by(c.customer_id)))


def submissions(database: Database, run: Run) -> list[Submission]:
    c = table(Submission).c
    query = select(Submission).where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    with database.tenant_session(run.tenant_id) as session:
        return list(session.scalars(query.order_by(c.customer_id, c.number)))


def test_everybody_gets_it_once_in_batches(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    run = sms_run(installation, tenant_id, 130, block_size=50)
    send_through(installation, run, threads=2)
    assert is_sent(database, run)
    assert sorted(Counter(script.addresses).values()) == [1] * 130
    assert max(len(call) for call in script.calls) in range(10, 21)
    assert set(column(database, run, "state")) == {MessageState.ACCEPTED}
    found = submissions(database, run)
    assert {s.provider_id for s in found} == {f"id-{a}" for a in script.addresses}
    assert {(s.number, s.state) for s in found} == {(1, SubmissionState.ACCEPTED)}
    assert all(0 < m.lifetime_seconds <= 4320 * 60 for m in script.taken)


def test_an_opt_out_is_no_part_of_a_batch(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    run = sms_run(installation, tenant_id, 30)
    with database.tenant_session(tenant_id) as session:
        opt_out(session, tenant_id, "C-7", channel="sms")
    send_through(installation, run)
    assert len(script.addresses) == 29
    assert "+4915100000007" not in script.addresses
    assert Counter(column(database, run, "state"))[MessageState.BLOCKED] == 1


def test_a_batch_ends_before_an_opt_out_has_to_hold(
    installation: Installation,
    database: Database,
    tenant_id: int,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = sms_run(installation, tenant_id, 5)
    monkeypatch.setattr("envoi.delivery.sending.FRESH_SECONDS", 1.0)
    with SenderSession(database, installation.settings.data_dir, 1) as sender:
        engine = Engine(installation, sender)
        assert engine.send_run(tenant_id, run.id, lambda: False, seconds=0.2), "more is due"
    assert script.calls == [], "a batch might take longer than what is asked about stays fresh"


def test_what_is_throttled_goes_again_and_is_no_attempt(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    room = [25]

    def answer(message: Outgoing) -> SendResult:
        if not room[0]:
            return SendResult(status=SendStatus.THROTTLED, code=88)
        room[0] -= 1
        return accepted(message)

    script.answer = answer
    run = sms_run(installation, tenant_id, 60, block_size=60)
    send_through(installation, run)
    assert Counter(column(database, run, "state")) == {
        MessageState.ACCEPTED: 25,
        MessageState.READY: 35,
    }
    calls = len(script.calls)
    assert calls <= 3, "a gateway that throttles is left alone"
    with database.tenant_session(tenant_id) as session:
        c = table(RunBlock).c
        mine = (c.tenant_id == tenant_id, c.run_id == run.id)
        waits = session.scalar(select(func.min(c.due_at) - func.now()).where(*mine))
    assert waits is not None
    assert 0 < waits.total_seconds() <= 1.5
    room[0] = 1_000
    make_due(database, run)
    send_through(installation, run)
    assert is_sent(database, run)
    assert sorted(Counter(script.addresses).values()) == [1] * 60
    assert set(column(database, run, "attempt")) == {0}


def test_a_gateway_that_fails_as_a_whole_has_taken_nothing_of_its_batch(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    failures = iter([TemporaryProviderError("The link is down.", raw="down")])

    def fail_once(messages: object) -> None:
        for error in failures:
            raise error

    script.before = fail_once
    run = sms_run(installation, tenant_id, 40)
    for _ in range(10):
        send_through(installation, run)
        make_due(database, run)
        if is_sent(database, run):
            break
    assert sorted(Counter(script.addresses).values()) == [1] * 40
    assert set(column(database, run, "attempt")) == {0}


def test_a_batch_that_is_lost_with_its_connection_does_not_condemn_the_gateway(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    with database.tenant_session(tenant_id) as session:
        tenant_settings(session, tenant_id).unconfirmed_resend = {"sms": False}

    def answer(message: Outgoing) -> SendResult:
        is_first = len(script.calls) == 1
        return SendResult(status=SendStatus.UNKNOWN) if is_first else accepted(message)

    script.answer = answer
    run = sms_run(installation, tenant_id, 60)
    send_through(installation, run)
    assert is_sent(database, run)
    found = Counter(column(database, run, "state"))
    first = len(script.calls[0])
    assert found == {MessageState.UNCONFIRMED: first, MessageState.ACCEPTED: 60 - first}


@pytest.mark.parametrize("nonsense", [[], None, ["taken"] * 20])
def test_nonsense_instead_of_answers_leaves_the_batch_unconfirmed_and_names_the_plugin(
    installation: Installation,
    database: Database,
    tenant_id: int,
    script: Script,
    nonsense: list[SendResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with database.tenant_session(tenant_id) as session:
        tenant_settings(session, tenant_id).unconfirmed_resend = {"sms": False}
    monkeypatch.setattr(script, "take", lambda messages: nonsense)
    run = sms_run(installation, tenant_id, 40)
    send_through(installation, run)
    found = Counter(column(database, run, "state"))
    assert found[MessageState.UNCONFIRMED] in range(1, 21)
    assert found[MessageState.UNCONFIRMED] + found[MessageState.READY] == 40
    with database.tenant_session(tenant_id) as session:
        reason = session.get_one(Run, (tenant_id, run.id)).pause_reason
    assert "sms" in reason


def test_halves_of_characters_in_an_answer_are_replaced(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    """JSON may hold them, and a server of a company's own may answer anything."""

    def answer(message: Outgoing) -> SendResult:
        name = f"id-{message.address}\ud800\0"
        refused = message.address.endswith("7")
        status = SendStatus.REFUSED if refused else SendStatus.ACCEPTED
        return SendResult(status=status, code=3, provider_id=name, raw="bad \udfff\0 luck")

    script.answer = answer
    run = sms_run(installation, tenant_id, 20)
    send_through(installation, run)
    assert is_sent(database, run)
    assert {s.provider_id[-1] for s in submissions(database, run)} == {"?"}
    assert "bad ? luck" in column(database, run, "detail")


def test_a_gateway_that_fails_with_halves_of_characters_rests(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    def fail(messages: object) -> None:
        raise TemporaryProviderError("down \ud800", raw="\0\ud800", retry_after=float("inf"))

    script.before = fail
    run = sms_run(installation, tenant_id, 5)
    send_through(installation, run)
    with database.tenant_session(tenant_id) as session:
        circuit = session.scalars(select(Circuit)).one()
        rests = session.scalar(select(table(Circuit).c.next_try_at - func.now()))
    assert (circuit.error, circuit.answer) == ("down ?", "?")
    assert rests is not None
    assert rests.total_seconds() <= 3600
    assert set(column(database, run, "state")) == {MessageState.READY}


def test_parts_make_the_outcome_of_a_message(
    installation: Installation, database: Database, tenant_id: int, script: Script
) -> None:
    yes, no, lost = SendStatus.ACCEPTED, SendStatus.REFUSED, SendStatus.UNKNOWN
    later, fast = SendStatus.REFUSED_NOW, SendStatus.THROTTLED
    by_customer = [(yes, yes), (yes, no), (lost, no), (lost, yes), (no, no), (later, no)]
    wanted = {f"+491510000000{n}": s for n, s in enumerate(by_customer, start=1)}

    def answer(message: Outgoing) -> SendResult:
        parts = tuple(
            Part(
                number=n,
                status=status,
                code=11 if status is no else 0,
                provider_id=f"{message.address}-{n}" if status is yes else "",
                raw=f"said {status.value}",
            )
            for n, status in enumerate(wanted[message.address], start=1)
        )
        return SendResult(status=fast, submissions=parts)

    script.answer = answer
    with database.tenant_session(tenant_id) as session:
        tenant_settings(session, tenant_id).unconfirmed_resend = {"sms": False}
    run = sms_run(installation, tenant_id, 6)
    send_through(installation, run)
    assert column(database, run, "state") == [
        MessageState.ACCEPTED,
        MessageState.ACCEPTED,
        MessageState.UNCONFIRMED,
        MessageState.ACCEPTED,
        MessageState.FAILED,
        MessageState.READY,
    ]
    details = column(database, run, "detail")
    assert details[:2] == [None, "1 of 2 were not taken: said refused"]
    assert column(database, run, "code")[4] == 11
    found = submissions(database, run)
    assert [s.state for s in found[:4]] == [3, 3, 3, SubmissionState.REFUSED]
    assert len(found) == 12


def test_old_submissions_are_forgotten(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    run = sms_run(installation, tenant_id, 4)
    send_through(installation, run)
    first, *others = submissions(database, run)
    c = table(Submission).c
    old = update(table(Submission)).where(
        c.tenant_id == tenant_id, c.customer_id == first.customer_id
    )
    with database.tenant_session(tenant_id) as session:
        session.execute(old.values(at=func.now() - func.make_interval(0, 0, 0, 15)))
    assert forget_old(database) == 1
    assert [s.customer_id for s in submissions(database, run)] == [s.customer_id for s in others]


@pytest.mark.parametrize(
    ("dies", "left", "known"),
    [
        (Place.AFTER_CONNECT, 0, 0),
        ("message 4", 4, 0),
        (Place.AFTER_250, 10, 0),
        (Place.BEFORE_RECORD, 20, 20),
    ],
)
def test_a_kill_leaves_what_was_on_the_wire_unconfirmed_and_loses_nothing(
    installation: Installation,
    database: Database,
    tenant_id: int,
    script: Script,
    tmp_path: Path,
    postgres_url: str,
    dies: str,
    left: int,
    known: int,
) -> None:
    with database.tenant_session(tenant_id) as session:
        tenant_settings(session, tenant_id).unconfirmed_resend = {"sms": False}
    run = sms_run(installation, tenant_id, 40, block_size=20, price="0.5")
    notes = tmp_path / "notes"
    notes.touch()
    command = [sys.executable, "-m", "factories.scripted", postgres_url, str(tmp_path)]
    ended = subprocess.run(
        [*command, str(tenant_id), str(run.id), str(notes), dies],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    taken = [json.loads(line) for line in notes.read_text().splitlines()]
    assert len(taken) == left
    # Other tests leave sessions behind in this database.
    assert reconcile(database, tmp_path) >= 1
    found = Counter(states(database, tenant_id, run).values())
    on_wire = 10 if left and not known else 0
    assert found[MessageState.UNCONFIRMED] == on_wire
    assert found[MessageState.ACCEPTED] == known
    names = {s.provider_id for s in submissions(database, run)}
    assert names == {f"id-{address}" for address in taken[:known]}, "reports find them still"
    send_through(installation, run)
    assert is_sent(database, run)
    everybody = Counter([*taken, *script.addresses])
    assert set(everybody.values()) <= {1}
    assert len(everybody) == 40 - on_wire + left * bool(on_wire)
    assert cost_of(database, run) == (40, 40 * 5_000), "what may have been taken is counted"


def test_a_run_that_is_refused_altogether_pauses_before_all_of_it_is_burned(
    installation: Installation,
    database: Database,
    tenant_id: int,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a sender's name that nobody has registered."""
    monkeypatch.setattr("envoi.delivery.streaks.REFUSED_BY_ALL", 40)
    script.answer = lambda _: SendResult(status=SendStatus.REFUSED, code=10, raw="bad source")
    run = sms_run(installation, tenant_id, 120, block_size=20)
    send_through(installation, run)
    found = Counter(column(database, run, "state"))
    assert found == {MessageState.FAILED: 40, MessageState.READY: 80}
    with database.tenant_session(tenant_id) as session:
        paused = session.get_one(Run, (tenant_id, run.id))
        assert paused.pause_reason == (
            "The gateway refused all of the last 40 messages. Correct what it names, then resume:"
            " bad source"
        )
        resume_run(session, tenant_id, run.id)
    script.answer = lambda message: (
        accepted(message)
        if message.address.endswith(("7", "9"))
        else SendResult(status=SendStatus.REFUSED, code=11)
    )
    send_through(installation, run)
    assert is_sent(database, run), "some are taken, so it is the others who are wrong"


def test_devices_that_are_gone_say_nothing_of_the_run() -> None:
    gone = Part(number=1, status=SendStatus.REFUSED, address_gone=True)
    outcomes = [
        Outcome(number, 1, MessageState.FAILED, submissions=(gone,))
        for number in range(REFUSED_BY_ALL + 1)
    ]
    assert Refusals().look_at(outcomes) == ""
