"""What providers report by number: matched in every form, once, in any order, early and late."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as listening
from sqlalchemy import update

from envoi.customers.models import Customer, Quality
from envoi.db import table
from envoi.delivery.models import MessageState
from envoi.delivery.submissions import LONGEST_ID
from envoi.feedback import ledger
from envoi.feedback.models import Bounce, InboundState, WaitingReport
from envoi.feedback.reporting import reporter
from envoi.feedback.reports import FIRST_LOOK, match_waiting
from envoi.installation import Installation
from envoi.jobs import Work, is_announced, withdraw
from envoi.tracking.counters import compare
from envoi.tracking.judging import reclassify
from envoi.tracking.models import EventCounter
from envoi.tracking.tokens import TokenSigner
from envoi.types import DeliveryEvent
from envoi_workers.lost import lost_work
from factories.reports import TAKEN_AT, Handed, handed_over, teller_gateway


def told(
    handed: Handed, signer: TokenSigner, kind: str, number: str = "", minute: int = 1, **more: Any
) -> None:
    """Report something by a connection."""
    event = DeliveryEvent(
        type=kind, reference=number, occurred_at=TAKEN_AT + timedelta(minutes=minute), **more
    )
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    report(event, f"{kind} {number} {minute}".encode())


def phone_of(handed: Handed, place: int = 0) -> Customer:
    """The recipient of a message."""
    ref = handed.refs[place]
    with handed.database.tenant_session(ref.tenant_id) as session:
        return session.get_one(Customer, (ref.tenant_id, ref.customer_id))


@pytest.mark.parametrize(
    ("given", "reported"),
    [("9F3A00C1", "2671378625"), ("2671378625", "9f3a00c1"), ("00AB", "ab"), ("x-7", "x-7")],
)
def test_a_number_is_matched_in_every_form(
    handed: Handed, signer: TokenSigner, given: str, reported: str
) -> None:
    handed.submitted(given)
    told(handed, signer, "delivered", reported)
    assert handed.row().delivered_at == TAKEN_AT + timedelta(minutes=1)
    assert [row.delivered_at for row in handed.rows()[1:]] == [None, None]


def test_of_two_messages_that_a_number_fits_the_address_tells_which(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("16", place=0)
    handed.submitted("10", place=1)
    told(handed, signer, "delivered", "16", recipient=phone_of(handed, 1).phone)
    assert [row.delivered_at is not None for row in handed.rows()] == [False, True, False]
    told(handed, signer, "delivered", "16", minute=2)
    assert [row.delivered_at is not None for row in handed.rows()] == [True, True, False]


def test_an_early_report_waits_for_the_number(handed: Handed, signer: TokenSigner) -> None:
    told(handed, signer, "delivered", "77")
    assert [one.state for one in handed.kept()] == [InboundState.WAITING]
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        assert is_announced(session, tenant_id, Work.MATCH, handed.gateway_id)
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 0
    handed.submitted("77")
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 0, "it is not due"
    _made_older(handed, FIRST_LOOK)
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 1
    assert handed.row().delivered_at is not None
    assert [one.state for one in handed.kept()] == [InboundState.APPLIED]
    assert match_waiting(handed.database, tenant_id, handed.gateway_id) == 0
    with handed.database.tenant_session(tenant_id) as session:
        assert not is_announced(session, tenant_id, Work.MATCH, handed.gateway_id)


def test_a_report_of_nothing_of_ours_waits_an_hour_and_then_for_a_person(
    handed: Handed, signer: TokenSigner
) -> None:
    told(handed, signer, "delivered", "77")
    _made_older(handed, timedelta(minutes=61))
    match_waiting(handed.database, handed.run.tenant_id, handed.gateway_id)
    assert [(one.state, one.reason) for one in handed.kept()] == [
        (InboundState.QUARANTINED, "no_message")
    ]
    assert handed.kept(WaitingReport) == []


def test_waiting_reports_that_nobody_announced_are_found(
    handed: Handed, signer: TokenSigner
) -> None:
    told(handed, signer, "delivered", "77")
    tenant_id = handed.run.tenant_id
    with handed.database.tenant_session(tenant_id) as session:
        announced = lost_work(session, tenant_id)
        withdraw(session, tenant_id, Work.MATCH, handed.gateway_id)
        lost = lost_work(session, tenant_id)
    assert [work for work in lost if work not in announced] == [
        (Work.MATCH, handed.gateway_id, None)
    ]


def _made_older(handed: Handed, by: timedelta) -> None:
    w = table(WaitingReport).c
    with handed.database.tenant_session(handed.run.tenant_id) as session:
        mine = update(table(WaitingReport)).where(w.tenant_id == handed.run.tenant_id)
        session.execute(mine.values(received_at=w.received_at - by, due_at=w.due_at - by))


def test_two_accounts_may_count_their_messages_alike(
    handed: Handed, installation: Installation, signer: TokenSigner
) -> None:
    """What each of them reports is the same to the byte."""
    tenant_id = handed.run.tenant_id
    other_id = teller_gateway(installation, tenant_id, "the other")
    other = handed_over(installation.database, tenant_id, other_id, 1)
    for each in (handed, other):
        each.submitted("7")
        told(each, signer, "delivered", "7")
    assert handed.row().delivered_at is not None
    assert other.row().delivered_at is not None


def test_a_name_of_any_length_is_found(handed: Handed, signer: TokenSigner) -> None:
    name = "m" * LONGEST_ID
    handed.submitted(name)
    told(handed, signer, "delivered", name)
    assert handed.row().delivered_at is not None


def test_a_report_without_a_moment_is_kept_for_a_person(
    handed: Handed, signer: TokenSigner
) -> None:
    timeless = DeliveryEvent(type="delivered", reference="1", occurred_at=None)  # type: ignore[arg-type]
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    report(timeless, b"timeless")
    (found,) = handed.kept()
    assert (found.state, found.reason) == (InboundState.QUARANTINED, "failed")


def test_what_failed_and_is_reported_again_leaves_quarantine(
    handed: Handed, signer: TokenSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError

    handed.submitted("7")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "apply", broken)
        told(handed, signer, "delivered", "7")
    assert [(one.state, one.reason) for one in handed.kept()] == [
        (InboundState.QUARANTINED, "failed")
    ]
    told(handed, signer, "delivered", "7")
    assert [one.state for one in handed.kept()] == [InboundState.APPLIED]
    assert handed.row().delivered_at is not None


def test_reports_that_nobody_can_be_meant_by_are_looked_up_together(
    handed: Handed, signer: TokenSigner
) -> None:
    for number in range(1, 31):
        told(handed, signer, "delivered", f"x{number}", recipient=f"+49152000000{number:02}")
    _made_older(handed, timedelta(seconds=11))
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    listening.listen(handed.database.engine, "begin", note)
    try:
        found = match_waiting(handed.database, handed.run.tenant_id, handed.gateway_id)
    finally:
        listening.remove(handed.database.engine, "begin", note)
    assert found == 0
    assert len(begun) == 1


def test_a_message_is_delivered_when_all_its_parts_are(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a", "b", "c")
    told(handed, signer, "delivered", "c", 3)
    told(handed, signer, "delivered", "a", 5)
    assert handed.row().delivered_at is None
    told(handed, signer, "delivered", "b", 4)
    assert handed.row().delivered_at == TAKEN_AT + timedelta(minutes=5)


def test_parts_delivered_at_once_make_a_delivered_message(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a", "b", "c", "d")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: told(handed, signer, "delivered", number), "abcd"))
    assert handed.row().delivered_at is not None


def test_a_message_of_which_a_part_failed_has_failed(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a", "b")
    told(handed, signer, "delivered", "a")
    told(handed, signer, "failed", "b", status="EXPIRED", code=1)
    assert handed.row().delivered_at is None
    assert handed.row().bounced_at is not None
    [bounce] = handed.kept(Bounce)
    assert (bounce.reason, bounce.status) == ("undelivered", "EXPIRED 1")


def test_delivered_may_follow_failed_and_nothing_undelivers(
    handed: Handed, signer: TokenSigner
) -> None:
    for place, kinds in enumerate((["failed", "delivered"], ["delivered", "failed"])):
        handed.submitted(f"n{place}", place=place)
        for minute, kind in enumerate(kinds):
            told(handed, signer, kind, f"n{place}", minute)
        assert handed.row(place).delivered_at is not None
        assert handed.row(place).bounced_at is None
    assert handed.kept(Bounce) == []


def test_a_number_that_does_not_exist_is_held_against_the_phone_until_something_arrives(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a")
    told(handed, signer, "failed", "a")
    assert phone_of(handed).phone_quality == Quality.GOOD
    told(handed, signer, "failed", "a", 2, permanent=True)
    assert phone_of(handed).phone_quality == Quality.NOT_EXISTING
    assert phone_of(handed).email_quality == Quality.GOOD
    told(handed, signer, "delivered", "a", 3)
    assert phone_of(handed).phone_quality == Quality.GOOD


def test_a_provider_cannot_blame_a_phone_by_naming_another(
    handed: Handed, signer: TokenSigner
) -> None:
    handed.submitted("a")
    other = phone_of(handed, 1).phone
    told(handed, signer, "failed", "a", permanent=True, recipient=other)
    assert [phone_of(handed, n).phone_quality for n in (0, 1)] == [Quality.GOOD] * 2


def test_reads_and_clicks_count_once_among_peoples(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a")
    for kind, minute in (("clicked", 4), ("read", 2), ("read", 2), ("clicked", 4)):
        told(handed, signer, kind, "a", minute)
    row = handed.row()
    assert (row.delivered_at, row.opened_at) == (TAKEN_AT + timedelta(minutes=2),) * 2
    assert row.clicked_at == TAKEN_AT + timedelta(minutes=4)
    tenant_id, run_id = handed.run.tenant_id, handed.run.id
    assert sorted((one.kind, one.hits, one.machine) for one in handed.kept(EventCounter)) == [
        (1, 1, False),
        (2, 1, False),
    ]
    assert compare(handed.database, tenant_id, run_id) == []
    assert reclassify(handed.database, tenant_id, run_id) == 0


@pytest.fixture
def unknown(installation: Installation, tenant_id: int) -> Handed:
    """Two messages of which nobody knows whether they were taken."""
    gateway_id = teller_gateway(installation, tenant_id)
    state = MessageState.UNCONFIRMED
    return handed_over(installation.database, tenant_id, gateway_id, 2, state)


def test_a_late_report_tells_that_a_message_was_taken(unknown: Handed, signer: TokenSigner) -> None:
    key = signer.message_key(unknown.refs[0])
    told(unknown, signer, "deferred", message_key=key)
    assert unknown.row().state == MessageState.ACCEPTED
    told(unknown, signer, "failed", message_key=signer.message_key(unknown.refs[1]))
    assert unknown.row(1).state == MessageState.ACCEPTED
    assert unknown.row(1).bounced_at is not None


def test_a_message_of_unknown_outcome_is_found_by_its_address_and_then_by_its_number(
    unknown: Handed, signer: TokenSigner
) -> None:
    tenant_id, phone = unknown.run.tenant_id, phone_of(unknown).phone or ""
    told(unknown, signer, "delivered", "501", recipient=phone.removeprefix("+"))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert unknown.row().state == MessageState.UNCONFIRMED, "its number may still come"
    _made_older(unknown, timedelta(seconds=11))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert unknown.row().state == MessageState.ACCEPTED
    assert unknown.row().delivered_at is not None
    assert unknown.row(1).state == MessageState.UNCONFIRMED
    told(unknown, signer, "read", "501", 5)
    assert unknown.row().opened_at is not None


def test_of_two_messages_of_unknown_outcome_to_an_address_none_is_guessed(
    unknown: Handed, installation: Installation, signer: TokenSigner
) -> None:
    tenant_id = unknown.run.tenant_id
    state = MessageState.UNCONFIRMED
    again = handed_over(installation.database, tenant_id, unknown.gateway_id, 2, state)
    told(unknown, signer, "delivered", "501", recipient=phone_of(unknown).phone or "")
    _made_older(unknown, timedelta(seconds=11))
    match_waiting(unknown.database, tenant_id, unknown.gateway_id)
    assert [one.row().state for one in (unknown, again)] == [state] * 2


def test_moments_that_cannot_be_are_now(handed: Handed, signer: TokenSigner) -> None:
    handed.submitted("a")
    report = reporter(handed.database, signer, handed.run.tenant_id, handed.gateway_id)
    began = datetime.now(UTC)
    for at in (datetime(1, 1, 1), datetime(9999, 12, 31, tzinfo=UTC)):
        report(DeliveryEvent(type="delivered", reference="a\0", occurred_at=at), repr(at).encode())
    told(handed, signer, "delivered", "a")
    assert handed.row().delivered_at is not None
    assert handed.row().delivered_at < began
