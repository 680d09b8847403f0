"""Messages of unknown outcome: what a run does by itself, and what a person decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from envoi.db import Database, table
from envoi.delivery.claim import Claim, Verdict, claim_block
from envoi.delivery.models import Message, MessageState, Run, RunStatus, Stage
from envoi.delivery.outcomes import Outcome, record
from envoi.delivery.runs import cancel_run, get_run, settle
from envoi.delivery.unconfirmed import leave, resend
from envoi.errors import ConflictError
from envoi.plugins import Plugins
from envoi.tenants.models import TenantSettings
from envoi.tenants.service import tenant_settings
from factories.delivery import a_run, an_installation, smtp_gateway, states

SENDER = 4711
UNCONFIRMED, READY, ACCEPTED = (
    MessageState.UNCONFIRMED,
    MessageState.READY,
    MessageState.ACCEPTED,
)


MakeRun = Callable[..., Run]


def nobody(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
    return []


@pytest.fixture
def make_run(database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path) -> MakeRun:
    """Makes a run of ten with other settings if wished."""

    def make(people: int = 10, **settings: Any) -> Run:
        installation = an_installation(database, plugins, tmp_path)
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, 25)
            return a_run(session, tenant_id, gateway, people, block_size=4, **settings)

    return make


def claim(database: Database, run: Run) -> Claim | None:
    with database.tenant_connection(run.tenant_id) as connection:
        return claim_block(connection, run.tenant_id, run.id, SENDER, nobody)


def lose_replies(database: Database, run: Run, state: MessageState = UNCONFIRMED) -> None:
    """Send everything that is due, and get this outcome of each message."""
    while found := claim(database, run):
        outcomes = [Outcome(m.customer_id, m.step, state) for m in found.messages]
        with database.tenant_session(run.tenant_id) as session:
            record(session, SENDER, found.key, outcomes)
    with database.tenant_session(run.tenant_id) as session:
        settle(session, run.tenant_id, run.id)


def hold(database: Database, run: Run) -> None:
    with database.tenant_session(run.tenant_id) as session:
        tenant_settings(session, run.tenant_id).unconfirmed_resend = {run.channel: False}


def course(database: Database, run: Run) -> RunStatus:
    with database.tenant_session(run.tenant_id) as session:
        return RunStatus(get_run(session, run.tenant_id, run.id).status)


@pytest.mark.parametrize(
    ("contract", "chosen", "again"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_the_company_decides_by_channel_or_else_the_channel(
    database: Database, make_run: MakeRun, contract: bool, chosen: bool | None, again: bool
) -> None:
    run = make_run(resends_unconfirmed=contract)
    with database.tenant_session(run.tenant_id) as session:
        choice = {} if chosen is None else {run.channel: chosen}
        tenant_settings(session, run.tenant_id).unconfirmed_resend = {"sms": not again} | choice
    found = claim(database, run)
    assert found
    with database.tenant_session(run.tenant_id) as session:
        outcomes = [Outcome(m.customer_id, m.step, UNCONFIRMED) for m in found.messages]
        record(session, SENDER, found.key, outcomes)
    mine = {m.customer_id for m in found.messages}
    now = {state for c, state in states(database, run.tenant_id, run).items() if c in mine}
    assert now == {READY if again else UNCONFIRMED}


def test_a_company_that_has_set_nothing_yet_has_the_contract_of_the_channel(
    database: Database, make_run: MakeRun
) -> None:
    run = make_run()
    company = table(TenantSettings)
    with database.tenant_session(run.tenant_id) as session:
        session.execute(company.delete().where(company.c.tenant_id == run.tenant_id))
    found = claim(database, run)
    assert found
    with database.tenant_session(run.tenant_id) as session:
        outcomes = [Outcome(m.customer_id, m.step, UNCONFIRMED) for m in found.messages]
        record(session, SENDER, found.key, outcomes)
    assert set(states(database, run.tenant_id, run).values()) == {READY}


def test_what_many_blocks_left_fills_few_new_ones(database: Database, make_run: MakeRun) -> None:
    run = make_run(resends_unconfirmed=False)
    while found := claim(database, run):
        first, *others = found.messages
        outcomes = [Outcome(first.customer_id, first.step, UNCONFIRMED)]
        outcomes += [Outcome(m.customer_id, m.step, ACCEPTED) for m in others]
        with database.tenant_session(run.tenant_id) as session:
            record(session, SENDER, found.key, outcomes)
    with database.tenant_session(run.tenant_id) as session:
        assert resend(session, run.tenant_id, run.id, datetime.now(UTC)) == 3
    again = claim(database, run)
    assert again
    assert len(again.messages) == 3
    assert claim(database, run) is None


def test_a_person_sends_them_again_and_each_may_have_come_twice(
    database: Database, make_run: MakeRun
) -> None:
    run = make_run(resends_unconfirmed=False)
    lose_replies(database, run)
    assert course(database, run) == RunStatus.SENT
    with database.tenant_session(run.tenant_id) as session:
        assert resend(session, run.tenant_id, run.id, datetime.now(UTC)) == 10
    assert course(database, run) == RunStatus.SENDING
    lose_replies(database, run, ACCEPTED)
    assert set(states(database, run.tenant_id, run).values()) == {ACCEPTED}
    assert course(database, run) == RunStatus.SENT
    assert details(database, run) == {"resent": 10}


def details(database: Database, run: Run) -> dict[str | None, int]:
    c = table(Message).c
    query = select(c.detail, func.count()).where(
        c.tenant_id == run.tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(run.tenant_id) as session:
        return {row[0]: row[1] for row in session.execute(query.group_by(c.detail))}


def test_it_is_taken_back_until_a_sender_has_it(database: Database, make_run: MakeRun) -> None:
    run = make_run(resends_unconfirmed=False)
    lose_replies(database, run)
    with database.tenant_session(run.tenant_id) as session:
        resend(session, run.tenant_id, run.id, datetime.now(UTC))
    first = claim(database, run)
    assert first
    with database.tenant_session(run.tenant_id) as session:
        assert leave(session, run.tenant_id, run.id) == 10 - len(first.messages)
    assert claim(database, run) is None
    with database.tenant_session(run.tenant_id) as session:
        outcomes = [Outcome(m.customer_id, m.step, ACCEPTED) for m in first.messages]
        record(session, SENDER, first.key, outcomes)
    with database.tenant_session(run.tenant_id) as session:
        settle(session, run.tenant_id, run.id)
        assert leave(session, run.tenant_id, run.id) == 0
    assert course(database, run) == RunStatus.SENT
    assert sorted(states(database, run.tenant_id, run).values()) == (
        [ACCEPTED] * len(first.messages) + [UNCONFIRMED] * (10 - len(first.messages))
    )


def test_nobody_who_has_opened_it_gets_it_again(database: Database, make_run: MakeRun) -> None:
    run = make_run(resends_unconfirmed=False)
    lose_replies(database, run)
    opener = min(states(database, run.tenant_id, run))
    c = table(Message).c
    with database.tenant_session(run.tenant_id) as session:
        mine = update(table(Message)).where(c.run_id == run.id, c.customer_id == opener)
        session.execute(mine.where(c.launched_on == run.launched_on).values(opened_at=func.now()))
        assert resend(session, run.tenant_id, run.id, datetime.now(UTC)) == 9
    assert states(database, run.tenant_id, run)[opener] == ACCEPTED


def test_of_a_cancelled_run_it_stays_unconfirmed(database: Database, make_run: MakeRun) -> None:
    run = make_run()
    on_the_wire, lost = claim(database, run), claim(database, run)
    assert on_the_wire
    assert lost
    with database.tenant_session(run.tenant_id) as session:
        outcomes = [Outcome(m.customer_id, m.step, UNCONFIRMED) for m in lost.messages]
        record(session, SENDER, lost.key, outcomes)
    with database.tenant_session(run.tenant_id) as session:
        cancel_run(session, run.tenant_id, run.id)
    with database.tenant_session(run.tenant_id) as session:
        outcomes = [Outcome(m.customer_id, m.step, UNCONFIRMED) for m in on_the_wire.messages]
        record(session, SENDER, on_the_wire.key, outcomes)
    with database.tenant_session(run.tenant_id) as session:
        settle(session, run.tenant_id, run.id)
        with pytest.raises(ConflictError, match="cancelled"):
            resend(session, run.tenant_id, run.id, datetime.now(UTC))
    theirs = {m.customer_id for m in (*on_the_wire.messages, *lost.messages)}
    for customer, state in states(database, run.tenant_id, run).items():
        assert state == (UNCONFIRMED if customer in theirs else MessageState.CANCELLED)


def test_a_lifetime_that_ends_leaves_it_unconfirmed(database: Database, make_run: MakeRun) -> None:
    run = make_run(resends_unconfirmed=False)
    lose_replies(database, run)
    with database.tenant_session(run.tenant_id) as session:
        resend(session, run.tenant_id, run.id, datetime.now(UTC))
        found = get_run(session, run.tenant_id, run.id)
        found.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    lose_replies(database, run)
    assert set(states(database, run.tenant_id, run).values()) == {UNCONFIRMED}
    with database.tenant_session(run.tenant_id) as session, pytest.raises(ConflictError):
        resend(session, run.tenant_id, run.id, datetime.now(UTC))


def test_blocked_since_it_stays_unconfirmed(database: Database, make_run: MakeRun) -> None:
    run = make_run(people=3, resends_unconfirmed=False)
    lose_replies(database, run)
    with database.tenant_session(run.tenant_id) as session:
        resend(session, run.tenant_id, run.id, datetime.now(UTC))

    def everybody(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
        return [Verdict(c, Stage.CHANNEL_OPT_OUT, None, None) for c in customer_ids]

    with database.tenant_connection(run.tenant_id) as connection:
        found = claim_block(connection, run.tenant_id, run.id, SENDER, everybody)
    assert found is not None
    assert not found.messages
    assert set(states(database, run.tenant_id, run).values()) == {UNCONFIRMED}
