"""Leaving: by a mail program's one click, by a person's button, and by the service itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from werkzeug.test import Client, TestResponse

from envoi.db import Database
from envoi.delivery.models import RunKind
from envoi.subscriptions import service
from envoi.subscriptions.models import MailingCategory
from envoi.subscriptions.service import Reason, Source
from envoi.tenants.service import tenant_settings
from envoi.tracking import translations
from envoi.tracking.tokens import TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from ledger_rows import LedgerRun, add_customers, add_messages, add_run, facts, scalar
from readers import client, signer

__all__ = ["client", "signer"]

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def customers(database: Database, tenant_id: int) -> list[int]:
    return add_customers(database, tenant_id, 2)


@pytest.fixture
def category(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        category = MailingCategory(tenant_id=tenant_id, code="news", name="News & <Offers>")
        session.add(category)
    return category.id


@pytest.fixture
def run(database: Database, tenant_id: int, customers: list[int], category: int) -> LedgerRun:
    run = add_run(database, tenant_id, category_id=category)
    add_messages(database, run, customers)
    return run


def url_of(
    signer: TokenSigner, run: LedgerRun, customer: int, kind: TokenKind = TokenKind.UNSUBSCRIBE
) -> str:
    return UrlMaker("", signer).message(run.ref(customer)).of(kind)


def everything(database: Database, tenant_id: int) -> list[Any]:
    """What a change of a subscription could have changed."""
    with database.tenant_connection(tenant_id) as connection:
        return [
            scalar(connection, f"SELECT coalesce(json_agg(t)::text, '') FROM {name} t")
            for name in ("opt_out", "consent_log", "suppression", "message", "message_event")
        ]


def one_click(client: Client, url: str, body_type: str) -> TestResponse:
    return client.post(url, data=ONE_CLICK, content_type=body_type)


@pytest.mark.parametrize("body_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_leaves_the_channel_before_it_is_answered(
    client: Client,
    database: Database,
    signer: TokenSigner,
    run: LedgerRun,
    customers: list[int],
    body_type: str,
) -> None:
    url = url_of(signer, run, customers[0])
    answer = one_click(client, url, body_type)
    assert answer.status_code == 200
    assert not {"Location", "Set-Cookie"} & set(answer.headers.keys())
    with database.tenant_session(run.tenant_id) as session:
        (left,) = service.opted_out_of(session, run.tenant_id, customers[0])
        assert (left.channel, left.category_id) == ("email", 0)
        assert left.address is not None
        (change,) = service.consent_history(session, run.tenant_id, customers[0])
        assert (change.action, change.source) == ("opt_out", Source.ONE_CLICK)
        assert change.run_id == run.run_id
    assert facts(database, run, customers[0]).unsubscribed_at is not None
    assert facts(database, run, customers[1]).unsubscribed_at is None

    before = everything(database, run.tenant_id)
    again = one_click(client, url, body_type)
    assert (again.status_code, again.data) == (200, answer.data)
    assert everything(database, run.tenant_id) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("kind", [TokenKind.UNSUBSCRIBE, TokenKind.PREFERENCES])
def test_reading_changes_nothing(
    client: Client,
    database: Database,
    signer: TokenSigner,
    run: LedgerRun,
    customers: list[int],
    method: str,
    kind: TokenKind,
) -> None:
    before = everything(database, run.tenant_id)
    query = "?List-Unsubscribe=One-Click&scope=channel"
    answer = client.open(url_of(signer, run, customers[0], kind) + query, method=method)
    assert answer.status_code == (200 if method in ("GET", "HEAD") else 404)
    assert "Set-Cookie" not in answer.headers
    assert everything(database, run.tenant_id) == before


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (TokenKind.UNSUBSCRIBE, {}),
        (TokenKind.UNSUBSCRIBE, {"List-Unsubscribe": "yes"}),
        (TokenKind.UNSUBSCRIBE, {"scope": "channel"}),
        (TokenKind.PREFERENCES, {"shown": "email:0"}),
    ],
)
@pytest.mark.parametrize(
    "agent", ["Barracuda Sentinel (EE)", "python-requests/2.32", "bingbot/2.0"]
)
def test_scanners_press_buttons_in_vain(
    client: Client,
    database: Database,
    signer: TokenSigner,
    run: LedgerRun,
    customers: list[int],
    kind: TokenKind,
    form: dict[str, str],
    agent: str,
) -> None:
    before = everything(database, run.tenant_id)
    answer = client.post(
        url_of(signer, run, customers[0], kind), data=form, headers={"User-Agent": agent}
    )
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert everything(database, run.tenant_id) == before


def test_the_one_click_of_a_mail_provider_counts_whatever_its_agent(
    client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    url = url_of(signer, run, customers[0])
    answer = client.post(url, data=ONE_CLICK, headers={"User-Agent": "Go-http-client/1.1"})
    assert (answer.status_code, "Location" in answer.headers) == (200, False)
    assert facts(database, run, customers[0]).unsubscribed_at is not None


def test_a_person_sees_the_company_and_chooses(
    client: Client,
    database: Database,
    signer: TokenSigner,
    run: LedgerRun,
    customers: list[int],
    category: int,
) -> None:
    url = url_of(signer, run, customers[0])
    page = client.get(url)
    assert "Fieldmarket" in page.text
    assert "News &amp; &lt;Offers&gt;" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script|style=|\son\w+=", page.text)
    assert '<form method="post">' in page.text

    done = client.post(url, data={"scope": "category", "reason": Reason.TOO_MANY})
    assert done.status_code == 200
    assert "You are unsubscribed" in done.text
    with database.tenant_session(run.tenant_id) as session:
        (left,) = service.opted_out_of(session, run.tenant_id, customers[0])
        assert (left.category_id, left.category) == (category, "News & <Offers>")
        (change,) = service.consent_history(session, run.tenant_id, customers[0])
        assert (change.source, change.reason) == (Source.PAGE, Reason.TOO_MANY)


def test_a_made_up_reason_is_not_kept(
    client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    client.post(url_of(signer, run, customers[0]), data={"scope": "channel", "reason": "<b>x" * 99})
    with database.tenant_session(run.tenant_id) as session:
        (change,) = service.consent_history(session, run.tenant_id, customers[0])
        assert change.reason == ""


def test_the_page_speaks_the_companys_language(
    client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    with database.tenant_session(run.tenant_id) as session:
        tenant_settings(session, run.tenant_id).locale = "ru"
    page = client.get(url_of(signer, run, customers[0]))
    assert '<html lang="ru">' in page.text
    assert "Не хотите больше получать сообщения от Fieldmarket?" in page.text
    done = client.post(url_of(signer, run, customers[0]), data={"scope": "channel"})
    assert "Вы отписаны" in done.text


def test_every_text_has_a_translation() -> None:
    folder = translations.__path__[0] + "/.."
    used = {str(found[2]) for found in extract_from_dir(folder, [("templates/**.html", "jinja2")])}
    russian = translations.translations("ru")
    assert len(used) > 10
    assert [text for text in used if russian.gettext(text) == text] == []


def test_a_test_message_unsubscribes_nobody(
    client: Client, database: Database, signer: TokenSigner, tenant_id: int, customers: list[int]
) -> None:
    run = add_run(database, tenant_id, kind=RunKind.TEST)
    url = url_of(signer, run, customers[0])
    before = everything(database, tenant_id)
    assert "nothing will be changed" in client.get(url).text
    assert client.post(url, data=ONE_CLICK).status_code == 200
    assert everything(database, tenant_id) == before


def test_a_body_that_cannot_be_read_shows_the_page_with_the_button(
    client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customers: list[int]
) -> None:
    answer = client.post(
        url_of(signer, run, customers[0]),
        data=b"x" * 200_000,
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    with database.tenant_session(run.tenant_id) as session:
        assert not service.is_opted_out(session, run.tenant_id, customers[0], "email")


def test_an_opt_out_acts_on_the_address_too(
    database: Database, tenant_id: int, customers: list[int]
) -> None:
    first, twin = customers
    with database.tenant_session(tenant_id) as session:
        args = (session, tenant_id, first, "email")
        assert service.opt_out(*args, source=Source.EMPLOYEE, address="ann@shop.test")
        assert not service.opt_out(*args, source=Source.EMPLOYEE, address="ann@shop.test")
        assert service.is_opted_out(session, tenant_id, twin, "email", address="ann@shop.test")
        assert not service.is_opted_out(session, tenant_id, twin, "email", address="bob@shop.test")
        assert not service.is_opted_out(session, tenant_id, first, "sms")
        assert service.is_opted_out(session, tenant_id, first, "email", 7)
        assert service.opt_in(*args, source=Source.EMPLOYEE)
        assert not service.opt_in(*args, source=Source.EMPLOYEE)
        assert not service.is_opted_out(session, tenant_id, first, "email")
        actions = [c.action for c in service.consent_history(session, tenant_id, first)]
        assert actions == ["opt_in", "opt_out"]


def test_suppression_keeps_the_first_reason(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        assert service.suppress(session, tenant_id, "email", "a@shop.test", "complaint")
        assert not service.suppress(session, tenant_id, "email", "a@shop.test", "bounce")
        assert scalar(session, "SELECT reason FROM suppression") == "complaint"
