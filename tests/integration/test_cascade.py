"""Cascades: who begins where, when the next message follows, and that it never does twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from chains import Chain, add_gateways, chain_plugins
from envoi.audience.collection import collect
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.cascade import move_on
from envoi.delivery.circuit import BackOff
from envoi.delivery.models import Message, MessageState, Run, RunBlock, RunKind, RunStatus
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.delivery.steps import StepContent
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.installation import Installation
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType, SendStatus
from factories.customers import make_customers
from factories.delivery import an_installation


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


@pytest.fixture
def site(database: Database, chain: Chain, tmp_path: Path) -> Installation:
    chain.answers.clear()
    for messages in chain.taken.values():
        messages.clear()
    return an_installation(database, chain_plugins(chain), tmp_path)


def step(channel: str, **fields: Any) -> StepContent:
    return StepContent(channel=channel, contents=[{"text": f"By {channel}"}], **fields)


def a_cascade(
    site: Installation, tenant_id: int, first: str, *then: StepContent, **settings: Any
) -> Run:
    """A run by these channels to everybody, collected."""
    add_gateways(site, tenant_id, [first, *(one.channel for one in then)])
    frozen = RunSettings(
        variants=[VariantContent(number=1, content={"text": f"By {first}"})],
        steps=list(then),
        links_url="http://links.test",
        resends_unconfirmed=False,
        **settings,
    )
    with site.database.tenant_session(tenant_id) as session:
        run = create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel=first,
            gateway_id=None,
            settings=frozen,
            now=datetime.now(UTC),
        )
    collect(site.database, site.plugins, tenant_id, run.id)
    return run


@contextmanager
def an_engine(site: Installation) -> Iterator[Engine]:
    with SenderSession(site.database, site.settings.data_dir, 1) as sender:
        engine = Engine(site, sender, BackOff(first=0.01))
        yield engine
        engine.connections.close_idle(0)


def send(site: Installation, run: Run) -> None:
    """Send what is due, of whichever step."""
    with an_engine(site) as engine:
        engine.send_run(run.tenant_id, run.id, lambda: False)


def report(site: Installation, run: Run, customer_id: int, kind: EventType, at_step: int) -> None:
    """Report an event of a customer's message."""
    ref = MessageRef(run.tenant_id, run.id, customer_id, run.launched_on, at_step, 1)
    event = DeliveryEvent(type=kind, occurred_at=datetime.now(UTC))
    with site.database.tenant_session(run.tenant_id) as session:
        apply(session, ref, event, Door.WEBHOOK)


def let_pass(site: Installation, run: Run, minutes: float) -> None:
    """Let time pass for what was sent, and for when it is looked at."""
    m, block = table(Message), table(RunBlock)
    past = timedelta(minutes=minutes)
    mine = (m.c.tenant_id == run.tenant_id, m.c.run_id == run.id)
    with site.database.tenant_session(run.tenant_id) as session:
        accepted = update(m).where(*mine, m.c.launched_on == run.launched_on)
        session.execute(accepted.values(accepted_at=m.c.accepted_at - past))
        theirs = (block.c.tenant_id == run.tenant_id, block.c.run_id == run.id)
        looked_at = update(block).where(*theirs, block.c.moves_at.is_not(None))
        moments = {name: block.c[name] - past for name in ("moves_at", "claimed_at")}
        session.execute(looked_at.values(moments))


def people(site: Installation, run: Run) -> dict[str, int]:
    """The numbers of the customers by the last digit of their phones."""
    c = table(Customer).c
    query = select(func.right(c.phone, 1), c.id).where(c.tenant_id == run.tenant_id)
    with site.database.tenant_session(run.tenant_id) as session:
        return {row[0]: row[1] for row in session.execute(query)}


def ledger(site: Installation, run: Run) -> dict[tuple[int, int], MessageState]:
    """The state of each message by customer and step."""
    m = table(Message).c
    query = select(m.customer_id, m.step, m.state).where(
        m.tenant_id == run.tenant_id, m.run_id == run.id, m.launched_on == run.launched_on
    )
    with site.database.tenant_session(run.tenant_id) as session:
        rows = session.execute(query)
        return {(row.customer_id, row.step): MessageState(row.state) for row in rows}


def course(site: Installation, run: Run) -> RunStatus:
    with site.database.tenant_session(run.tenant_id) as session:
        return RunStatus(get_run(session, run.tenant_id, run.id).status)


def phone(number: int) -> str:
    return f"+4915{100_000_000 + number}"


def test_the_next_message_follows_whom_the_first_did_not_reach(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 5, phones=True)
    chain.answers["chat", phone(2)] = SendStatus.REFUSED
    chain.answers["chat", phone(4)] = SendStatus.UNKNOWN
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    assert chain.got("chat") == {phone(n): 1 for n in (1, 3, 4, 5)}
    assert {message.lifetime_seconds for message in chain.taken["chat"]} == {600}
    found = people(site, run)
    report(site, run, found["1"], EventType.DELIVERED, 1)
    report(site, run, found["3"], EventType.FAILED, 1)
    assert move_on(site.database, tenant_id, run.id) == 2, "one was refused, one failed later"
    send(site, run)
    assert chain.got("text") == {phone(2): 1, phone(3): 1}
    assert course(site, run) == RunStatus.SENDING, "the fifth may still get an answer"
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 1
    assert move_on(site.database, tenant_id, run.id) == 0
    send(site, run)
    assert chain.got("text") == {phone(2): 1, phone(3): 1, phone(5): 1}
    assert ledger(site, run)[found["4"], 1] == MessageState.UNCONFIRMED
    assert (found["4"], 2) not in ledger(site, run)
    assert course(site, run) == RunStatus.SENT
