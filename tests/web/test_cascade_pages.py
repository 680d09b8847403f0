"""A cascade is put together in the second step: Viber, then SMS, and any channel after another."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from envoi.db import Database, table
from envoi.delivery.copies import copies_of
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Gateway, Run, RunKind
from envoi.installation import Installation
from envoi.library.service import store_picture
from envoi.mailings import service, variants
from envoi.mailings.cascade import channels_of
from envoi.mailings.copies import copy_to_watchers
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.service import tenant_settings
from envoi.tenants.watchers import save_watcher_group
from factories.companies import a_picture
from pages import SignIn, token

SAVED_BY_ITSELF = {"HX-Request": "true", "HX-Target": "what-state"}
BUTTON = {"HX-Request": "true", "HX-Target": "what-editor"}


GATEWAYS = {"sms": "devino_sms", "viber": "devino_viber", "email": "smtp"}


class Desk:
    """A browser with an SMS draft open; it knows the version it saw."""

    def __init__(self, browser: FlaskClient, database: Database, tenant_id: int, draft: int):
        self.browser, self.database = browser, database
        self.tenant_id, self.draft = tenant_id, draft
        self.token = token(browser, "/own/")

    @property
    def url(self) -> str:
        return f"/mailings/{self.draft}/what"

    def mailing(self) -> tuple[Mailing, list[dict[str, Any]]]:
        """The draft, and the contents of its first variant by step."""
        with self.database.tenant_session(self.tenant_id) as session:
            mailing = service.get_mailing(session, self.tenant_id, self.draft)
            variant = variants.get_variant(session, mailing, 1)
            return mailing, [variant.content, *variant.steps]

    def post(self, headers: Any = None, step: int = 1, **fields: Any) -> Any:
        """Press a button, or save by itself, with a step shown."""
        mailing, _ = self.mailing()
        seen = {"version": mailing.version, "mode": "plain", "variant": 1, "step": step}
        form = {"csrf_token": self.token, "chain": ",".join(channels_of(mailing)), **seen}
        return self.browser.post(self.url, data={**form, **fields}, headers=headers)

    def shown(self, step: int = 1) -> str:
        return self.browser.get(self.url, query_string={"step": step}).text


@pytest.fixture
def desk(signed_in: SignIn, database: Database, tenant_id: int) -> Desk:
    with database.tenant_session(tenant_id) as session:
        for channel, provider in GATEWAYS.items():
            session.add(
                Gateway(
                    tenant_id=tenant_id,
                    channel=channel,
                    provider=provider,
                    name=channel,
                    secrets=b"",
                )
            )
        made = service.create_draft(session, tenant_id, channel="sms", name="Double points")
        draft = made.id
    return Desk(signed_in(), database, tenant_id, draft)


def test_viber_goes_before_an_sms(desk: Desk) -> None:
    desk.post(text="By SMS")
    assert "Viber, then SMS" in desk.shown()
    assert 'href="/help/sms"' in desk.shown()
    answer = desk.post(BUTTON, text="By SMS", do="step-before:viber")
    assert answer.headers["HX-Redirect"].startswith(desk.url), "the page is another one now"
    mailing, contents = desk.mailing()
    assert channels_of(mailing) == ["viber", "sms"]
    assert contents == [{}, {"text": "By SMS"}]
    first, second = desk.shown(), desk.shown(2)
    assert '<label class="form-label" for="button">Button text</label>' in first
    assert re.search(r'<textarea[^>]* id="text"[^>]*>By SMS</textarea>', second)
    assert "Viber, then SMS" not in first
    assert 'href="/help/cascade"' in first


def test_what_is_typed_for_a_step_is_saved_by_itself(desk: Desk) -> None:
    desk.post(do="step-before:viber")
    desk.post(SAVED_BY_ITSELF, text="By Viber")
    typed = {"step.wait_minutes": "30", "step.success": "read", "text": "By SMS, later"}
    assert desk.post(SAVED_BY_ITSELF, 2, **typed).status_code == 200
    mailing, contents = desk.mailing()
    assert mailing.cascade == [{"channel": "sms", "wait_minutes": 30, "success": "read"}]
    assert [content.get("text") for content in contents] == ["By Viber", "By SMS, later"]
    version = mailing.version
    desk.post(SAVED_BY_ITSELF, 2, **typed)
    assert desk.mailing()[0].version == version, "the same again changes nothing"


GOES_ON = "goes through the channels by itself"


def test_who_goes_through_the_channels_is_said(desk: Desk) -> None:
    """Nothing is said of an account that is not ready yet, or does not want it."""
    desk.post(do="step-before:viber")
    assert GOES_ON not in desk.shown()
    installation: Installation = desk.browser.application.extensions["envoi"]
    account: Any = {"channel": "viber", "provider": "smstraffic_viber", "name": "SmsTraffic"}
    values = {"login": "shop", "password": "secret"}
    for moves_on in (True, False):
        with desk.database.tenant_session(desk.tenant_id) as session:
            given = {**values, "moves_on": moves_on}
            where = (session, installation.plugins, installation.settings, desk.tenant_id)
            set_gateway(*where, values=given, **account)
        assert (f"SmsTraffic {GOES_ON}" in desk.shown()) is moves_on
        when = desk.browser.get(f"/mailings/{desk.draft}/when").text
        assert (GOES_ON in when) is moves_on


@pytest.mark.parametrize("wait", ["0", "1441", "soon", ""])
def test_a_wait_that_is_none_is_said_at_its_field(desk: Desk, wait: str) -> None:
    desk.post(do="step-before:viber", text="")
    given = {"step.wait_minutes": wait, "step.success": "delivered", "text": "Kept"}
    answer = desk.post(None, 2, do="save", **given)
    assert answer.status_code == 422
    assert 'id="step.wait_minutes-error"' in answer.text
    assert "A step waits from 1 to 1,440 whole minutes. Enter such a number." in answer.text
    assert f'name="step.wait_minutes" value="{wait}"' in answer.text, "what was typed stays"
    mailing, contents = desk.mailing()
    assert mailing.cascade[0]["wait_minutes"] == 10
    assert contents[1]["text"] == "Kept"


def test_two_people_at_a_step_are_a_conflict(desk: Desk) -> None:
    desk.post(do="step-before:viber")
    stale = desk.mailing()[0].version
    given = {"step.wait_minutes": "10", "step.success": "delivered"}
    desk.post(SAVED_BY_ITSELF, 2, text="Mine", **given)
    late = desk.post(SAVED_BY_ITSELF, 2, version=stale, text="Theirs", **given)
    assert late.status_code == 409
    assert desk.mailing()[1][1]["text"] == "Mine"


def test_a_text_never_lands_in_a_step_that_has_moved_meanwhile(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    late = desk.post(SAVED_BY_ITSELF, 2, chain="sms,viber", text="For Viber")
    assert late.status_code == 409
    assert desk.mailing()[1] == [{}, {"text": "By SMS"}]
    gone = desk.post(SAVED_BY_ITSELF, 3, text="For nobody")
    assert gone.status_code == 404


def test_adding_moving_and_removing_keep_what_was_typed(desk: Desk) -> None:
    desk.post(text="By SMS", do="step-before:viber")
    course = {"step.wait_minutes": "30", "step.success": "read"}
    desk.post(text="By Viber", do="step-add:email")
    mailing, contents = desk.mailing()
    assert channels_of(mailing) == ["viber", "sms", "email"]
    answer = desk.post(BUTTON, 2, text="By SMS, changed", do="step-move:2", **course)
    assert "step" not in answer.headers["HX-Redirect"], "the SMS is still shown, as the first"
    mailing, contents = desk.mailing()
    assert channels_of(mailing) == ["sms", "viber", "email"]
    assert [content.get("text") for content in contents] == ["By SMS, changed", "By Viber", None]
    assert mailing.cascade[0] == {"channel": "viber", "wait_minutes": 30, "success": "read"}
    desk.post(text="By SMS, again", do="step-remove:1")
    mailing, contents = desk.mailing()
    assert channels_of(mailing) == ["viber", "email"]
    assert contents[0] == {"text": "By Viber"}
    desk.post(None, 2, mode="blocks", do="step-remove:2")
    assert channels_of(desk.mailing()[0]) == ["viber"]
    desk.post(do="step-remove:1")
    assert channels_of(desk.mailing()[0]) == ["viber"], "one channel always stays"


def test_an_email_has_its_own_editor_in_a_cascade(desk: Desk) -> None:
    desk.post(text="By SMS", do="step-add:email")
    shown = desk.shown(2)
    assert 'id="subject"' in shown
    assert 'id="blocks-title"' in shown
    typed = {"subject": "Double points", "mode": "blocks", "block": ""}
    desk.post(BUTTON, 2, do="add:text", **typed)
    contents = desk.mailing()[1]
    assert contents[0] == {"text": "By SMS"}
    assert contents[1]["subject"] == "Double points"
    assert [block["type"] for block in contents[1]["blocks"]] == ["text"]
    desk.post(BUTTON, 2, do="step-move:2", **typed)
    assert channels_of(desk.mailing()[0]) == ["email", "sms"]
    assert "the mail server took it and did not return it" in desk.shown(2)


def test_a_later_step_has_its_preview_and_its_length(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    desk.post(text="By Viber")
    preview = f"/mailings/{desk.draft}/preview?variant=1&step="
    assert "By Viber" in desk.browser.get(f"{preview}1").text
    assert "By SMS" in desk.browser.get(f"{preview}2").text
    assert "The cascade has no such step." in desk.browser.get(f"{preview}3").text
    for step in (1, 2):
        shown = desk.shown(step)
        assert shown.count('data-ev-step="') == 2, "a phone for each channel"
        assert [number in shown for number in ("1. Viber</fig", "2. SMS</fig")] == [True, True]
    form = {"csrf_token": desk.token, "variant": 1, "step": 2, "text": "x" * 200}
    counted = desk.browser.post(f"/mailings/{desk.draft}/length", data=form).text
    assert "200 characters, 2 parts" in counted


def test_a_picture_is_put_into_the_step_it_was_chosen_for(desk: Desk) -> None:
    desk.post(do="step-add:viber", text="By SMS")
    with desk.database.tenant_session(desk.tenant_id) as session:
        picture = store_picture(
            session, desk.tenant_id, name="tea.png", data=a_picture(), alt="Tea"
        )
        number = picture.id
    desk.post(BUTTON, 2, do=f"picture-address:{number}:Tea", text="By Viber")
    contents = desk.mailing()[1]
    assert contents[0] == {"text": "By SMS"}
    assert contents[1]["image"].startswith("http")


def test_without_a_gateway_there_is_no_switch(desk: Desk) -> None:
    with desk.database.tenant_session(desk.tenant_id) as session:
        theirs = table(Gateway).c.tenant_id == desk.tenant_id
        session.execute(table(Gateway).delete().where(theirs))
    assert "add-step" not in desk.shown()
    answer = desk.post(do="step-add:viber")
    assert answer.status_code == 422
    assert channels_of(desk.mailing()[0]) == ["sms"]


def test_a_copy_and_another_variant_have_the_whole_chain(desk: Desk) -> None:
    desk.post(text="By SMS", do="step-before:viber")
    desk.post(text="By Viber", do="add-variant")
    with desk.database.tenant_session(desk.tenant_id) as session:
        copy = service.copy_mailing(session, desk.tenant_id, desk.draft)
        assert channels_of(copy) == ["viber", "sms"]
        found = service.variants_of(session, copy)
        assert [(v.content, v.steps) for v in found] == [
            ({"text": "By Viber"}, [{"text": "By SMS"}])
        ] * 2


def test_the_review_asks_for_every_step(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    desk.post(SAVED_BY_ITSELF, text="By Viber")
    given = {"step.wait_minutes": "1440", "step.success": "delivered", "text": ""}
    desk.post(SAVED_BY_ITSELF, 2, **given)
    with desk.database.tenant_session(desk.tenant_id) as session:
        service.get_mailing(session, desk.tenant_id, desk.draft).lifetime_minutes = 60
    assert "The cascade may wait for 1,440 minutes" in desk.shown(2)
    shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
    assert "The cascade may wait for 1,440 minutes" in shown
    said = re.findall(r">(Step \d, [^<]*</a>[^<]*)", shown)
    assert said == ["Step 2, SMS, Text</a>: The message is empty. Write it."]
    assert f"/mailings/{desk.draft}/what?variant=1&amp;step=2" in shown


def test_the_review_says_every_step(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS, later")
    desk.post(SAVED_BY_ITSELF, 2, **{"step.wait_minutes": "30", "step.success": "read"})
    shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
    [row] = re.findall(r">Step 2, SMS</th>(.*?)</tr>", shown)
    assert "By SMS, later" in row
    assert "not read in 30 minutes" in row


def test_advice_is_on_every_step(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="a" * 161)
    desk.post(SAVED_BY_ITSELF, text="By Viber", sender_name="SHOP")
    desk.post(do="step-add:email", text="By Viber", sender_name="SHOP")
    shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
    assert "Step 2, SMS: The longest message makes 2 parts" in shown
    assert "Step 2, SMS: There is no sender name" in shown
    assert "Step 3, Email: There is no preheader" in shown
    assert "Step 1, Viber: There is no sender name" not in shown


def test_a_cascade_is_named_by_all_its_channels(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    start = datetime.now(UTC) + timedelta(minutes=5)
    with desk.database.tenant_session(desk.tenant_id) as session:
        service.get_mailing(session, desk.tenant_id, desk.draft).starts_at = start
    pages = ["/mailings/", "/mailings/sms", "/mailings/viber", desk.url]
    pages += [f"/mailings/{desk.draft}/who", f"/calendar/{start:%Y/%m}"]
    for page in pages:
        assert "Viber &gt; SMS" in desk.browser.get(page, follow_redirects=True).text, page
    assert "Double points" not in desk.browser.get("/mailings/email").text
    tabs = desk.browser.get("/mailings/").text.partition('<ul class="nav ev-tabs">')[2]
    counts = re.findall(r'<span class="ev-count">(\d+)</span>', tabs.partition("</ul>")[0])
    assert (counts[0], sum(map(int, counts))) == ("1", 3), "one, found with both its channels"


def copies_by_channel(desk: Desk) -> dict[str, list[tuple[str, str]]]:
    """The tests of the draft by channel: each address with what it is sent."""
    c = table(Run).c
    mine = (c.tenant_id == desk.tenant_id, c.mailing_id == desk.draft, c.kind == RunKind.TEST)
    with desk.database.tenant_session(desk.tenant_id) as session:
        return {
            run.channel: [
                (copy.address, str(run.settings["variants"][copy.variant - 1]["content"]["text"]))
                for copy in copies_of(run).copies
            ]
            for run in session.scalars(select(Run).where(*mine))
        }


def test_a_test_goes_by_every_channel_chosen(desk: Desk) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    desk.post(text="By Viber")
    shown = desk.browser.get(f"/mailings/{desk.draft}/test").text
    assert re.findall(r'name="step" value="(\d)" checked', shown) == ["1", "2"]
    assert shown.count("<textarea") == 1, "both are sent to telephone numbers"
    form = {"csrf_token": desk.token, "addresses": "+49 151 23456789", "variants": 1}
    url = f"/mailings/{desk.draft}/test"
    answer = desk.browser.post(url, data={**form, "step": [1, 2]}, follow_redirects=True)
    assert answer.status_code == 200, re.findall(r"<li>.*?</li>", answer.text)
    assert answer.text.count("+4915123456789") >= 2
    assert copies_by_channel(desk) == {
        "viber": [("+4915123456789", "By Viber")],
        "sms": [("+4915123456789", "By SMS")],
    }


def test_a_test_that_one_channel_refuses_is_sent_by_none(desk: Desk) -> None:
    desk.post(do="step-add:email", text="By SMS")
    url, form = f"/mailings/{desk.draft}/test", {"csrf_token": desk.token, "variants": 1}
    shown = desk.browser.get(url).text
    assert 'name="addresses"' in shown
    assert 'name="addresses.email"' in shown
    both = {"addresses": "+4915123456789", "addresses.email": "anna@shop.test", "step": [1, 2]}
    assert desk.browser.post(url, data={**form, **both}).status_code == 422, "no email is written"
    assert copies_by_channel(desk) == {}
    assert desk.browser.post(url, data={**form, **both, "step": 1}).status_code == 303
    assert list(copies_by_channel(desk)) == ["sms"]


def test_watchers_get_the_message_of_each_channel(desk: Desk, plugins: Plugins) -> None:
    desk.post(do="step-before:viber", text="By SMS")
    desk.post(text="By Viber")
    eyes = {"emails": ["eyes@shop.test"], "phones": ["+4915123456789"]}
    with desk.database.tenant_session(desk.tenant_id) as session:
        group = save_watcher_group(session, desk.tenant_id, None, name="Eyes", addresses=eyes)
        mailing = service.get_mailing(session, desk.tenant_id, desk.draft)
        mailing.watcher_group_id = group.id
        copy_to_watchers(session, plugins, Settings(secret_key="s" * 32), mailing)
    assert copies_by_channel(desk) == {
        "viber": [("+4915123456789", "By Viber")],
        "sms": [("+4915123456789", "By SMS")],
    }


def test_an_email_that_follows_is_from_the_company_and_needs_a_sender(desk: Desk) -> None:
    with desk.database.tenant_session(desk.tenant_id) as session:
        company = tenant_settings(session, desk.tenant_id)
        company.sender_name, company.sender_address = "Field Market", "news@fieldmarket.test"
    desk.post(do="step-add:email", text="By SMS")
    sender = {"sender_name": "Field Market", "sender_address": "news@fieldmarket.test"}
    assert desk.mailing()[1][1] == sender
    when = f"/mailings/{desk.draft}/when"
    assert "The sender has no address with a domain" not in desk.browser.get(when).text
    with desk.database.tenant_session(desk.tenant_id) as session:
        mailing = service.get_mailing(session, desk.tenant_id, desk.draft)
        variants.get_variant(session, mailing, 1).steps = [{"subject": "Hi"}]
    assert "The sender has no address with a domain" in desk.browser.get(when).text
