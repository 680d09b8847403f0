"""The virtual phone's page: what has arrived, what a person does with it, and whose it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from envoi.app import create_app
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.demo.phone import Answer, Manners
from envoi.demo.services import control_token
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi_simulators.control import control_app
from envoi_simulators.phone import Phone
from factories.customers import customer_ids, make_customers
from pages import TEST_SETTINGS, served, sign_in, token

PHONE = "+4915112345678"


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone(Answer.WAIT)
    made.set_manners(PHONE, Manners(answer=Answer.WAIT))
    yield made
    made.close()


@pytest.fixture
def settings(phone: Phone) -> Iterator[Settings]:
    with served(control_app(control_token(TEST_SETTINGS), phone)) as url:
        port = int(url.rpartition(":")[2])
        yield Settings(secret_key=TEST_SETTINGS.secret_key, simulators_port=port)


@pytest.fixture
def browser(
    settings: Settings, database: Database, plugins: Plugins, employee: Callable[..., str]
) -> FlaskClient:
    client = create_app(Installation(settings, database, plugins)).test_client()
    sign_in(client, employee())
    return client


@pytest.fixture
def customer_id(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        first = customer_ids(session, tenant_id)[0]
        c = table(Customer).c
        mine = (c.tenant_id == tenant_id, c.id == first)
        session.execute(
            update(table(Customer)).where(*mine).values(phone=PHONE, first_name="Marta")
        )
    return first


def test_the_phone_at_which_something_arrived_last_is_shown_first(
    browser: FlaskClient, phone: Phone, customer_id: int
) -> None:
    phone.arrive(channel="sms", address=PHONE, text="Double points <b>today</b>", report=print)
    shown = browser.get("/demo/phone").text
    assert "Phone of Marta" in shown
    assert "Double points &lt;b&gt;today&lt;/b&gt;" in shown
    assert 'id="act-deliver"' in shown


def test_what_a_person_does_is_reported_and_shown(
    browser: FlaskClient, phone: Phone, customer_id: int
) -> None:
    reports: SimpleQueue[str] = SimpleQueue()
    arrived = phone.arrive(channel="viber", address=PHONE, text="Hello", report=reports.put)
    here = f"/demo/phone/{customer_id}"
    form = {"csrf_token": token(browser, here), "message": arrived, "act": "read"}
    answer = browser.post(here, data=form)
    assert answer.status_code == 303
    assert [reports.get(timeout=5) for _ in range(2)] == ["delivered", "read"]
    shown = browser.get(answer.location).text
    assert "Read" in shown
    assert 'id="act-read"' not in shown
    assert browser.post(here, data=form).status_code == 303, "done twice is done once"
    assert reports.empty()


def test_a_message_of_another_phone_cannot_be_touched(
    browser: FlaskClient, phone: Phone, customer_id: int
) -> None:
    other = phone.arrive(channel="sms", address="+4915199999999", text="Secret", report=print)
    here = f"/demo/phone/{customer_id}"
    form = {"csrf_token": token(browser, here), "message": other, "act": "fail"}
    assert browser.post(here, data=form).status_code == 404
    assert "Secret" not in browser.get("/demo/phone").text
    assert not phone.messages(["+4915199999999"], 1)[0].happened


def test_how_the_phone_answers_is_kept(
    browser: FlaskClient, phone: Phone, customer_id: int
) -> None:
    here = f"/demo/phone/{customer_id}"
    form = {"csrf_token": token(browser, here), "answer": "read", "viber": "no"}
    assert browser.post(f"{here}/manners", data=form).status_code == 303
    assert phone.manners(PHONE) == Manners(answer=Answer.READ, has_viber=False)


def test_without_the_simulators_the_page_says_what_to_do(
    signed_in: Callable[..., FlaskClient], customer_id: int
) -> None:
    shown = signed_in().get(f"/demo/phone/{customer_id}")
    assert shown.status_code == 200
    assert "make run" in shown.text
