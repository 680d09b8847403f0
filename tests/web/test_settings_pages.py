"""Pages of a company's settings: general, watchers, mailing categories."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.mailings.service import create_draft, variants_of
from envoi.subscriptions.queries import list_categories
from envoi.tenants.service import tenant_settings
from envoi.tenants.watchers import list_watcher_groups
from factories.customers import make_customers
from pages import SignIn, token

GENERAL = "/settings/general"


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    """An administrator's browser."""
    return signed_in()


def fields(page: str) -> dict[str, str | list[str]]:
    """What a browser would send of the page's form, unchanged."""
    found = dict(
        re.findall(r'<input class="form-control[^"]*"[^>]* name="(\w+)" value="([^"]*)"', page)
    )
    found |= dict(re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>([^<]*)</textarea>', page))
    for name, options in re.findall(
        r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL
    ):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    resent = re.findall(r'name="unconfirmed_resend" value="(\w+)" checked', page)
    written = {name: unescape(value) for name, value in found.items()}
    return {**written, "unconfirmed_resend": resent}


def save(browser: FlaskClient, **changes: str) -> tuple[int, str]:
    form = fields(browser.get(GENERAL).get_data(as_text=True)) | changes
    answer = browser.post(GENERAL, data={"csrf_token": token(browser, GENERAL), **form})
    return answer.status_code, answer.get_data(as_text=True)


class TestGeneral:
    """Defaults of the company, which new mailings take over."""

    def test_saving_what_is_shown_changes_nothing(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            before = tenant_settings(session, tenant_id).model_dump()
        assert save(browser)[0] == 303
        with database.tenant_session(tenant_id) as session:
            assert tenant_settings(session, tenant_id).model_dump() == before

    def test_the_shares_that_pause_a_mailing(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        changes = {"pause_bounce_share": "2,5", "pause_complaint_share": "", "pause_after": "1000"}
        assert save(browser, **changes)[0] == 303
        with database.tenant_session(tenant_id) as session:
            stored = tenant_settings(session, tenant_id)
        shares = (stored.pause_bounce_share, stored.pause_complaint_share, stored.pause_after)
        assert shares == (2.5, 0.0, 1000)
        for wrong in ("101", "-1", "nan", "many"):
            assert save(browser, pause_bounce_share=wrong)[0] == 422

    def test_senders_and_stop_words(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        changes = {
            "sender_of_sms": " Fieldmarket ",
            "sender_of_viber": "Полевой рынок",
            "stop_words": "хватит\r\n\r\nno more",
        }
        assert save(browser, **changes)[0] == 303
        with database.tenant_session(tenant_id) as session:
            stored = tenant_settings(session, tenant_id)
            names, words = stored.sender_names, stored.stop_words
            made = create_draft(session, tenant_id, channel="sms", name="Summer")
            [variant] = variants_of(session, made)
        assert names == {"sms": "Fieldmarket", "viber": "Полевой рынок"}
        assert words == ["хватит", "no more"]
        assert variant.content == {"sender_name": "Fieldmarket"}
        again = fields(browser.get(GENERAL).get_data(as_text=True))
        assert again["sender_of_sms"] == "Fieldmarket"
        assert again["stop_words"] == "хватит\nno more"
        status, page = save(browser, sender_of_sms="Полевой рынок")
        assert status == 422
        assert "Phones show a name of at most 11 Latin letters and digits" in page
        assert 'value="Полевой рынок"' in page

    def test_everything_is_stored_and_shown_again(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        with database.tenant_connection(tenant_id) as connection:
            make_customers(connection, tenant_id, 1)
        changes = {
            "time_zone": "Asia/Tokyo",
            "currency": "JPY",
            "sender_name": "Field & Market",
            "sender_address": "news@shop.test",
            "senders": "Orders <orders@shop.test>\nhelp@shop.test",
            "window_from": "09:00",
            "window_until": "20:30",
            "lifetime": "3",
            "lifetime_unit": "days",
            "limit_per_minute": "600",
            "daily_limit": "250000",
            "undo_seconds": "30",
            "quiet_days": "2026-12-25 Christmas\n2027-01-01",
            "utm_source": "envoi",
            "test_customer": "C-1",
            "unconfirmed_resend": "",
        }
        assert save(browser, **changes)[0] == 303
        shown = fields(browser.get(GENERAL).get_data(as_text=True))
        kept = {n: v for n, v in changes.items() if n not in ("senders", "unconfirmed_resend")}
        assert {n: shown[n] for n in kept} == kept
        assert shown["senders"] == "Orders <orders@shop.test>\n<help@shop.test>"
        with database.tenant_session(tenant_id) as session:
            stored = tenant_settings(session, tenant_id)
            assert (stored.window_from, stored.window_until) == (540, 1230)
            assert stored.lifetime_minutes == 3 * 24 * 60
            assert stored.quiet_days[0] == {"date": "2026-12-25", "name": "Christmas"}
            assert stored.unconfirmed_resend["email"] is False
            assert create_draft(session, tenant_id, channel="email", name="New").window_from == 540

    @pytest.mark.parametrize(
        ("field", "value", "told"),
        [
            ("time_zone", "Mars/Olympus", "There is no such time zone"),
            ("currency", "EURO", "three letters of a currency"),
            ("sender_address", "not an address", "This is no email address"),
            ("senders", "a@shop.test\nbroken", "Line 2: This is no email address"),
            ("quiet_days", "25.12.2026 Christmas", "Line 1:"),
            ("window_from", "09:00", "both ends of the sending interval"),
            ("window_from", "99:00", "Enter a time from 00:00 to 23:59, such as 09:30."),
            ("window_until", "12:75", "Enter a time from 00:00 to 23:59, such as 09:30."),
            ("window_until", "noon", "Enter a time from 00:00 to 23:59, such as 09:30."),
            ("limit_per_minute", "0", "Enter a number from 1."),
            ("lifetime", "0", "Enter a number from 1."),
            ("site", "javascript:alert(1)", "Enter the whole address"),
            ("test_customer", "C-404", "No customer has this id"),
            ("watcher_group_id", "99999", "There is no such group"),
            ("sender_name", "Two\tparts", "control characters"),
        ],
    )
    def test_what_is_wrong_is_told_at_its_field_and_nothing_is_lost(
        self,
        browser: FlaskClient,
        database: Database,
        tenant_id: int,
        field: str,
        value: str,
        told: str,
    ) -> None:
        status, page = save(browser, **{field: value, "contact_name": "Typed & kept"})
        assert status == 422
        assert told in page
        assert fields(page)["contact_name"] == "Typed & kept"
        with database.tenant_session(tenant_id) as session:
            assert tenant_settings(session, tenant_id).contact_name == ""


class TestWatchers:
    """Groups of people outside the base."""

    def post(self, browser: FlaskClient, path: str, **form: str) -> tuple[int, str]:
        data = {"csrf_token": token(browser, "/settings/watchers"), **form}
        answer = browser.post(f"/settings/watchers{path}", data=data)
        return answer.status_code, answer.get_data(as_text=True)

    def test_a_group_is_made_changed_and_deleted(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        assert (
            self.post(browser, "/new", name="Board", emails="a@shop.test\n\na@shop.test")[0] == 303
        )
        with database.tenant_session(tenant_id) as session:
            [group] = list_watcher_groups(session, tenant_id)
            assert group.emails == ["a@shop.test"]
        assert self.post(browser, "/new", name="Board")[0] == 422
        path = f"/{group.id}"
        assert self.post(browser, path, name="Board", phones="+49 151 00000001")[0] == 303
        with database.tenant_session(tenant_id) as session:
            draft = create_draft(session, tenant_id, channel="email", name="Watched")
            draft.watcher_group_id = group.id
        status, page = self.post(browser, f"{path}/delete")
        assert status == 409
        assert "Watched" in page
        with database.tenant_session(tenant_id) as session:
            session.delete(session.merge(draft))
        assert self.post(browser, f"{path}/delete")[0] == 303

    def test_every_line_that_is_no_address_is_named(self, browser: FlaskClient) -> None:
        status, page = self.post(
            browser, "/new", name="Board", emails="fine@shop.test\n<script>", phones="12 34\nabc"
        )
        assert status == 422
        assert "&lt;script&gt; is no address" in page
        assert "abc is no address" in page
        assert "fine@shop.test\n&lt;script&gt;" in page


class TestCategories:
    """Kinds of mailings that customers can leave."""

    def post(self, browser: FlaskClient, path: str = "", **form: str) -> tuple[int, str]:
        data = {"csrf_token": token(browser, "/settings/categories"), **form}
        answer = browser.post(f"/settings/categories{path}", data=data)
        return answer.status_code, answer.get_data(as_text=True)

    def test_a_category_is_added_changed_and_taken_out_of_use(
        self, browser: FlaskClient, database: Database, tenant_id: int
    ) -> None:
        assert self.post(browser, name="News", code="news")[0] == 303
        status, page = self.post(browser, name="Other", code="news")
        assert status == 422
        assert "already a category with this code" in page
        with database.tenant_session(tenant_id) as session:
            [category] = list_categories(session, tenant_id)
        path = f"/{category.id}"
        assert 'value="News"' in browser.get(f"/settings/categories{path}").get_data(as_text=True)
        assert self.post(browser, path, name="Letters", code="news", exempt="1")[0] == 303
        with database.tenant_session(tenant_id) as session:
            [category] = list_categories(session, tenant_id)
            assert (category.name, category.exempt) == ("Letters", True)
            draft = create_draft(session, tenant_id, channel="email", name="A draft")
            draft.category_id = category.id
        assert self.post(browser, f"{path}/delete")[0] == 409
        with database.tenant_session(tenant_id) as session:
            session.merge(draft).category_id = None
        assert self.post(browser, f"{path}/delete")[0] == 303
        with database.tenant_session(tenant_id) as session:
            assert list_categories(session, tenant_id) == []
        assert self.post(browser, name="News again", code="news")[0] == 303

    def test_codes_are_plain(self, browser: FlaskClient) -> None:
        status, page = self.post(browser, name="", code="Not plain!")
        assert status == 422
        assert "Enter a name" in page


@pytest.mark.parametrize(
    ("address", "roles"),
    [
        ("/settings/general", {Role.ADMINISTRATOR}),
        ("/settings/watchers", {Role.ADMINISTRATOR, Role.SENIOR_MARKETER, Role.MARKETER}),
        ("/settings/categories", {Role.ADMINISTRATOR, Role.SENIOR_MARKETER}),
    ],
)
def test_who_may_see_them(app: Flask, signed_in: SignIn, address: str, roles: set[Role]) -> None:
    for role in set(Role) - {Role.API}:
        assert signed_in(role=role).get(address).status_code == (200 if role in roles else 403)
