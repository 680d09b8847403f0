"""Writing an SMS in the browser: its form, its length, both phones, and what is saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.delivery.gateways import set_gateway
from envoi.delivery.prices import set_prices
from envoi.mailings import service, variants
from envoi.plugins import Plugins
from factories.customers import index_customers, make_customers
from pages import TEST_SETTINGS, SignIn, token

SAVED_BY_ITSELF = {"HX-Request": "true", "HX-Target": "what-state"}
MEASURED = {"HX-Request": "true", "HX-Target": "length"}


class Desk:
    """A browser with the message of an SMS draft open; it keeps the version it saw."""

    def __init__(self, browser: FlaskClient, database: Database, tenant_id: int, draft: int):
        self.browser, self.database, self.tenant_id, self.draft = (
            browser,
            database,
            tenant_id,
            draft,
        )
        self.url = f"/mailings/{draft}/what"
        self.token = token(browser, "/own/")
        self.version = 1

    def content(self, number: int = 1) -> Mapping[str, Any]:
        with self.database.tenant_session(self.tenant_id) as session:
            mailing = service.get_mailing(session, self.tenant_id, self.draft)
            self.version = mailing.version
            return dict(variants.get_variant(session, mailing, number).content)

    def post(self, headers: Any = None, path: str = "what", **fields: Any) -> Any:
        form = {"csrf_token": self.token, "version": self.version, "mode": "plain", "variant": 1}
        shown = ["transliterate", "track_links"]
        return self.browser.post(
            f"/mailings/{self.draft}/{path}",
            data={**form, "shown": shown, **fields},
            headers=headers,
        )


@pytest.fixture
def desk(signed_in: SignIn, database: Database, tenant_id: int) -> Desk:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 4)
        index_customers(session.connection(), tenant_id)
        c = table(Customer).c
        session.execute(table(Customer).update().where(c.tenant_id == tenant_id).values(phone=None))
        made = service.create_draft(session, tenant_id, channel="sms", name="Double points")
        draft = made.id
    return Desk(signed_in(), database, tenant_id, draft)


def _phones(desk: Desk, *names: str) -> None:
    """Give the first customers a phone and a first name each."""
    c = table(Customer).c
    with desk.database.tenant_session(desk.tenant_id) as session:
        query = table(Customer).select().where(c.tenant_id == desk.tenant_id).order_by(c.id)
        for place, (row, name) in enumerate(zip(session.execute(query).all(), names, strict=False)):
            session.execute(
                table(Customer)
                .update()
                .where(c.tenant_id == desk.tenant_id, c.id == row.id)
                .values(first_name=name, phone=f"+4915100000{place:02d}")
            )


def test_the_form_is_made_from_the_schema(desk: Desk) -> None:
    shown = desk.browser.get(desk.url).text
    assert '<label class="form-label" for="sender_name">Sender name</label>' in shown
    assert re.search(r'<textarea[^>]* id="text" name="text" rows="6"', shown)
    for name in ("transliterate", "track_links"):
        assert f'<input type="hidden" name="shown" value="{name}">' in shown
    for name in ("Subject", "Preheader", "Attachments", "Plain-text", "Reply to"):
        assert name not in shown
    assert re.search(r'href="/mailings/sms"[^>]*>SMS<', shown)


def test_what_is_typed_is_saved_by_itself_and_switches_can_be_put_off_again(desk: Desk) -> None:
    answer = desk.post(SAVED_BY_ITSELF, text="Points", sender_name="SHOP", transliterate="1")
    assert answer.status_code == 200
    assert desk.content() == {"text": "Points", "sender_name": "SHOP", "transliterate": True}
    assert desk.post(SAVED_BY_ITSELF, text="Points", sender_name="SHOP").status_code == 200
    assert desk.content()["transliterate"] is False


def test_saving_the_same_again_changes_nothing(desk: Desk) -> None:
    desk.post(SAVED_BY_ITSELF, text="Points")
    before, version = desk.content(), desk.version
    desk.post(SAVED_BY_ITSELF, text="Points")
    assert (desk.content(), desk.version) == (before, version)


def test_two_people_at_once_are_a_conflict(desk: Desk) -> None:
    desk.post(SAVED_BY_ITSELF, text="Mine")
    stale = desk.post(SAVED_BY_ITSELF, text="Theirs")
    assert stale.status_code == 409
    assert "Theirs" in stale.text
    assert desk.content()["text"] == "Mine"


@pytest.mark.parametrize(
    ("text", "words", "left"),
    [
        ("a" * 160, "160 characters, 1 part, GSM-7", "0 left in the part"),
        ("a" * 161, "161 characters, 2 parts, GSM-7", "145 left in the part"),
        ("€" * 80, "160 characters, 1 part, GSM-7", "0 left in the part"),
        ("ж" * 70, "70 characters, 1 part, Unicode", "0 left in the part"),
        ("ж" * 69 + "🎁", "71 characters, 2 parts, Unicode", "63 left in the part"),
    ],
)
def test_the_length_is_told_while_typing_and_nothing_is_saved(
    desk: Desk, text: str, words: str, left: str
) -> None:
    answer = desk.post(MEASURED, path="length", text=text).text
    assert words in answer
    assert left in answer
    assert "text" not in desk.content()


@pytest.mark.parametrize(
    ("prices", "language", "words"),
    [
        ([{"price": "0.045"}], "en", "costs €0.09"),
        ([{"price": "0.0333"}, {"prefix": "+7", "price": "1"}], "en", "costs €0.0666"),
        ([{"price": "0.01"}, {"prefix": "+4915", "price": "0.5"}], "en", "costs €1.00"),
        ([{"price": "0.045"}], "ru", "стоит 0,09\xa0€"),
        ([{"prefix": "+7", "price": "1"}], "en", "costs €0.00"),
        ([], "en", ""),
    ],
)
def test_beside_it_stands_what_the_longest_message_costs(
    desk: Desk,
    signed_in: SignIn,
    plugins: Plugins,
    prices: list[dict[str, str]],
    language: str,
    words: str,
) -> None:
    _phones(desk, "Bo", "Maximiliana-Wilhelmina")
    with desk.database.tenant_session(desk.tenant_id) as session:
        gateway = set_gateway(
            session,
            plugins,
            TEST_SETTINGS,
            desk.tenant_id,
            channel="sms",
            provider="smpp",
            name="Operator",
            values={"host": "smpp.test", "system_id": "shop"},
        )
        set_prices(session, desk.tenant_id, gateway.id, {"prices": prices})
    desk.browser = signed_in(Role.ADMINISTRATOR, language)
    desk.token = token(desk.browser, "/own/")
    text = "{{ client.properties.first_name }}" + "!" * 140
    answer = desk.post(MEASURED, path="length", text=text).text
    assert words in answer
    assert ("costs" in answer or "стоит" in answer) == bool(prices)


def test_it_is_the_length_of_the_longest_of_the_customers(desk: Desk) -> None:
    _phones(desk, "Bo", "Maximiliana-Wilhelmina")
    text = "{{ client.properties.first_name }}" + "!" * 140
    answer = desk.post(MEASURED, path="length", text=text).text
    assert "162 characters, 2 parts, GSM-7" in answer
    assert "The longest of 2 customers: Maximiliana-Wilhelmina" in answer
    saved = desk.post(SAVED_BY_ITSELF, text=text).text
    assert 'id="length" hx-swap-oob="true"' in saved


def test_two_phones_show_the_longest_and_the_shortest(desk: Desk) -> None:
    _phones(desk, "Bo", "Maximiliana-Wilhelmina")
    desk.post(SAVED_BY_ITSELF, text="{{ client.properties.first_name }} <b>1 < 2</b>")
    shown = desk.browser.get(desk.url).text
    frames = re.findall(r'<iframe title="[^"]*" sandbox="" src="([^"]*)"', shown)
    first, second = [desk.browser.get(frame.replace("&amp;", "&")).text for frame in frames]
    assert "Maximiliana-Wilhelmina &lt;b&gt;1 &lt; 2&lt;/b&gt;" in first
    assert "Bo &lt;b&gt;" in second


def test_the_way_out_that_the_counter_counts_stands_in_the_preview(desk: Desk) -> None:
    """The counter would tell of characters that nobody sees."""
    _phones(desk, "Anna")
    desk.post(SAVED_BY_ITSELF, text="Out: {{ unsubscribe_url }}")
    shown = desk.browser.get(f"/mailings/{desk.draft}/preview?variant=1").text
    assert re.search(r"Out: https?://\S+/u/\S{20,}", shown)


def test_names_of_customers_are_for_who_may_see_them(desk: Desk, signed_in: SignIn) -> None:
    _phones(desk, "Bo", "Maximiliana-Wilhelmina")
    desk.post(SAVED_BY_ITSELF, text="{{ client.properties.first_name }}")
    shown = signed_in(Role.DESIGNER).get(desk.url).text
    assert "The longest of 2 customers" in shown
    assert "Maximiliana" not in shown


def test_too_many_parts_are_told(desk: Desk) -> None:
    answer = desk.post(MEASURED, path="length", text="ж" * 700).text
    assert "11 parts" in answer
    assert "more than 10 parts" in answer


def test_a_fault_stands_at_its_field(desk: Desk) -> None:
    answer = desk.post(text="Points", sender_name="Zu lang für SMS")
    assert answer.status_code in (200, 303)
    shown = desk.browser.get(desk.url).text
    assert 'id="sender_name-error"' in shown
    assert "at most 11 Latin letters" in shown


def test_variants_have_texts_of_their_own(desk: Desk) -> None:
    desk.post(text="One", do="add-variant")
    desk.content()
    desk.post(variant=2, text="Two", do="save")
    assert (desk.content(1)["text"], desk.content(2)["text"]) == ("One", "Two")


def test_the_list_knows_it_by_the_start_of_its_text(desk: Desk) -> None:
    desk.post(text="Double points today {{ client.properties.city }}")
    shown = desk.browser.get("/mailings/sms").text
    assert "Double points today" in shown
    assert "Double points today" in desk.browser.get("/mailings/sms?q=points+today").text
    assert "Double points today" not in desk.browser.get("/mailings/email").text


class TestTheReview:
    def test_it_speaks_of_parts_and_alphabet_and_of_nothing_that_only_mails_have(
        self, desk: Desk
    ) -> None:
        desk.post(text="a" * 155 + " 🎁")
        shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
        assert "The longest message makes 3 parts, and each of them is paid for." in shown
        assert "🎁 makes the whole message Unicode" in shown
        assert "There is no sender name. Customers see what the gateway has set." in shown
        for words in ("preheader", "unsubscribe link", "address has a domain", "one-click"):
            assert words not in shown

    def test_a_language_outside_of_gsm_is_no_reason_for_advice(self, desk: Desk) -> None:
        desk.post(text="Баллы сгорят в пятницу", sender_name="SHOP")
        shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
        assert "makes the whole message Unicode" not in shown
        assert "No sign makes the message Unicode" in shown
        assert "Every message is one part" in shown

    def test_it_shows_sender_and_text(self, desk: Desk) -> None:
        desk.post(text="Points for {{ client.properties.first_name }}", sender_name="SHOP")
        shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
        assert "SHOP" in shown
        assert 'Points for <span class="ev-var">first_name</span>' in shown


class TestTestMessages:
    def test_they_go_to_phone_numbers(self, desk: Desk) -> None:
        shown = desk.browser.get(f"/mailings/{desk.draft}/test").text
        assert "Phone numbers" in shown
        assert "Employees" not in shown

    @pytest.mark.parametrize("typed", ["anna@shop.example", "+49 30 901820", "12"])
    def test_what_takes_no_sms_is_refused(self, desk: Desk, typed: str) -> None:
        desk.post(text="Points")
        answer = desk.post(path="test", addresses=typed, variants="1")
        assert answer.status_code == 422
        assert f"This is no number of a mobile phone: {typed}." in answer.text
