"""Preferences, the web version of a message, and the company's look around them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client

from envoi.customers.models import Customer
from envoi.db import Database
from envoi.delivery.models import Run, RunKind
from envoi.subscriptions.models import WHOLE_CHANNEL, MailingCategory
from envoi.subscriptions.service import is_opted_out, opted_out_of
from envoi.tenants.design import READABLE, check_design, contrast, on_dark, publish_design
from envoi.tenants.service import tenant_settings
from envoi.tracking.tokens import TokenKind, TokenSigner
from envoi.tracking.urls import UrlMaker
from ledger_rows import LedgerRun, add_customers, add_messages, add_run, scalar
from readers import client, signer

__all__ = ["client", "signer"]


@pytest.fixture
def customer(database: Database, tenant_id: int) -> int:
    return add_customers(database, tenant_id, 1)[0]


@pytest.fixture
def news(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        category = MailingCategory(tenant_id=tenant_id, code="news", name="News & <Offers>")
        session.add(category)
    return category.id


@pytest.fixture
def run(database: Database, tenant_id: int, customer: int) -> LedgerRun:
    run = add_run(database, tenant_id)
    add_messages(database, run, [customer])
    return run


def address(signer: TokenSigner, run: LedgerRun, customer: int, kind: TokenKind) -> str:
    return UrlMaker("", signer).message(run.ref(customer)).of(kind)


def left(database: Database, tenant_id: int, customer: int) -> set[tuple[str, int]]:
    with database.tenant_session(tenant_id) as session:
        return {(o.channel, o.category_id) for o in opted_out_of(session, tenant_id, customer)}


class TestPreferences:
    """What a person wants, channel by channel and category by category."""

    def test_choices_are_shown_kept_and_logged(
        self,
        client: Client,
        database: Database,
        signer: TokenSigner,
        run: LedgerRun,
        customer: int,
        news: int,
    ) -> None:
        url = address(signer, run, customer, TokenKind.PREFERENCES)
        page = client.get(url).text
        assert "News &amp; &lt;Offers&gt;" in page
        assert page.count(" checked") == 2
        keys = [f"email:{WHOLE_CHANNEL}", f"email:{news}"]
        saved = client.post(url, data={"shown": keys, "wanted": keys[:1]})
        assert saved.status_code == 200
        assert "Saved." in saved.text
        assert left(database, run.tenant_id, customer) == {("email", news)}
        client.post(url, data={"shown": keys, "wanted": keys})
        assert left(database, run.tenant_id, customer) == set()
        with database.tenant_connection(run.tenant_id) as connection:
            log = scalar(
                connection,
                "SELECT string_agg(action || ':' || source, ' ' ORDER BY id) FROM consent_log",
            )
        assert log == "opt_out:page opt_in:page"

    def test_the_opt_out_acts_on_the_address_too(
        self,
        client: Client,
        database: Database,
        signer: TokenSigner,
        run: LedgerRun,
        customer: int,
    ) -> None:
        url = address(signer, run, customer, TokenKind.PREFERENCES)
        client.post(url, data={"shown": "email:0"})
        with database.tenant_connection(run.tenant_id) as connection:
            email = scalar(connection, "SELECT email FROM customer WHERE id = :id", id=customer)
        with database.tenant_session(run.tenant_id) as session:
            assert is_opted_out(session, run.tenant_id, 0, "email", address=email)

    def test_what_the_page_had_not_shown_stays(
        self,
        client: Client,
        database: Database,
        signer: TokenSigner,
        run: LedgerRun,
        customer: int,
        news: int,
    ) -> None:
        url = address(signer, run, customer, TokenKind.PREFERENCES)
        client.post(url, data={"shown": ["email:0"], "wanted": ["email:0"]})
        client.post(url, data={})
        client.post(url, data={"shown": ["fax:0", "email:999999", "x"]})
        assert left(database, run.tenant_id, customer) == set()

    def test_reading_and_tests_change_nothing(
        self, client: Client, database: Database, signer: TokenSigner, tenant_id: int, customer: int
    ) -> None:
        test = add_run(database, tenant_id, kind=RunKind.TEST)
        add_messages(database, test, [customer])
        url = address(signer, test, customer, TokenKind.PREFERENCES)
        assert "nothing will be changed" in client.get(url).text
        client.post(url, data={"shown": "email:0"})
        assert left(database, tenant_id, customer) == set()

    def test_a_token_of_another_kind_opens_nothing(
        self, client: Client, signer: TokenSigner, run: LedgerRun, customer: int
    ) -> None:
        other = address(signer, run, customer, TokenKind.UNSUBSCRIBE).replace("/u/", "/p/")
        assert client.get(other).status_code == 404
        assert client.post(other, data={"shown": "email:0"}).status_code == 404


class TestWebVersion:
    """The message as a page of its own."""

    def freeze(self, database: Database, run: LedgerRun, body: str) -> None:
        content = {
            "subject": "Hello",
            "body_format": "html",
            "body": body,
            "sender_address": "news@shop.test",
        }
        with database.tenant_session(run.tenant_id) as session:
            stored = session.get(Run, (run.tenant_id, run.run_id))
            assert stored is not None
            variant = {"number": 1, "share": 100, "content": content}
            stored.settings = {**stored.settings, "variants": [variant]}

    def test_it_is_the_customers_own_and_cannot_act(
        self, client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customer: int
    ) -> None:
        self.freeze(
            database,
            run,
            "<p>Dear {{ client.properties.first_name }}</p>"
            '<a href="https://shop.test/sale">Sale</a> <a href="{{ unsubscribe_url }}">Leave</a>',
        )
        answer = client.get(address(signer, run, customer, TokenKind.VIEW))
        assert answer.status_code == 200
        assert "Dear Ann" in answer.text
        assert 'href="https://shop.test/sale"' in answer.text
        assert address(signer, run, customer, TokenKind.UNSUBSCRIBE) in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "script" not in policy

    def test_it_does_not_outlive_the_customers_data(
        self, client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customer: int
    ) -> None:
        self.freeze(database, run, "<p>Dear {{ client.properties.first_name }}</p>")
        url = address(signer, run, customer, TokenKind.VIEW)
        assert "Dear Ann" in client.get(url).text
        with database.tenant_session(run.tenant_id) as session:
            found = session.get(Customer, (run.tenant_id, customer))
            assert found is not None
            found.first_name = "Berta"
        assert "Dear Berta" in client.get(url).text
        with database.tenant_session(run.tenant_id) as session:
            session.delete(session.get(Customer, (run.tenant_id, customer)))
        assert client.get(url).status_code == 404

    def test_what_cannot_be_made_is_the_one_404(
        self, client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customer: int
    ) -> None:
        self.freeze(database, run, "<p>Hello</p>")
        assert client.get(address(signer, run, 10**9, TokenKind.VIEW)).status_code == 404
        url = address(signer, run, customer, TokenKind.VIEW)
        assert client.post(url).status_code == 404


class TestLook:
    """The company's colour and words."""

    def test_public_pages_carry_the_published_look(
        self, client: Client, database: Database, signer: TokenSigner, run: LedgerRun, customer: int
    ) -> None:
        words = {"en": {"intro": "Sorry to <b>see</b> you go", "footer": "Fieldmarket Ltd"}}
        with database.tenant_session(run.tenant_id) as session:
            publish_design(
                session, run.tenant_id, check_design({"accent": "#7A1FA2", "words": words})
            )
            tenant_settings(session, run.tenant_id).postal_address = "1 Field Road"
        answer = client.get(address(signer, run, customer, TokenKind.UNSUBSCRIBE))
        assert "Sorry to &lt;b&gt;see&lt;/b&gt; you go" in answer.text
        assert "Fieldmarket Ltd" in answer.text
        assert "1 Field Road" in answer.text
        nonce = re.search(r'<style nonce="([\w-]+)">[^<]*--act: #7a1fa2', answer.text)
        assert nonce
        assert f"'nonce-{nonce[1]}'" in answer.headers["Content-Security-Policy"]

    @given(st.integers(0, 0xFFFFFF))
    def test_every_colour_can_be_read_on_dark(self, number: int) -> None:
        assert contrast(on_dark(f"#{number:06x}"), "#182433") >= READABLE
