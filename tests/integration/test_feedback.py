"""Bounces and complaints change the ledger, the contact and the subscriptions, once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select, update

from envoi.customers.models import Customer, Quality
from envoi.db import Database, table
from envoi.delivery.models import Message, MessageState, Run, RunStatus, RunTraffic
from envoi.delivery.runs import get_run, resume_run
from envoi.errors import ConflictError
from envoi.feedback import matching
from envoi.feedback.cleaning import clean
from envoi.feedback.contacts import forgive_address, forgive_old
from envoi.feedback.decisions import believe, dismiss, suspect_of
from envoi.feedback.intake import Intake
from envoi.feedback.ledger import apply
from envoi.feedback.models import NOBODY, Bounce, Door, Fault, Inbound, InboundState
from envoi.feedback.rates import look_at_rates
from envoi.jobs import Work, due
from envoi.subscriptions.models import Suppression
from envoi.subscriptions.service import consent_history, is_opted_out
from envoi.tenants.models import DueWork, TenantSettings
from envoi.tenants.service import create_tenant
from envoi.tracking.counters import compare
from envoi.tracking.tokens import MessageRef, TokenSigner
from envoi.types import DeliveryEvent, EventType
from factories.delivery import a_run
from factories.feedback import messages, sample

NOW = datetime.now(UTC).replace(microsecond=0)
SIGNER = TokenSigner(["a key only for tests"])


@dataclass(frozen=True)
class Sent:
    """A run that was handed over, and the doors' way in."""

    database: Database
    tenant_id: int
    run: Run
    refs: Sequence[MessageRef]
    intake: Intake

    def key(self, number: int = 0) -> str:
        """The key of one message."""
        return SIGNER.message_key(self.refs[number])

    def address(self, number: int = 0) -> str:
        """The address of one recipient."""
        return str(self.customer(number).email)

    def customer(self, number: int = 0) -> Customer:
        """One recipient."""
        with self.database.tenant_session(self.tenant_id) as session:
            found = session.get(Customer, (self.tenant_id, self.refs[number].customer_id))
        assert found is not None
        return found

    def message(self, number: int = 0) -> Any:
        """One message's row."""
        m = table(Message).c
        ref = self.refs[number]
        query = select(table(Message)).where(
            m.tenant_id == self.tenant_id,
            m.run_id == ref.run_id,
            m.customer_id == ref.customer_id,
            m.launched_on == ref.launched_on,
        )
        with self.database.tenant_session(self.tenant_id) as session:
            return session.execute(query).one()

    def bounces(self) -> list[Any]:
        """What is kept of bounces."""
        b = table(Bounce)
        with self.database.tenant_session(self.tenant_id) as session:
            return list(session.execute(select(b).where(b.c.tenant_id == self.tenant_id)))

    def inbound(self, tenant_id: int | None = None) -> list[Any]:
        """What came in, raw."""
        i = table(Inbound)
        whose = self.tenant_id if tenant_id is None else tenant_id
        with self.database.tenant_session(whose) as session:
            return list(session.execute(select(i).where(i.c.tenant_id == whose).order_by(i.c.id)))

    def receive(self, name: str, number: int = 0) -> InboundState:
        """Let a sample come in that is about one message."""
        raw = sample(name, self.key(number), self.address(number))
        return self.intake.receive(raw, Door.LISTENER).state

    def bounce(self, number: int = 0, status: str = "5.1.1", at: datetime = NOW) -> None:
        """Let one message bounce."""
        event = DeliveryEvent(message_key="", type="bounced", occurred_at=at, status=status)
        with self.database.tenant_session(self.tenant_id) as session:
            apply(session, self.refs[number], event, Door.WEBHOOK)


def _sent(database: Database, tenant_id: int, people: int | list[int]) -> Sent:
    with database.tenant_session(tenant_id) as session:
        run = a_run(session, tenant_id, None, people)
    refs = messages(database, run)
    m = table(Message).c
    with database.tenant_session(tenant_id) as session:
        session.execute(
            update(table(Message))
            .where(m.tenant_id == tenant_id, m.run_id == run.id, m.launched_on == run.launched_on)
            .values(state=MessageState.ACCEPTED, accepted_at=NOW - timedelta(hours=1), code=250)
        )
    return Sent(database, tenant_id, run, refs, Intake(database, SIGNER))


@pytest.fixture
def sent(database: Database, tenant_id: int) -> Sent:
    """A run of five messages that were accepted an hour ago."""
    return _sent(database, tenant_id, 5)


def test_a_hard_bounce_excludes_the_contact(sent: Sent) -> None:
    assert sent.receive("postfix_user_unknown") is InboundState.APPLIED
    assert sent.customer().email_quality == Quality.NOT_EXISTING
    assert sent.message().bounced_at is not None
    [bounce] = sent.bounces()
    assert (bounce.fault, bounce.status, bounce.reason) == (Fault.HARD, "5.1.1", "unknown_user")
    assert (bounce.address, bounce.door) == (sent.address(), Door.LISTENER)
    assert "User unknown" in bounce.answer
    assert sent.customer(1).email_quality == Quality.GOOD
    [kept] = sent.inbound()
    assert kept.state == InboundState.APPLIED
    assert b"User unknown" in kept.raw


@pytest.mark.parametrize("name", ["postfix_blocklist", "gmail_unauthenticated", "postfix_policy"])
def test_what_blames_the_sender_leaves_the_contact_alone(sent: Sent, name: str) -> None:
    sent.receive(name)
    assert sent.customer().email_quality == Quality.GOOD
    assert sent.message().bounced_at is not None
    assert [bounce.fault for bounce in sent.bounces()] == [Fault.SENDER]


def test_a_soft_bounce_marks_and_a_success_clears(sent: Sent) -> None:
    sent.receive("postfix_mailbox_full")
    assert sent.customer().email_quality == Quality.MAILBOX_FULL
    later = DeliveryEvent(
        message_key="", type=EventType.DELIVERED, occurred_at=NOW + timedelta(days=1)
    )
    with sent.database.tenant_session(sent.tenant_id) as session:
        apply(session, sent.refs[0], later, Door.WEBHOOK)
    assert sent.customer().email_quality == Quality.GOOD
    assert sent.message().delivered_at == NOW + timedelta(days=1)


def test_seven_soft_bounces_within_a_month_exhaust_an_address(
    database: Database, tenant_id: int
) -> None:
    sents = [_sent(database, tenant_id, 1)]
    customers = [sents[0].refs[0].customer_id]
    sents += [_sent(database, tenant_id, customers) for _ in range(6)]
    for n, one in enumerate(sents[:6]):
        one.bounce(status="4.2.2", at=NOW - timedelta(days=n))
    assert sents[0].customer().email_quality == Quality.MAILBOX_FULL
    sents[6].bounce(status="4.2.2", at=NOW - timedelta(days=31))
    assert sents[0].customer().email_quality == Quality.MAILBOX_FULL
    sents[6].bounce(status="4.2.2", at=NOW - timedelta(days=40))
    assert sents[0].customer().email_quality == Quality.MAILBOX_FULL
    eighth = _sent(database, tenant_id, customers)
    eighth.bounce(status="5.2.2", at=NOW - timedelta(days=30) + timedelta(minutes=1))
    assert eighth.customer().email_quality == Quality.EXHAUSTED
    again = DeliveryEvent(message_key="", type="delivered", occurred_at=NOW + timedelta(hours=1))
    with database.tenant_session(tenant_id) as session:
        apply(session, eighth.refs[0], again, Door.WEBHOOK)
    assert eighth.customer().email_quality == Quality.EXHAUSTED


def test_seven_at_once_are_seven(database: Database, tenant_id: int) -> None:
    sents = [_sent(database, tenant_id, 1)]
    customers = [sents[0].refs[0].customer_id]
    sents += [_sent(database, tenant_id, customers) for _ in range(6)]
    with ThreadPoolExecutor(7) as pool:
        list(pool.map(lambda one: one.bounce(status="4.2.2"), sents))
    assert sents[0].customer().email_quality == Quality.EXHAUSTED


def test_a_changed_address_is_not_blamed_for_the_old_one(sent: Sent) -> None:
    raw = sample("postfix_user_unknown", sent.key(), sent.address())
    c = table(Customer).c
    with sent.database.tenant_session(sent.tenant_id) as session:
        mine = (c.tenant_id == sent.tenant_id, c.id == sent.refs[0].customer_id)
        session.execute(update(table(Customer)).where(*mine).values(email="new@kundenpost.test"))
    sent.intake.receive(raw, Door.LISTENER)
    assert sent.customer().email_quality == Quality.GOOD
    assert sent.message().bounced_at is not None


def test_a_complaint_ten_times_shuffled_is_one(sent: Sent) -> None:
    reports = [
        sample("arf_yahoo_redacted", sent.key(), sent.address()) + b"\r\n" * n for n in range(10)
    ]
    random.Random(7).shuffle(reports)
    for raw in reports:
        sent.intake.receive(raw, Door.MAILBOX)
    with sent.database.tenant_session(sent.tenant_id) as session:
        s = table(Suppression)
        suppressed = session.execute(select(s).where(s.c.tenant_id == sent.tenant_id)).all()
        customer_id = sent.refs[0].customer_id
        assert is_opted_out(session, sent.tenant_id, customer_id, "email")
        [change] = consent_history(session, sent.tenant_id, customer_id)
    assert [(one.address, one.reason) for one in suppressed] == [(sent.address(), "complaint")]
    assert (change.action, change.source) == ("opt_out", "complaint")
    assert sent.customer().email_quality == Quality.COMPLAINT
    assert sent.message().complained_at is not None
    assert compare(sent.database, sent.tenant_id, sent.run.id) == []
    assert len(sent.inbound()) == 10


def test_what_names_no_message_waits_for_a_person(sent: Sent) -> None:
    before = len(sent.inbound(NOBODY))
    foreign = TokenSigner(["somebody else's"]).message_key(sent.refs[0])
    fate = sent.intake.receive(
        sample("postfix_user_unknown", foreign, "nobody@elsewhere.test"), Door.LISTENER
    )
    assert (fate.tenant_id, fate.state) == (NOBODY, InboundState.QUARANTINED)
    assert len(sent.inbound(NOBODY)) == before + 1
    assert sent.inbound() == []
    to_ours = sent.intake.receive(
        b"Subject: hm\r\n\r\nhm", Door.LISTENER, f"b+{sent.key()}@mail.test"
    )
    assert (to_ours.tenant_id, to_ours.reason) == (sent.tenant_id, "no_report")


@pytest.fixture
def unproven(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> int:
    """A bounce of the first message that does not carry our key, in quarantine."""
    # The database holds the companies of other tests as well.
    monkeypatch.setattr(matching, "MOST_TENANTS", 10_000)
    c = table(Customer).c
    with sent.database.tenant_session(sent.tenant_id) as session:
        mine = (c.tenant_id == sent.tenant_id, c.id == sent.refs[0].customer_id)
        address = f"only-{sent.tenant_id}@kundenpost.test"
        session.execute(update(table(Customer)).where(*mine).values(email=address))
    assert sent.receive("no_key_at_all") is InboundState.QUARANTINED
    assert (sent.bounces(), sent.customer().email_quality) == ([], Quality.GOOD)
    [kept] = sent.inbound()
    assert kept.reason == "no_key"
    return int(kept.id)


def test_a_bounce_without_our_key_is_applied_once_a_person_believes_it(
    sent: Sent, unproven: int
) -> None:
    with sent.database.tenant_session(sent.tenant_id) as session:
        suspect = suspect_of(session, session.get_one(Inbound, (sent.tenant_id, unproven)))
        assert suspect is not None
        assert suspect.address == sent.address()
        believe(session, sent.tenant_id, unproven)
    assert sent.customer().email_quality == Quality.NOT_EXISTING
    assert [one.state for one in sent.inbound()] == [InboundState.APPLIED]
    _cannot_be_decided_again(sent, unproven)


def test_a_bounce_without_our_key_that_a_person_dismisses_changes_nothing(
    sent: Sent, unproven: int
) -> None:
    with sent.database.tenant_session(sent.tenant_id) as session:
        dismiss(session, sent.tenant_id, unproven)
    assert (sent.bounces(), sent.customer().email_quality) == ([], Quality.GOOD)
    assert [one.state for one in sent.inbound()] == [InboundState.IGNORED]
    assert sent.receive("no_key_at_all") is InboundState.QUARANTINED
    assert len(sent.inbound()) == 1
    _cannot_be_decided_again(sent, unproven)


def _cannot_be_decided_again(sent: Sent, inbound_id: int) -> None:
    for decide in (believe, dismiss):
        with (
            pytest.raises(ConflictError),
            sent.database.tenant_session(sent.tenant_id) as session,
        ):
            decide(session, sent.tenant_id, inbound_id)


def test_who_knows_a_key_cannot_exclude_somebody_else(sent: Sent) -> None:
    """Everybody who got a message can write a bounce with its key, and name any address."""
    raw = sample("postfix_user_unknown", sent.key(0), sent.address(1))
    assert sent.intake.receive(raw, Door.LISTENER).state is InboundState.APPLIED
    assert [sent.customer(n).email_quality for n in (0, 1)] == [Quality.GOOD] * 2
    sent.bounce(1, "4.2.2")
    assert sent.customer(1).email_quality == Quality.MAILBOX_FULL


def test_a_complaint_without_our_key_is_not_believed(sent: Sent) -> None:
    raw = sample("arf_with_recipient", "b" * 56).replace(
        b"ines.vogt@mailru.test", sent.address().encode()
    )
    assert sent.intake.receive(raw, Door.LISTENER).state is InboundState.QUARANTINED
    assert sent.customer().email_quality == Quality.GOOD


def test_replies_and_delays_change_nothing(sent: Sent) -> None:
    for name in ("reply_rfc3834", "postfix_delayed", "arf_not_spam"):
        assert sent.receive(name) is InboundState.IGNORED
    assert sent.bounces() == []
    assert sent.customer().email_quality == Quality.GOOD


def test_an_unconfirmed_message_that_bounces_had_been_taken(sent: Sent) -> None:
    m = table(Message).c
    with sent.database.tenant_session(sent.tenant_id) as session:
        mine = (m.tenant_id == sent.tenant_id, m.run_id == sent.run.id)
        session.execute(
            update(table(Message))
            .where(*mine, m.launched_on == sent.run.launched_on)
            .values(state=MessageState.UNCONFIRMED, accepted_at=None)
        )
    sent.receive("postfix_mailbox_full")
    found = sent.message()
    assert (found.state, found.accepted_at) == (MessageState.ACCEPTED, found.bounced_at)


def test_a_bounce_that_blames_the_sender_takes_the_mark_of_a_lesser_one_along(sent: Sent) -> None:
    sent.bounce(0, "4.2.2", NOW - timedelta(hours=1))
    sent.bounce(0, "5.7.1")
    sent.bounce(1, "5.7.1")
    sent.bounce(1, "4.2.2", NOW - timedelta(hours=1))
    assert [sent.customer(n).email_quality for n in (0, 1)] == [Quality.GOOD] * 2


EVENTS = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["5.1.1", "5.1.2", "4.2.2", "5.2.1", "5.7.1", "4.4.1", "complained"]),
    st.integers(0, 20),
)


@hypothesis_settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, min_size=1, max_size=6), seed=st.integers(0, 99))
def test_order_and_repetition_change_nothing(
    database: Database, events: list[tuple[int, str, int]], seed: int
) -> None:
    shuffled = events + random.Random(seed).choices(events, k=3)
    random.Random(seed).shuffle(shuffled)
    assert _after(database, events) == _after(database, shuffled)


def _after(database: Database, events: list[tuple[int, str, int]]) -> object:
    """The facts of a new company's run of three after these events."""
    tenant = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Fieldmarket")
    sent = _sent(database, tenant.id, 3)
    for number, what, hours in events:
        if what == "complained":
            event = DeliveryEvent(message_key="", type=what, occurred_at=NOW)
        else:
            at = NOW - timedelta(hours=hours)
            event = DeliveryEvent(message_key="", type="bounced", occurred_at=at, status=what)
        with database.tenant_session(tenant.id) as session:
            apply(session, sent.refs[number], event, Door.WEBHOOK)
    kept = sorted((b.fault, b.quality, b.at, b.status) for b in sent.bounces())
    facts = [(sent.message(n).bounced_at, sent.message(n).complained_at) for n in range(3)]
    return kept, facts, [sent.customer(n).email_quality for n in range(3)]


@pytest.mark.parametrize(("bounces", "paused"), [(9, False), (10, True)])
def test_a_run_pauses_at_the_share_of_bounces(
    database: Database, tenant_id: int, bounces: int, paused: bool
) -> None:
    sent = _sent(database, tenant_id, 200)
    for number in range(bounces):
        sent.bounce(number)
    w = table(DueWork).c
    with database.system_session() as session:
        announced = select(func.count()).where(w.tenant_id == tenant_id, w.kind == Work.RATES)
        assert session.scalar(announced) == 1
    assert look_at_rates(database, tenant_id, sent.run.id) is paused
    with database.tenant_session(tenant_id) as session:
        run = get_run(session, tenant_id, sent.run.id)
    assert run.status == (RunStatus.PAUSED if paused else RunStatus.SENDING)
    assert ("5.0 percent of the messages bounced (10 of 200)" in run.pause_reason) is paused


def test_the_ledger_is_counted_only_where_the_counters_say_it_may_matter(
    database: Database, tenant_id: int
) -> None:
    sent = _sent(database, tenant_id, 200)
    with database.tenant_session(tenant_id) as session:
        session.add(RunTraffic(tenant_id=tenant_id, run_id=sent.run.id, minute=NOW, accepted=200))
    for number in range(9):
        sent.bounce(number)
    assert not _reads_the_ledger(database, sent)
    sent.bounce(9)
    assert _reads_the_ledger(database, sent)
    with database.tenant_session(tenant_id) as session:
        assert get_run(session, tenant_id, sent.run.id).status == RunStatus.PAUSED


def _reads_the_ledger(database: Database, sent: Sent) -> bool:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        look_at_rates(database, sent.tenant_id, sent.run.id)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    return any("FROM message" in " ".join(one.split()) for one in statements)


def test_after_a_person_has_gone_on_only_twice_the_share_pauses(
    database: Database, tenant_id: int
) -> None:
    sent = _sent(database, tenant_id, 200)
    for number in range(12):
        sent.bounce(number)
    assert look_at_rates(database, tenant_id, sent.run.id)
    with database.tenant_session(tenant_id) as session:
        resume_run(session, tenant_id, sent.run.id)
    for number in range(12, 23):
        sent.bounce(number)
    assert not look_at_rates(database, tenant_id, sent.run.id)
    sent.bounce(23)
    assert look_at_rates(database, tenant_id, sent.run.id)


def test_one_complaint_in_200_pauses_and_the_share_is_the_companys(
    database: Database, tenant_id: int
) -> None:
    sent = _sent(database, tenant_id, 200)
    sent.receive("arf_yahoo_redacted")
    with database.system_session() as session:
        assert (tenant_id, Work.RATES, sent.run.id) not in due(session, [Work.RATES])
    with database.tenant_session(tenant_id) as session:
        settings = session.get(TenantSettings, tenant_id)
        assert settings is not None
        settings.pause_complaint_share = 0.6
    assert not look_at_rates(database, tenant_id, sent.run.id)
    with database.tenant_session(tenant_id) as session:
        session.get_one(TenantSettings, tenant_id).pause_complaint_share = 0.5
    assert look_at_rates(database, tenant_id, sent.run.id)
    with database.tenant_session(tenant_id) as session:
        assert (
            "0.50 percent of the recipients"
            in get_run(session, tenant_id, sent.run.id).pause_reason
        )


def test_a_person_forgives_an_address_but_no_complaint(sent: Sent) -> None:
    sent.receive("postfix_user_unknown")
    sent.receive("arf_yahoo_redacted", 1)
    with sent.database.tenant_session(sent.tenant_id) as session:
        forgive_address(session, sent.tenant_id, sent.address())
    assert sent.customer().email_quality == Quality.GOOD
    with (
        pytest.raises(ConflictError, match="reported"),
        sent.database.tenant_session(sent.tenant_id) as session,
    ):
        forgive_address(session, sent.tenant_id, sent.address(1))


def test_old_soft_bounces_pass_and_old_raw_ones_are_deleted(sent: Sent) -> None:
    sent.bounce(0, "4.2.2", NOW - timedelta(days=31))
    sent.bounce(1, "4.2.2", NOW - timedelta(days=29))
    sent.receive("postfix_user_unknown", 2)
    with sent.database.tenant_session(sent.tenant_id) as session:
        assert forgive_old(session, sent.tenant_id) == 1
    assert [sent.customer(n).email_quality for n in range(3)] == [0, 3, 32]
    assert clean(sent.database, days=1) == 0 or sent.inbound()
    i = table(Inbound).c
    with sent.database.tenant_session(sent.tenant_id) as session:
        old = update(table(Inbound)).where(i.tenant_id == sent.tenant_id)
        session.execute(old.values(received_at=NOW - timedelta(days=2)))
    assert clean(sent.database, days=1) >= 1
    assert sent.inbound() == []
