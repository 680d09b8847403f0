"""A cascade one of whose gateways does not work: its step waits while the others go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from chains import Chain, a_cascade, let_pass, phone, send, step
from envoi.db import table
from envoi.delivery.cascade import move_on
from envoi.delivery.models import (
    Gateway,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunStatus,
)
from envoi.delivery.probing import probe_gateway
from envoi.delivery.routes import waiting_steps
from envoi.delivery.runs import get_run
from envoi.installation import Installation
from envoi.jobs import Work
from envoi.tenants.models import DueWork
from envoi.types import SendStatus
from factories.customers import make_customers

PEOPLE = 4


@pytest.fixture
def site(site: Installation, tenant_id: int) -> Installation:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, PEOPLE, phones=True)
    return site


def course(site: Installation, run: Run) -> Run:
    with site.database.tenant_session(run.tenant_id) as session:
        return get_run(session, run.tenant_id, run.id)


def waiting(site: Installation, run: Run) -> list[tuple[int, str, str]]:
    with site.database.tenant_session(run.tenant_id) as session:
        found = waiting_steps(session, run.tenant_id, run.id)
    return [(each.step, each.channel, each.reason) for each in found]


def mend(site: Installation, tenant_id: int, chain: Chain, channel: str) -> None:
    """Let the account in again, and let the probe find out."""
    chain.down.discard(channel)
    c = table(Gateway).c
    with site.database.tenant_session(tenant_id) as session:
        query = select(c.id).where(c.tenant_id == tenant_id, c.channel == channel)
        gateway = session.scalars(query).one()
    assert probe_gateway(site, tenant_id, gateway)


def states(site: Installation, run: Run, at_step: int) -> set[MessageState]:
    m = table(Message).c
    query = select(m.state).where(
        m.tenant_id == run.tenant_id,
        m.run_id == run.id,
        m.launched_on == run.launched_on,
        m.step == at_step,
    )
    with site.database.tenant_session(run.tenant_id) as session:
        return {MessageState(state) for state in session.scalars(query)}


def put_off(site: Installation, run: Run, moment: datetime) -> None:
    """Let the last block of the first step leave later, as one that a policy holds back."""
    block, c = table(RunBlock), table(RunBlock).c
    mine = (c.tenant_id == run.tenant_id, c.run_id == run.id, c.step == 1)
    last = select(func.max(c.number)).where(*mine).scalar_subquery()
    with site.database.tenant_session(run.tenant_id) as session:
        session.execute(update(block).where(*mine, c.number == last).values(due_at=moment))


def looked_at(site: Installation, run: Run) -> datetime:
    """When a sender is asked to look at a run again."""
    work = table(DueWork).c
    mine = (work.tenant_id == run.tenant_id, work.kind == Work.SEND, work.ref == run.id)
    with site.database.tenant_session(run.tenant_id) as session:
        due_at: datetime = session.scalars(select(work.due_at).where(*mine)).one()
        return due_at


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def test_the_first_step_goes_on_while_the_second_waits(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    chain.answers["chat", phone(1)] = SendStatus.REFUSED
    chain.down.add("text")
    run = a_cascade(site, tenant_id, "chat", step("text"), block_size=1)
    put_off(site, run, in_an_hour())
    send(site, run)
    assert chain.got("chat").total() == PEOPLE - 2
    assert move_on(site.database, tenant_id, run.id) == 1
    send(site, run)
    assert course(site, run).status == RunStatus.SENDING
    assert waiting(site, run) == [(2, "text", "The account of text is locked.")]
    mend(site, tenant_id, chain, "text")
    assert waiting(site, run) == []
    assert looked_at(site, run) <= datetime.now(UTC)
    put_off(site, run, datetime.now(UTC))
    send(site, run)
    assert chain.got("text") == {phone(1): 1}
    assert chain.got("chat").total() == PEOPLE - 1


def test_the_second_step_goes_on_while_the_first_waits(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """Who has no email address begins with the text; at the end only letters are left."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, first=5, emails=False, phones=True, prefix="P-")
    chain.down.add("letter")
    run = a_cascade(site, tenant_id, "letter", step("text"), block_size=1)
    send(site, run)
    assert chain.got("text") == {phone(5): 1, phone(6): 1}
    paused = course(site, run)
    assert (paused.status, paused.waits_for_gateway) == (RunStatus.PAUSED, True)
    assert paused.pause_reason == "The account of letter is locked."
    mend(site, tenant_id, chain, "letter")
    send(site, run)
    assert chain.got("letter").total() == PEOPLE
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == PEOPLE


def test_when_nothing_can_go_on_the_run_is_paused_and_told_why(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    chain.down |= {"chat", "text"}
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    paused = course(site, run)
    assert (paused.status, paused.waits_for_gateway) == (RunStatus.PAUSED, True)
    assert paused.pause_reason == "The account of chat is locked."
    chain.down.discard("text")
    mend(site, tenant_id, chain, "chat")
    send(site, run)
    assert chain.got("chat").total() == PEOPLE


def test_a_step_that_waits_too_long_expires(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """No gateway is needed for that, and the run ends."""
    chain.down.add("text")
    chain.answers |= {("chat", phone(n)): SendStatus.REFUSED for n in (1, 2)}
    run = a_cascade(site, tenant_id, "chat", step("text"), block_size=1)
    put_off(site, run, in_an_hour())
    send(site, run)
    assert move_on(site.database, tenant_id, run.id) == 2
    send(site, run)
    assert states(site, run, 2) == {MessageState.READY}
    with site.database.tenant_session(tenant_id) as session:
        stored = get_run(session, tenant_id, run.id)
        stored.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    put_off(site, run, datetime.now(UTC))
    send(site, run)
    assert states(site, run, 2) == {MessageState.EXPIRED}
    assert course(site, run).status == RunStatus.SENT
    assert not chain.got("text")


def test_a_step_that_waits_slows_no_other(site: Installation, tenant_id: int, chain: Chain) -> None:
    """The run is looked at again when the other step's messages are due, not a minute later."""
    chain.down.add("text")
    chain.answers["chat", phone(1)] = SendStatus.REFUSED
    run = a_cascade(site, tenant_id, "chat", step("text"), block_size=1)
    put_off(site, run, in_an_hour())
    send(site, run)
    move_on(site.database, tenant_id, run.id)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    put_off(site, run, soon)
    send(site, run)
    assert looked_at(site, run) <= soon
