"""The virtual phone: what arrives, what can be done with it, and the door to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest
from pydantic import SecretStr

from envoi.demo.phone import Act, Answer, Manners, Memory, PhoneAwayError, Phones
from envoi.demo.services import Conduct, Service, control_token
from envoi.errors import ConflictError, NotFoundError
from envoi.settings import Settings
from envoi_simulators.cli import read_memory, write_memory
from envoi_simulators.control import control_app
from envoi_simulators.phone import Phone
from pages import served

SECRET = SecretStr("a secret of the test")
ANNA, BORIS = "+4915100000001", "+4915100000002"


@pytest.fixture
def tapped() -> SimpleQueue[str]:
    return SimpleQueue()


@pytest.fixture
def phone(tapped: SimpleQueue[str]) -> Iterator[Phone]:
    made = Phone(Answer.WAIT, tapped.put)
    for address in (ANNA, BORIS):
        made.set_manners(address, Manners(answer=Answer.WAIT))
    yield made
    made.close()


@pytest.fixture
def port(phone: Phone) -> Iterator[int]:
    with served(control_app(control_token(Settings(secret_key=SECRET)), phone)) as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture
def phones(port: int) -> Phones:
    return Phones(Settings(secret_key=SECRET, simulators_port=port))


def _sms(phone: Phone, address: str = ANNA, text: str = "Hello") -> tuple[str, SimpleQueue[str]]:
    reports: SimpleQueue[str] = SimpleQueue()
    return phone.arrive(channel="sms", address=address, text=text, report=reports.put), reports


def test_messages_are_shown_newest_first_and_of_one_phone_only(
    phone: Phone, phones: Phones
) -> None:
    first, _ = _sms(phone, text="One")
    _sms(phone, BORIS, "Other")
    second, _ = _sms(phone, text="Two")
    assert [each.id for each in phones.messages([ANNA])] == [second, first]
    assert [each.address for each in phones.newest()] == [ANNA, BORIS]


def test_a_delivered_message_is_reported_once_and_cannot_fail_any_more(
    phone: Phone, phones: Phones
) -> None:
    arrival, reports = _sms(phone)
    done = phones.act(arrival, Act.DELIVER)
    assert [each.what for each in done.happened] == ["delivered"]
    assert reports.get(timeout=5) == "delivered"
    for act in (Act.DELIVER, Act.FAIL):
        with pytest.raises(ConflictError, match="already"):
            phones.act(arrival, act)
    assert reports.empty()


def test_a_tap_reports_all_that_went_before_and_opens_the_link(
    phone: Phone, phones: Phones, tapped: SimpleQueue[str]
) -> None:
    reports: SimpleQueue[str] = SimpleQueue()
    fields = {"url": "http://127.0.0.1/c/1", "button": "Show"}
    arrival = phone.arrive(channel="viber", address=ANNA, fields=fields, report=reports.put)
    phones.act(arrival, Act.TAP)
    assert [reports.get(timeout=5) for _ in range(3)] == ["delivered", "read", "tapped"]
    assert tapped.get(timeout=5) == "http://127.0.0.1/c/1"


def test_the_address_in_an_sms_is_tapped_and_nobody_knows_whether_one_is_read(
    phone: Phone, phones: Phones, tapped: SimpleQueue[str]
) -> None:
    reports: SimpleQueue[str] = SimpleQueue()
    text = "Points: http://127.0.0.1/s/Ab3 until Sunday"
    arrival = phone.arrive(channel="sms", address=ANNA, text=text, report=reports.put)
    done = phones.act(arrival, Act.TAP)
    assert [each.what for each in done.happened] == ["delivered", "tapped"]
    assert tapped.get(timeout=5) == "http://127.0.0.1/s/Ab3"
    assert reports.get(timeout=5) == "delivered"
    assert reports.empty()
    plain = phone.arrive(channel="sms", address=ANNA, text="No address", report=reports.put)
    with pytest.raises(ConflictError):
        phones.act(plain, Act.TAP)


def test_what_said_nothing_may_still_be_delivered_late(phone: Phone, phones: Phones) -> None:
    arrival, reports = _sms(phone)
    silent = phones.act(arrival, Act.SAY_NOTHING)
    assert Act.DELIVER in silent.can
    assert Act.SAY_NOTHING not in silent.can
    phones.act(arrival, Act.DELIVER)
    assert reports.get(timeout=5) == "delivered"


def test_a_phone_answers_by_itself_as_it_was_told(phone: Phone, phones: Phones) -> None:
    phones.set_manners(ANNA, Manners(answer=Answer.READ, has_viber=False))
    assert phones.manners(ANNA) == Manners(answer=Answer.READ, has_viber=False)
    reports: SimpleQueue[str] = SimpleQueue()
    phone.arrive(channel="push", address=ANNA, report=reports.put)
    assert [reports.get(timeout=10) for _ in range(2)] == ["delivered", "read"]
    phone.arrive(channel="viber", address=ANNA, report=reports.put)
    assert reports.get(timeout=10) == "failed"


def test_a_report_that_cannot_be_made_harms_no_other(phone: Phone, phones: Phones) -> None:
    def broken(_: str) -> None:
        raise OSError("the product is away")

    phones.act(phone.arrive(channel="sms", address=ANNA, report=broken), Act.DELIVER)
    arrival, reports = _sms(phone)
    phones.act(arrival, Act.FAIL)
    assert reports.get(timeout=5) == "failed"


def test_what_was_known_is_known_after_a_new_start(phone: Phone, tmp_path: Path) -> None:
    _sms(phone, text="Old")
    arrival, _ = _sms(phone, text="New")
    phone.act(arrival, Act.DELIVER)
    conducts = {Service.HTTP: Conduct(webhook="http://127.0.0.1/in/1")}
    write_memory(tmp_path / "phones.json", phone.remembered(1, conducts))
    memory = read_memory(tmp_path / "phones.json")
    assert memory.conducts == conducts
    again = Phone()
    again.remember(memory)
    [known] = again.messages([ANNA], 5)
    assert (known.text, [each.what for each in known.happened]) == ("New", ["delivered"])
    assert again.act(known.id, Act.READ) is None
    assert not again.answer(known.id, "STOP")
    assert again.manners(ANNA) == Manners(answer=Answer.WAIT)
    again.close()


@pytest.mark.parametrize("content", ["", "{", '{"arrivals": [{}]}'])
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "phones.json"
    assert read_memory(path) == Memory()
    path.write_text(content)
    assert read_memory(path) == Memory()


def test_nobody_looks_without_the_token(phone: Phone, phones: Phones, port: int) -> None:
    arrival, _ = _sms(phone)
    stranger = Phones(Settings(secret_key=SecretStr("another"), simulators_port=port))
    with pytest.raises(PhoneAwayError, match="refuse"):
        stranger.act(arrival, Act.DELIVER)
    assert not phones.messages([ANNA])[0].happened


def test_what_is_not_there_is_not_found(phones: Phones) -> None:
    with pytest.raises(NotFoundError):
        phones.act("no-such-message", Act.READ)


def test_without_the_process_a_sentence_says_so() -> None:
    away = Phones(Settings(secret_key=SecretStr("x"), simulators_port=1))
    with pytest.raises(PhoneAwayError, match="make run"):
        away.newest()
