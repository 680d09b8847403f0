"""Cascades that a provider goes through by itself: one request each, and only reports to read."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from chains import PART, Chain, a_cascade, add_gateways, let_pass, phone, send, step
from envoi.db import table
from envoi.delivery import costs, outcomes
from envoi.delivery.cascade import move_on
from envoi.delivery.gateways import named_gateway
from envoi.delivery.models import HandedOver, Message, MessageState, Run, RunStatus
from envoi.delivery.prices import UNITS, set_prices
from envoi.delivery.runs import get_run, progress
from envoi.delivery.submissions import forget_old
from envoi.feedback.intake import Intake
from envoi.feedback.models import Door
from envoi.installation import Installation
from envoi.mailings.steps import StepFigures, steps_of
from envoi.tracking.ledger import Hit, write
from envoi.tracking.models import EventKind
from envoi.tracking.tokens import MessageRef, signer_of
from envoi.types import DeliveryEvent, EventType, SendStatus
from factories.customers import make_customers, opt_out
from factories.scripted import make_due

CHAT_PRICE, TEXT_PRICE = 3_000, 20_000
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NOON = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@dataclass
class Teller:
    """Tells what became of the requests that a provider took, as its webhook would."""

    site: Installation
    run: Run
    chain: Chain
    intake: Intake = field(init=False)
    gateway_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.site.database, signer_of(self.site.settings))
        with self.site.database.tenant_session(self.run.tenant_id) as session:
            gateway = named_gateway(session, self.run.tenant_id, "chat", "chat")
        assert gateway is not None
        self.gateway_id = gateway.id

    def tell(self, address: str, channel: str, kind: EventType, minute: int = 1) -> None:
        """Report something of a channel; `raw` differs, as if another had sent it again."""
        taken = reversed(self.chain.taken["chat"])
        event = DeliveryEvent(
            type=kind,
            occurred_at=NOON + timedelta(minutes=minute),
            message_key=next(one.key for one in taken if one.address == address),
            channel=channel,
        )
        raw = random.randbytes(8)
        self.intake.report(raw, Door.WEBHOOK, self.run.tenant_id, self.gateway_id, event)


def figures(site: Installation, run: Run) -> tuple[StepFigures, ...]:
    with site.database.tenant_session(run.tenant_id) as session:
        return steps_of(session, get_run(session, run.tenant_id, run.id))


def ledger(site: Installation, run: Run) -> list[Any]:
    """Everything that is known of the run's messages, without the numbers of blocks."""
    m = table(Message).c
    columns = (m.customer_id, m.step, m.state, m.follows, m.delivered_at, m.bounced_at, m.opened_at)
    query = select(*columns, m.accepted_at).where(
        m.tenant_id == run.tenant_id, m.run_id == run.id, m.launched_on == run.launched_on
    )
    with site.database.tenant_session(run.tenant_id) as session:
        return list(session.execute(query.order_by(m.customer_id, m.step)))


def course(site: Installation, run: Run) -> RunStatus:
    with site.database.tenant_session(run.tenant_id) as session:
        return RunStatus(get_run(session, run.tenant_id, run.id).status)


D, F, R, E = EventType.DELIVERED, EventType.FAILED, EventType.READ, EventType.DEFERRED
FATES: dict[str, list[tuple[str, EventType, int]]] = {
    "delivered": [("chat", D, 1)],
    "read": [("chat", D, 1), ("chat", R, 2)],
    "failed, then delivered": [("chat", F, 1), ("text", E, 2), ("text", D, 3)],
    "silent, then delivered": [("text", D, 11)],
    "both failed": [("chat", F, 1), ("text", F, 2)],
    "on its way": [("text", E, 2)],
    "late": [("chat", F, 1), ("text", D, 2), ("chat", D, 30)],
    "never heard of": [],
    "refused": [],
    "unknown": [("chat", F, 1), ("text", D, 2)],
    "no text": [("chat", F, 1)],
}
"""What a provider reports, by the fate of a message; "no text" has left that channel."""
MOVED = {name for name, told in FATES.items() if any(channel == "text" for channel, *_ in told)}


def test_many_customers_with_scripted_outcomes(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """One request each; a second message exactly where the provider says that it went on."""
    count = int(os.environ.get("ENVOI_CASCADE_PEOPLE", "330"))
    names = list(FATES)
    fates = {phone(n): names[n % len(names)] for n in range(1, count + 1)}
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, count, phones=True)
        for n in range(1, count + 1):
            if fates[phone(n)] == "no text":
                opt_out(session, tenant_id, f"C-{n}", channel="text")
    answers = {"refused": SendStatus.REFUSED, "unknown": SendStatus.UNKNOWN}
    chain.answers |= {("chat", a): answers[f] for a, f in fates.items() if f in answers}
    # The texts of C-1 to C-99 fit into one part, those of the others need two.
    text = "{{ client.properties.external_id }}" + "." * (PART - 5)
    run = a_cascade(site, tenant_id, "chat", step("text", contents=[{"text": text}]), moves_on=True)
    price(site, tenant_id)
    send(site, run)

    # One request, with the text where it is allowed; the rest is the provider's.
    assert chain.got("chat") == {a: 1 for a, fate in fates.items() if fate != "refused"}
    for message in chain.taken["chat"]:
        then = [(t.channel, t.wait_seconds, t.success) for t in message.then]
        allowed = fates[message.address] != "no text"
        assert then == ([("text", 600, "delivered")] if allowed else [])
    assert not chain.taken["text"]
    # Who was refused was not taken for any channel, so they are ours to follow.
    let_pass(site, run, 60)
    refused = {address for address, fate in fates.items() if fate == "refused"}
    assert move_on(site.database, tenant_id, run.id) == len(refused)
    send(site, run)
    assert chain.got("text") == dict.fromkeys(refused, 1)
    assert course(site, run) == RunStatus.SENT

    reports = [(a, *told) for a, fate in fates.items() for told in FATES[fate]]
    teller = Teller(site, run, chain)
    tell_all(teller, reports)
    before, counted = ledger(site, run), figures(site, run)
    tell_all(teller, random.Random(2).sample(reports, len(reports) // 2))
    assert ledger(site, run) == before, "what comes twice or in another order changes nothing"
    assert figures(site, run) == counted

    each = Counter(fates.values())
    moved = {a for a, fate in fates.items() if fate in MOVED} | refused
    first, second = counted
    assert first.messages == count
    assert first.followed == second.messages == second.sent == len(moved)
    assert first.delivered == each["delivered"] + each["read"] + each["late"]
    assert first.read == each["read"]
    assert second.delivered == sum(each[fate] for fate in MOVED - {"both failed", "on its way"})
    assert second.failed == each["both failed"]
    taken = count - each["refused"]
    assert first.amount == taken * CHAT_PRICE
    assert second.amount == sum(parts(a) for a in moved) * TEXT_PRICE
    with site.database.tenant_session(tenant_id) as session:
        assert progress(session, tenant_id, run.id).accepted == count


def parts(address: str) -> int:
    """How many parts the text to a customer has."""
    return 1 + (len(f"C-{int(address[-7:])}") + PART - 5) // PART


def price(site: Installation, tenant_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        for name, amount in (("chat", CHAT_PRICE), ("text", TEXT_PRICE)):
            gateway = named_gateway(session, tenant_id, name, name)
            assert gateway is not None
            table_of = {"prices": [{"price": str(amount / UNITS)}]}
            set_prices(session, tenant_id, gateway.id, table_of)


def tell_all(teller: Teller, reports: Iterable[tuple[str, str, EventType, int]]) -> None:
    shuffled = list(reports)
    random.Random(1).shuffle(shuffled)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda one: teller.tell(*one), shuffled):
            pass


def test_a_gateway_without_the_ability_is_followed_by_us(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """The setting is switched off while the mailing is sent; what has left stays as it left."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    chain.answers["chat", phone(2)] = SendStatus.REFUSED_NOW
    send(site, run)
    chain.answers.clear()
    add_gateways(site, tenant_id, ["chat"])
    make_due(site.database, run)
    send(site, run)
    assert [(m.address, len(m.then)) for m in chain.taken["chat"]] == [(phone(1), 1), (phone(2), 0)]
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 1
    send(site, run)
    assert chain.got("text") == {phone(2): 1}
    teller = Teller(site, run, chain)
    teller.tell(phone(1), "text", D)
    teller.tell(phone(2), "text", D)
    first, second = figures(site, run)
    assert (first.followed, second.delivered) == (2, 1), "nobody said that our own text arrived"


@pytest.mark.parametrize("success", ["read", "delivered"])
def test_what_a_provider_cannot_wait_for_is_our_own_cascade(
    site: Installation, tenant_id: int, chain: Chain, success: str
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1, phones=True)
    behind = [step("text", success=success), step("letter")]
    run = a_cascade(
        site, tenant_id, "chat", *behind[: 1 if success == "read" else 2], moves_on=True
    )
    send(site, run)
    [message] = chain.taken["chat"]
    assert message.then == ()
    assert message.lifetime_seconds == 600
    let_pass(site, run, 11)
    assert move_on(site.database, tenant_id, run.id) == 1


def test_a_request_of_unknown_outcome_is_resolved_by_what_came_of_it(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 2, phones=True)
    chain.answers |= {("chat", phone(n)): SendStatus.UNKNOWN for n in (1, 2)}
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    send(site, run)
    let_pass(site, run, 60)
    assert move_on(site.database, tenant_id, run.id) == 0
    send(site, run)
    assert course(site, run) == RunStatus.SENT
    Teller(site, run, chain).tell(phone(1), "text", E)
    states = [(row.step, row.state) for row in ledger(site, run)]
    accepted, unknown = MessageState.ACCEPTED, MessageState.UNCONFIRMED
    assert states == [(1, accepted), (2, accepted), (1, unknown)]


def test_what_is_told_before_the_answer_is_written_down_costs_once(
    site: Installation, tenant_id: int, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider goes on at once, and its report overtakes its own answer."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    price(site, tenant_id)
    teller = Teller(site, run, chain)
    monkeypatch.setattr(chain, "after", lambda message: teller.tell(message.address, "text", D))
    send(site, run)
    for number in (1, 2, 3):
        teller.tell(phone(number), "text", D)
    first, second = figures(site, run)
    assert (first.amount, second.amount) == (3 * CHAT_PRICE, 3 * TEXT_PRICE)
    assert (first.followed, second.delivered) == (3, 3)


def test_who_follows_a_link_of_the_further_message_has_got_it(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    """Also where the provider is late with its report; of others nothing is made up."""
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
    chain.answers["chat", phone(3)] = SendStatus.REFUSED
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    price(site, tenant_id)
    send(site, run)
    first, _, refused = (row.customer_id for row in ledger(site, run))
    at = datetime.now(UTC) + timedelta(minutes=11)
    refs = [
        MessageRef(tenant_id, run.id, number, run.launched_on, 2, 1) for number in (first, refused)
    ]
    hits = [Hit(ref, EventKind.CLICK, at, 0, agent=FIREFOX) for ref in (*refs, *refs)]
    write(site.database, tenant_id, run.launched_on, hits)
    second = [row for row in ledger(site, run) if row.step == 2]
    assert [(row.customer_id, row.opened_at) for row in second] == [(first, at)]
    Teller(site, run, chain).tell(phone(1), "text", D)
    assert figures(site, run)[1].amount == TEXT_PRICE


def test_a_link_followed_while_the_answer_is_written_down_costs_once(
    site: Installation, tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    price(site, tenant_id)
    customer_id = ledger(site, run)[0].customer_id
    ref = MessageRef(tenant_id, run.id, customer_id, run.launched_on, 2, 1)
    hit = Hit(ref, EventKind.CLICK, datetime.now(UTC), 0, agent=FIREFOX)
    arguments = (site.database, tenant_id, run.launched_on, [hit])
    following = Thread(target=write, args=arguments)

    def note_cost(*given: Any) -> None:
        costs.note_cost(*given)
        following.start()
        # It waits for the transaction that we are in, or is done in no time.
        following.join(1)

    monkeypatch.setattr(outcomes, "note_cost", note_cost)
    send(site, run)
    following.join()
    assert figures(site, run)[1].amount == TEXT_PRICE


def test_what_is_kept_of_prices_goes_after_a_while(
    site: Installation, tenant_id: int, chain: Chain
) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1, phones=True)
    run = a_cascade(site, tenant_id, "chat", step("text"), moves_on=True)
    price(site, tenant_id)
    send(site, run)
    assert forget_old(site.database) == 0
    with site.database.tenant_session(tenant_id) as session:
        kept = table(HandedOver)
        old = kept.update().where(kept.c.tenant_id == tenant_id)
        session.execute(old.values(at=NOON - timedelta(days=15)))
    assert forget_old(site.database) == 1
