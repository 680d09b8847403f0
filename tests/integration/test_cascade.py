"""Cascades: who begins where, when the next message follows, and that it never does twice."""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from chains import Chain, a_cascade, let_pass, phone, send, step
from envoi.audience.volume import Volume
from envoi.customers.models import Customer
from envoi.db import table
from envoi.delivery.cascade import move_on
from envoi.delivery.models import (
    Gateway,
    Message,
    MessageState,
    Run,
    RunStatus,
    Stage,
)
from envoi.delivery.prices import UNITS, set_prices
from envoi.delivery.runs import get_run, progress
from envoi.delivery.unconfirmed import leave, resend
from envoi.feedback.ledger import apply
from envoi.feedback.models import Door
from envoi.installation import Installation
from envoi.mailings.steps import steps_of
from envoi.tracking.tokens import MessageRef
from envoi.types import DeliveryEvent, EventType, SendStatus
from factories.customers import make_customers, opt_out


def report(site: Installation, run: Run, customer_id: int, kind: EventType, at_step: int) -> None:
    """Report an event of a customer's message."""
    ref = MessageRef(run.tenant_id, run.id, customer_id, run.launched_on, at_step, 1)
    event = DeliveryEvent(type=kind, occurred_at=datetime.now(UTC))
    with site.database.tenant_session(run.tenant_id) as session:
        apply(session, ref, event, Door.WEBHOOK)


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


def test_everybody_begins_with_the_first_channel_that_nothing_stands_against(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """Letters need an email address, which half have not; some have left the channel."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 4, phones=True)
        make_customers(session, tenant_id, 4, first=5, emails=False, phones=True, prefix="P-")
        make_customers(session, tenant_id, 1, first=9, emails=False, prefix="N-")
        opt_out(session, tenant_id, "C-1", channel="letter")
        opt_out(session, tenant_id, "P-5", channel="text")
    run = a_cascade(site, tenant_id, "letter", step("text"))
    with site.database.tenant_session(tenant_id) as session:
        volume = Volume.from_document(get_run(session, tenant_id, run.id).volume)
    assert volume is not None
    assert (volume.segment, volume.recipients) == (9, 7)
    assert volume.excluded(Stage.CHANNEL_OPT_OUT) == 1, "by the last step's reason"
    assert volume.excluded(Stage.ADDRESS_ISSUE) == 1
    send(site, run)
    assert chain.got("letter") == {f"c-{n}@mail{n}.test": 1 for n in (2, 3, 4)}
    assert chain.got("text") == {phone(n): 1 for n in (1, 6, 7, 8)}
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 3
    send(site, run)
    assert chain.got("text") == {phone(n): 1 for n in (1, 2, 3, 4, 6, 7, 8)}


def test_who_has_left_meanwhile_is_not_followed(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    found = people(site, run)
    for number in found.values():
        report(site, run, number, EventType.FAILED, 1)
    with site.database.tenant_session(tenant_id) as session:
        opt_out(session, tenant_id, "C-1", channel="text")
    move_on(site.database, tenant_id, run.id)
    send(site, run)
    assert chain.got("text") == {phone(2): 1}
    assert ledger(site, run)[found["1"], 2] == MessageState.BLOCKED
    assert course(site, run) == RunStatus.SENT


@pytest.mark.parametrize(("one_per_address", "texts"), [(True, 1), (False, 2)])
def test_a_telephone_that_two_share_gets_one_text(
    site: Installation, tenant_id: int, chain: Chain, one_per_address: bool, texts: int
) -> None:
    """Each has a letter of their own; the same rule holds for the step that follows."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
        c = table(Customer)
        shared = update(c).where(c.c.tenant_id == tenant_id, c.c.phone == phone(2))
        session.execute(shared.values(phone=phone(1)))
    chain.answers |= {("letter", f"c-{n}@mail{n}.test"): SendStatus.REFUSED for n in (1, 2, 3)}
    run = a_cascade(
        site, tenant_id, "letter", step("text"), one_per_address=one_per_address, block_size=1
    )
    send(site, run)
    assert move_on(site.database, tenant_id, run.id) == 3
    send(site, run)
    assert chain.got("text") == {phone(1): texts, phone(3): 1}
    assert course(site, run) == RunStatus.SENT
    with site.database.tenant_session(tenant_id) as session:
        counted = progress(session, tenant_id, run.id)
    assert counted.recipients == 3, "everybody is still counted once"


def test_a_chain_of_three_and_a_late_success(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """What arrives late is kept, and stops what would follow; nothing is taken back."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"), step("letter", wait_minutes=30))
    send(site, run)
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 3
    send(site, run)
    found = people(site, run)
    report(site, run, found["1"], EventType.DELIVERED, 1)
    report(site, run, found["2"], EventType.FAILED, 2)
    report(site, run, found["3"], EventType.DELIVERED, 2)
    assert move_on(site.database, tenant_id, run.id) == 1
    send(site, run)
    assert chain.got("letter") == {"c-2@mail2.test": 1}
    let_pass(site, run, 31)
    assert move_on(site.database, tenant_id, run.id) == 0, "the first has got the first message"
    with site.database.tenant_session(tenant_id) as session:
        counted = progress(session, tenant_id, run.id)
        steps = steps_of(session, get_run(session, tenant_id, run.id))
    assert (counted.recipients, counted.accepted) == (3, 3)
    assert [(s.messages, s.delivered, s.failed, s.followed) for s in steps] == [
        (3, 1, 0, 3),
        (3, 1, 1, 1),
        (1, 0, 0, 0),
    ]


def test_what_waits_does_not_leave_once_the_message_before_has_arrived(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """A message may wait for the morning while the one before it is delivered at night."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 4, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 4
    found = people(site, run)
    report(site, run, found["1"], EventType.DELIVERED, 1)
    report(site, run, found["2"], EventType.READ, 1)
    report(site, run, found["3"], EventType.FAILED, 1)
    send(site, run)
    assert chain.got("text") == {phone(3): 1, phone(4): 1}
    states = ledger(site, run)
    assert {n: states[number, 2] for n, number in found.items()} == {
        "1": MessageState.CANCELLED,
        "2": MessageState.CANCELLED,
        "3": MessageState.ACCEPTED,
        "4": MessageState.ACCEPTED,
    }
    assert move_on(site.database, tenant_id, run.id) == 0
    send(site, run)
    assert course(site, run) == RunStatus.SENT
    with site.database.tenant_session(tenant_id) as session:
        counted = progress(session, tenant_id, run.id)
    assert (counted.recipients, counted.accepted) == (4, 4)


def test_what_is_not_sent_again_after_all_ends_with_the_run(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1, phones=True)
    chain.answers["chat", phone(1)] = SendStatus.UNKNOWN
    run = a_cascade(site, tenant_id, "chat", step("text"))
    send(site, run)
    with site.database.tenant_session(tenant_id) as session:
        assert resend(session, tenant_id, run.id, datetime.now(UTC)) == 1
        assert leave(session, tenant_id, run.id) == 1
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 0
    send(site, run)
    assert course(site, run) == RunStatus.SENT


def test_a_budget_holds_for_all_steps_together(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 4, phones=True)
    chain.answers |= {("text", phone(n)): SendStatus.REFUSED for n in (1, 2, 3, 4)}
    run = a_cascade(
        site, tenant_id, "chat", step("text"), step("letter"), block_size=1, budget=6 * UNITS
    )
    c = table(Gateway).c
    with site.database.tenant_session(tenant_id) as session:
        for number in session.scalars(select(c.id).where(c.tenant_id == tenant_id)).all():
            set_prices(session, tenant_id, number, {"prices": [{"price": "1"}]})
    for _ in range(3):
        send(site, run)
        let_pass(site, run, 11)
        move_on(site.database, tenant_id, run.id)
    with site.database.tenant_session(tenant_id) as session:
        paused = get_run(session, tenant_id, run.id)
        cost = [figures.amount for figures in steps_of(session, paused)]
    assert paused.status == RunStatus.PAUSED
    assert "The budget of 6.00 is used up." in paused.pause_reason
    assert cost == [4 * UNITS, 0, 2 * UNITS], "what was refused is not paid for"


FATES = ("refused", "failed", "late failure", "silent", "delivered", "read", "late", "unknown")
"""What becomes of the first message; the unknown one is never followed."""
FOLLOWED = {"refused", "failed", "late failure", "silent", "late"}


def test_many_customers_with_scripted_outcomes(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """A text exactly where the chat failed or took too long, never two, everybody counted once."""
    count = int(os.environ.get("ENVOI_CASCADE_PEOPLE", "400"))
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, count, phones=True)
        by_phone = dict(_phones_of(session, tenant_id))
    fates = {phone(n): FATES[n % len(FATES)] for n in range(1, count + 1)}
    answers = {"refused": SendStatus.REFUSED, "unknown": SendStatus.UNKNOWN}
    chain.answers |= {("chat", a): answers[f] for a, f in fates.items() if f in answers}
    run = a_cascade(site, tenant_id, "chat", step("text"), block_size=50)
    where = (site.database, tenant_id, run.id)

    def tell(fate: str, kind: EventType) -> None:
        for address in (address for address, its in fates.items() if its == fate):
            report(site, run, by_phone[address], kind, 1)

    def go_on() -> None:
        """Several move and send at once, as processes do."""
        hands = [threading.Thread(target=move_on, args=where) for _ in range(3)]
        hands += [threading.Thread(target=send, args=(site, run)) for _ in range(2)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()

    send(site, run)
    tell("failed", EventType.FAILED)
    tell("delivered", EventType.DELIVERED)
    tell("read", EventType.READ)
    go_on()
    let_pass(site, run, 5)
    tell("late failure", EventType.FAILED)
    go_on()
    let_pass(site, run, 6)
    go_on()
    send(site, run)
    tell("late", EventType.DELIVERED)
    for _ in range(2):
        go_on()
        send(site, run)
    expected = {address for address, fate in fates.items() if fate in FOLLOWED}
    assert chain.got("text") == dict.fromkeys(expected, 1)
    assert chain.got("chat") == {a: 1 for a, fate in fates.items() if fate != "refused"}
    assert course(site, run) == RunStatus.SENT
    with site.database.tenant_session(tenant_id) as session:
        stored = get_run(session, tenant_id, run.id)
        counted, steps = progress(session, tenant_id, run.id), steps_of(session, stored)
        assert (stored.recipients, stored.failed) == (count, 0)
    each = Counter(fates.values())
    assert counted.recipients == count
    assert counted.unconfirmed == each["unknown"]
    assert counted.accepted == count - each["unknown"]
    assert steps[0].followed == steps[1].sent == len(expected)
    assert steps[0].delivered == each["delivered"] + each["read"] + each["late"]


def _phones_of(session: Session, tenant_id: int) -> list[tuple[str, int]]:
    c = table(Customer).c
    rows = session.execute(select(c.phone, c.id).where(c.tenant_id == tenant_id))
    return [(row.phone, row.id) for row in rows]
