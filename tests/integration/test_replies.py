"""What customers answer: a stop is obeyed before it is acknowledged, all else is kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from envoi import gsm
from envoi.customers.models import Customer
from envoi.db import table
from envoi.feedback.cleaning import clean
from envoi.feedback.models import Reply
from envoi.feedback.replies import ShownReply, replies_by_gateway, replies_from
from envoi.feedback.reporting import reporter
from envoi.installation import Installation
from envoi.subscriptions.service import consent_history, is_opted_out
from envoi.tenants.service import create_tenant, tenant_settings
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent, EventType
from envoi_provider_smpp.pdu import Address, ShortMessage
from envoi_provider_smpp.receiver import receive
from envoi_simulators.smsc import Smsc
from factories.reports import Handed, handed_over, teller_gateway
from processes import wait_until
from smsc import smpp_settings

NOW = datetime.now(UTC)


class Answers:
    """Lets the phones of a company answer."""

    def __init__(self, installation: Installation, handed: Handed) -> None:
        self._handed = handed
        self._tenant_id = handed.run.tenant_id
        signer = signer_of(installation.settings)
        self.report = reporter(installation.database, signer, self._tenant_id, handed.gateway_id)

    def __call__(self, phone: str, text: str, at: datetime = NOW) -> None:
        event = DeliveryEvent(
            type=EventType.REPLIED, occurred_at=at, recipient=phone, text=text, raw=text
        )
        self.report(event, text.encode("utf-8", "replace"))

    def kept(self) -> list[ShownReply]:
        with self._handed.database.tenant_session(self._tenant_id) as session:
            return replies_by_gateway(session, self._tenant_id, self._handed.gateway_id, 100)

    def opted_out(self) -> Sequence[bool]:
        with self._handed.database.tenant_session(self._tenant_id) as session:
            return [
                is_opted_out(session, self._tenant_id, ref.customer_id, "sms")
                for ref in self._handed.refs
            ]


@pytest.fixture
def answer(installation: Installation, handed: Handed) -> Answers:
    return Answers(installation, handed)


def phones(handed: Handed) -> list[str]:
    """The numbers of the recipients in their order."""
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        found = [session.get(Customer, (ref.tenant_id, ref.customer_id)) for ref in handed.refs]
        return [customer.phone or "" for customer in found if customer]


def test_a_stop_is_an_opt_out_of_sms_with_its_source(handed: Handed, answer: Answers) -> None:
    first = phones(handed)[0]
    answer(first, "СТОП, пожалуйста")
    assert answer.opted_out() == [True, False, False]
    tenant_id, customer_id = handed.run.tenant_id, handed.refs[0].customer_id
    with handed.database.tenant_session(tenant_id) as session:
        [change] = consent_history(session, tenant_id, customer_id)
        # Somebody else with the number is left in peace as well.
        assert is_opted_out(session, tenant_id, 0, "sms", address=first)
        assert not is_opted_out(session, tenant_id, customer_id, "email")
    assert (change.action, change.channel, change.source) == ("opt_out", "sms", "reply")
    assert (change.reason, change.run_id) == ("СТОП, пожалуйста", handed.run.id)
    assert [row.unsubscribed_at is not None for row in handed.rows()] == [True, False, False]
    [reply] = answer.kept()
    assert (reply.is_stop, reply.address, reply.text) == (True, first, "СТОП, пожалуйста")
    assert [number for number, _ in reply.customers] == [customer_id]


def test_other_replies_are_kept_with_the_customer(handed: Handed, answer: Answers) -> None:
    first, second, _ = phones(handed)
    answer(first, "Do you have it in blue?", NOW - timedelta(hours=2))
    answer(first, "And in green?")
    answer(second, "Thanks")
    assert answer.opted_out() == [False, False, False]
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        theirs = replies_from(session, tenant_id, first, 10)
        earlier = replies_from(session, tenant_id, first, 10, until=NOW)
    assert [reply.text for reply in theirs] == ["And in green?", "Do you have it in blue?"]
    assert [reply.text for reply in earlier] == ["Do you have it in blue?"]
    assert len(answer.kept()) == 3


def test_two_customers_with_one_number_are_both_left_in_peace(
    handed: Handed, answer: Answers
) -> None:
    c = table(Customer).c
    second = (c.tenant_id == handed.run.tenant_id, c.id == handed.refs[1].customer_id)
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        session.execute(update(table(Customer)).where(*second).values(phone=phones(handed)[0]))
    answer(phones(handed)[0], "stop")
    assert answer.opted_out() == [True, True, False]
    assert len(answer.kept()[0].customers) == 2


@pytest.mark.parametrize("form", ["{plain}", "0{national}", "00{plain}", "+{plain}"])
def test_numbers_come_in_every_form(handed: Handed, answer: Answers, form: str) -> None:
    plain = phones(handed)[0].removeprefix("+")
    assert plain.startswith("49")
    answer(form.format(plain=plain, national=plain[2:]), "STOP")
    assert answer.opted_out() == [True, False, False]


def test_replies_of_strangers_are_kept(answer: Answers) -> None:
    for phone in ("+4915199999999", "Bank", "7726", "", "+" * 30):
        answer(phone, "STOP")
    assert answer.opted_out() == [False, False, False]
    assert [reply.customers for reply in answer.kept()] == [()] * 5


def test_words_of_the_company_count(handed: Handed, answer: Answers) -> None:
    answer(phones(handed)[0], "Хватит!")
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        tenant_settings(session, handed.run.tenant_id).stop_words = ["хватит"]
    answer(phones(handed)[1], "Хватит!")
    assert answer.opted_out() == [False, True, False]


def test_a_reply_delivered_twice_is_one_and_a_later_one_another(
    handed: Handed, answer: Answers
) -> None:
    first = phones(handed)[0]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: answer(first, "STOP"), range(8)))
    assert len(answer.kept()) == 1
    answer(first, "STOP", NOW - timedelta(days=2))
    answer(phones(handed)[1], "STOP")
    assert len(answer.kept()) == 3


@pytest.mark.parametrize("text", ["", "\0", "x" * 100_000, "\ud800", "'; DROP TABLE reply; --"])
def test_whatever_is_said_is_kept(handed: Handed, answer: Answers, text: str) -> None:
    answer(phones(handed)[0], text)
    [reply] = answer.kept()
    assert len(reply.text) <= 2_000


def test_another_company_knows_nothing_of_it(
    installation: Installation, handed: Handed, answer: Answers, tenant_id: int
) -> None:
    other = create_tenant(installation.database, slug="other-of-replies", name="Other").id
    theirs = handed_over(installation.database, other, teller_gateway(installation, other), 3)
    answer(phones(theirs)[0], "STOP")
    assert Answers(installation, theirs).opted_out() == [False, False, False]
    assert Answers(installation, theirs).kept() == []
    assert len(answer.kept()) == 1


@pytest.mark.parametrize("text", ["STOP", "СТОП", "stop " + "ж" * 200])
def test_a_centre_is_answered_once_the_stop_is_obeyed(
    handed: Handed, answer: Answers, text: str
) -> None:
    stopping = threading.Event()
    obeyed: list[Sequence[bool]] = []

    def report(event: DeliveryEvent, raw: bytes) -> None:
        answer.report(event, raw)
        obeyed.append(answer.opted_out())

    parts = gsm.parts(text)
    message = ShortMessage(
        source=Address(phones(handed)[0].removeprefix("+"), 1, 1),
        destination=Address("4900001", 1, 1),
        text=b"".join(part.data for part in parts),
        coding=parts[0].coding,
    )
    with Smsc() as smsc:
        held = (smpp_settings(smsc.port), report, stopping.is_set)
        thread = threading.Thread(target=receive, args=held)
        thread.start()
        smsc.deliver(message.encode())
        wait_until(lambda: bool(obeyed) and not smsc.undelivered, what="the answer")
        stopping.set()
        thread.join()
    assert obeyed == [[True, False, False]]
    assert answer.kept()[0].text == text


def test_old_replies_are_forgotten(handed: Handed, answer: Answers) -> None:
    answer(phones(handed)[0], "Hello")
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        session.execute(update(table(Reply)).values(at=NOW - timedelta(days=800)))
    clean(handed.database, 30)
    assert answer.kept() == []
