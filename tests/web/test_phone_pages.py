"""The virtual phone's page: what has arrived, what a person does with it, and whose it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from time import time_ns

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from envoi.accounts.permissions import Role
from envoi.app import create_app
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.gateway_list import list_gateways
from envoi.demo.mailbox import mailbox_folder
from envoi.demo.phone import Answer, Manners
from envoi.demo.services import Conduct, Fault, Service, control_token
from envoi.installation import Installation
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi_simulators.control import control_app
from envoi_simulators.phone import Phone
from factories.customers import customer_ids, make_customers
from pages import TEST_SETTINGS, served, sign_in, token
from smtp_sink import SmtpSink
from web_sink import WebSink

PHONE, EMAIL = "+4915112345678", "marta@kundenpost.test"


@pytest.fixture
def phone() -> Iterator[Phone]:
    made = Phone(Answer.WAIT)
    made.set_manners(PHONE, Manners(answer=Answer.WAIT))
    yield made
    made.close()


class Simulated:
    """A service that remembers how it is to behave."""

    def __init__(self) -> None:
        self.conduct = Conduct()

    def behave(self, conduct: Conduct) -> None:
        self.conduct = conduct


@pytest.fixture
def services() -> dict[Service, Simulated]:
    return {each: Simulated() for each in Service}


@pytest.fixture
def tracking() -> Iterator[WebSink]:
    with WebSink() as sink:
        yield sink


@pytest.fixture
def listener() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def settings(
    phone: Phone,
    services: dict[Service, Simulated],
    tracking: WebSink,
    listener: SmtpSink,
    tmp_path: Path,
) -> Iterator[Settings]:
    with served(control_app(control_token(TEST_SETTINGS), phone, services)) as url:
        yield Settings(
            data_dir=tmp_path,
            secret_key=TEST_SETTINGS.secret_key,
            simulators_port=int(url.rpartition(":")[2]),
            tracking_url=tracking.url,
            inbound_port=listener.port,
        )


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
            update(table(Customer))
            .where(*mine)
            .values(phone=PHONE, first_name="Marta", email=EMAIL)
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


def test_an_sms_is_answered(browser: FlaskClient, phone: Phone, customer_id: int) -> None:
    answers: SimpleQueue[str] = SimpleQueue()
    arrived = phone.arrive(
        channel="sms", address=PHONE, text="Stop: reply NO", report=print, reply=answers.put
    )
    here = f"/demo/phone/{customer_id}"
    form = {"csrf_token": token(browser, here), "message": arrived, "text": f"<b>NO</b> {'x' * 99}"}
    answer = browser.post(f"{here}/reply", data=form)
    assert answers.get(timeout=5) == form["text"][:70]
    assert "&lt;b&gt;NO&lt;/b&gt;" in browser.get(answer.location).text
    mute = phone.arrive(channel="viber", address=PHONE, text="Hello", report=print)
    assert 'name="text"' not in browser.get(f"{here}?message={mute}").text
    assert browser.post(f"{here}/reply", data={**form, "message": mute}).status_code == 303
    assert answers.empty()


def test_an_email_is_read_tapped_and_bounces_where_that_can_be_told(
    browser: FlaskClient,
    settings: Settings,
    customer_id: int,
    tracking: WebSink,
    listener: SmtpSink,
) -> None:
    here = f"/demo/phone/{customer_id}"
    link = f"{tracking.url}/c/2?to=a&amp;b"
    told = _mail(settings, f'<a href="{link}"><img src="{tracking.url}/o/1"></a>', "b+key@x.test")
    mute = _mail(settings, "<p>Hello</p>", "")
    form = {"csrf_token": token(browser, here), "message": told}
    for act in ("read", "tap", "fail"):
        assert browser.post(here, data={**form, "act": act}).status_code == 303
        assert browser.post(here, data={**form, "act": act, "message": mute}).status_code == 303
    assert [asked.path for asked in tracking.asked] == ["/o/1", "/o/1", "/c/2?to=a&b"]
    assert all("Mobile" in asked.headers["user-agent"] for asked in tracking.asked)
    [bounce] = listener.received
    assert (bounce.mail_from, bounce.rcpt) == ("", "b+key@x.test")
    assert b"Action: failed" in bounce.data
    shown = browser.get(f"{here}?message={told}").text
    assert all(f'id="act-{act}"' in shown for act in ("read", "tap", "fail"))
    assert 'id="act-' not in browser.get(f"{here}?message={mute}").text


def test_an_email_of_somebody_else_cannot_be_touched(
    browser: FlaskClient, settings: Settings, customer_id: int, listener: SmtpSink
) -> None:
    other = _mail(settings, "<p>Secret</p>", "b+key@x.test", to="other@x.test")
    here = f"/demo/phone/{customer_id}"
    form = {"csrf_token": token(browser, here), "message": other, "act": "fail"}
    assert browser.post(here, data=form).status_code == 404
    assert browser.post(here, data={**form, "message": "mail-../x"}).status_code == 404
    assert not listener.received


def test_a_service_fails_as_it_is_told_to(
    browser: FlaskClient, services: dict[Service, Simulated]
) -> None:
    here = "/demo/services"
    form = {"csrf_token": token(browser, here), "service": "hms", "fault": "broken"}
    refused = browser.post(here, data={**form, "share": "101", "per_second": "5"})
    assert refused.status_code == 422
    assert "100" in refused.text
    assert browser.post(here, data={**form, "share": "30", "per_second": "5"}).status_code == 303
    assert services[Service.HMS].conduct == Conduct(fault=Fault.BROKEN, share=30)
    assert "out of order (503), 30" in browser.get(here).text
    assert browser.post(here, data={**form, "service": "none"}).status_code == 404


def test_a_gateway_to_a_service_is_set_up_with_a_click(
    browser: FlaskClient,
    services: dict[Service, Simulated],
    database: Database,
    tenant_id: int,
    tracking: WebSink,
) -> None:
    here = "/demo/services"
    form = {"csrf_token": token(browser, here), "provider": "smstraffic"}
    made = browser.post(f"{here}/gateways", data=form)
    assert made.status_code == 303
    assert browser.get(made.location).status_code == 200
    with database.tenant_session(tenant_id) as session:
        [listed] = list_gateways(session, tenant_id)
    assert (listed.gateway.provider, listed.gateway.is_default) == ("smstraffic", True)
    assert services[Service.SMSTRAFFIC].conduct.webhook.startswith(f"{tracking.url}/in/")
    assert f'href="/settings/gateways/{listed.gateway.id}"' in browser.get(here).text
    for unknown in ("smtp", "nobody"):
        assert (
            browser.post(f"{here}/gateways", data={**form, "provider": unknown}).status_code == 404
        )


def test_services_are_the_administrators(
    settings: Settings, database: Database, plugins: Plugins, employee: Callable[..., str]
) -> None:
    client = create_app(Installation(settings, database, plugins)).test_client()
    sign_in(client, employee(Role.MARKETER))
    assert client.get("/demo/services").status_code == 403
    assert client.get("/demo/phone").status_code == 200


def _mail(settings: Settings, html: str, sender: str, to: str = EMAIL) -> str:
    """Put an email into the mailbox; return its number on the phone."""
    raw = f"X-Envelope-To: {to}\nX-Envelope-From: {sender}\nSubject: Coffee\n"
    raw += f"MIME-Version: 1.0\nContent-Type: text/html\n\n{html}"
    name = f"{time_ns():020d}-000001"
    (mailbox_folder(settings) / f"{name}.eml").write_text(raw)
    return f"mail-{name}"
