"""When the next message follows: against a naive model, from several sides at once, and killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.delivery.cascade import move_on, move_some
from envoi.delivery.models import (
    BlockState,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunKind,
    RunStatus,
    Stage,
)
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run, may_move
from envoi.delivery.steps import StepContent, Success
from envoi.failpoints import Place

STEPS = 3
_S = MessageState


@dataclass(frozen=True)
class Sent:
    """A message of a step; the moments are minutes ago."""

    step: int
    state: MessageState
    accepted: int | None = None
    delivered: bool = False
    opened: bool = False
    bounced: bool = False
    handed_over: bool = False
    stage: Stage | None = None


@dataclass(frozen=True)
class Chain:
    """The waits before the second and third step, and what they wait for."""

    waits: tuple[int, int]
    success: tuple[Success, Success]


accepted = st.builds(
    lambda ago, delivered, opened, bounced, handed_over: {
        "state": _S.ACCEPTED,
        "handed_over": handed_over,
        "accepted": ago,
        "delivered": delivered,
        "opened": opened,
        "bounced": bounced,
    },
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
blocked = st.sampled_from(list(Stage)).map(lambda stage: {"state": _S.BLOCKED, "stage": stage})
others = st.sampled_from(
    [_S.READY, _S.CLAIMED, _S.FAILED, _S.UNCONFIRMED, _S.EXPIRED, _S.CANCELLED]
).map(lambda state: {"state": state})
outcome = st.one_of(accepted, accepted, blocked, others)
person = st.tuples(st.integers(1, STEPS), st.lists(outcome, min_size=1, max_size=2)).map(
    lambda drawn: [
        Sent(step=drawn[0] + place, **made)
        for place, made in enumerate(drawn[1])
        if drawn[0] + place <= STEPS
    ]
)
chains = st.builds(
    Chain,
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.sampled_from(Success), st.sampled_from(Success)),
)


def naive(chain: Chain, messages: Sequence[Sent]) -> int | None:
    """The step that follows a person's last message now, by the words of the specification."""
    last = messages[-1]
    if last.step == STEPS:
        return None
    wait, success = chain.waits[last.step - 1], chain.success[last.step - 1]
    for sent in messages:
        # However late: whom an earlier message has reached needs no other one.
        awaited = chain.success[sent.step - 1]
        if sent.opened or (awaited is not Success.READ and sent.delivered):
            return None
    kept_out = last.state is _S.BLOCKED and last.stage is not Stage.POLICY
    late = last.accepted is not None and last.accepted >= wait and success is not Success.TAKEN
    ours = (last.bounced or late) and not last.handed_over
    if last.state is _S.FAILED or kept_out or ours:
        return last.step + 1
    return None


def a_run(session: Session, tenant_id: int, chain: Chain, now: datetime) -> Run:
    steps = [
        StepContent(channel="sms", wait_minutes=wait, success=success, contents=[{}])
        for wait, success in zip(chain.waits, chain.success, strict=True)
    ]
    frozen = RunSettings(variants=[VariantContent(number=1, content={})], steps=steps)
    run = create_run(
        session,
        tenant_id,
        mailing_id=None,
        kind=RunKind.MAILING,
        channel="email",
        gateway_id=None,
        settings=frozen,
        now=now - timedelta(minutes=50),
    )
    run.status, run.collected_at = RunStatus.SENDING, now
    session.flush()
    return run


def write(session: Session, run: Run, people: Sequence[Sequence[Sent]], now: datetime) -> None:
    """Put people with their messages into the ledger, a block for each step."""
    key = {"tenant_id": run.tenant_id, "run_id": run.id, "launched_on": run.launched_on}

    def ago(minutes: int | None) -> datetime | None:
        return None if minutes is None else now - timedelta(minutes=minutes)

    rows = [
        {
            **key,
            "customer_id": number,
            "step": sent.step,
            "follows": place > 0,
            "variant": 1,
            "state": sent.state,
            "stage": sent.stage,
            "block": sent.step,
            "due_at": now,
            "accepted_at": ago(sent.accepted),
            "delivered_at": now if sent.delivered else None,
            "opened_at": now if sent.opened else None,
            "bounced_at": now if sent.bounced else None,
            "handed_over": sent.handed_over,
        }
        for number, messages in enumerate(people, start=1)
        for place, sent in enumerate(messages)
    ]
    blocks = [
        {
            **key,
            "number": step,
            "step": step,
            "due_at": now,
            "claimed_at": now,
            "state": BlockState.DONE,
            "moves_at": now - timedelta(seconds=1) if step < STEPS else None,
        }
        for step in range(1, STEPS + 1)
    ]
    session.execute(insert(table(Message)), rows)
    session.execute(insert(table(RunBlock)), blocks)


def found(session: Session, run: Run) -> dict[int, list[int]]:
    """The steps of each person's messages."""
    m = table(Message).c
    query = select(m.customer_id, m.step).where(
        m.tenant_id == run.tenant_id, m.run_id == run.id, m.launched_on == run.launched_on
    )
    steps: dict[int, list[int]] = {}
    for number, step in session.execute(query.order_by(m.customer_id, m.step)):
        steps.setdefault(number, []).append(step)
    return steps


@given(chain=chains, people=st.lists(person, min_size=1, max_size=12))
@example(
    chain=Chain((10, 10), (Success.TAKEN, Success.DELIVERED)),
    people=[[Sent(step=1, state=_S.ACCEPTED, accepted=40)]],
)
@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_who_is_followed_is_who_the_specification_says(
    database: Database, tenant_id: int, chain: Chain, people: list[list[Sent]]
) -> None:
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, chain, now)
        write(session, run, people, now)
        followed, _more = move_some(session, tenant_id, run.id, now)
        expected = {}
        for number, messages in enumerate(people, start=1):
            steps = [sent.step for sent in messages]
            # A message that has one behind it is looked at as well, and has been followed.
            then = naive(chain, messages)
            expected[number] = steps + ([then] if then else [])
        assert found(session, run) == expected
        assert followed == sum(naive(chain, messages) is not None for messages in people)
        assert move_some(session, tenant_id, run.id, now) == (0, False)
        assert found(session, run) == expected


def waiting_run(database: Database, tenant_id: int, people: int) -> Run:
    """A run whose first step failed for everybody."""
    now = datetime.now(UTC)
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, Chain((10, 10), (Success.DELIVERED,) * 2), now)
        write(session, run, [[Sent(step=1, state=_S.FAILED)]] * people, now)
    return run


def test_many_at_once_follow_once(database: Database, tenant_id: int) -> None:
    run = waiting_run(database, tenant_id, 400)
    counts: list[int] = []

    def move() -> None:
        counts.append(move_on(database, tenant_id, run.id))

    movers = [threading.Thread(target=move) for _ in range(6)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert sorted(counts) == [0] * 5 + [400]
    with database.tenant_session(tenant_id) as session:
        assert found(session, run) == {number: [1, 2] for number in range(1, 401)}


_KILLED = """
import sys
from envoi.db import connect
from envoi.delivery.cascade import move_on
from envoi.failpoints import Place, arm
arm(Place(sys.argv[4]))
move_on(connect(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""


@pytest.mark.parametrize("place", [Place.BEFORE_MOVE_COMMIT, Place.AFTER_MOVE_COMMIT])
def test_a_mover_that_is_killed_leaves_all_or_nothing(
    database: Database, postgres_url: str, tenant_id: int, place: Place
) -> None:
    run = waiting_run(database, tenant_id, 30)
    command = [sys.executable, "-c", _KILLED, postgres_url, str(tenant_id), str(run.id), place]
    died = subprocess.run(command, check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    with database.tenant_session(tenant_id) as session:
        before = found(session, run)
    written = place is Place.AFTER_MOVE_COMMIT
    assert before == {number: [1, 2] if written else [1] for number in range(1, 31)}
    assert move_on(database, tenant_id, run.id) == (0 if written else 30)
    with database.tenant_session(tenant_id) as session:
        assert found(session, run) == {number: [1, 2] for number in range(1, 31)}


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.CANCELLED, RunStatus.SENT])
def test_nothing_follows_in_a_run_that_does_not_send(
    database: Database, tenant_id: int, status: RunStatus
) -> None:
    run = waiting_run(database, tenant_id, 3)
    with database.tenant_session(tenant_id) as session:
        get_run(session, tenant_id, run.id).status = status
    assert move_on(database, tenant_id, run.id) == 0


def test_nothing_follows_after_the_lifetime(database: Database, tenant_id: int) -> None:
    run = waiting_run(database, tenant_id, 3)
    with database.tenant_session(tenant_id) as session:
        mine: Any = get_run(session, tenant_id, run.id)
        assert may_move(session, mine)
        mine.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        assert not may_move(session, mine)
    assert move_on(database, tenant_id, run.id) == 0
