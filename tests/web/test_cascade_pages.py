"""A cascade is put together in the second step: Viber, then SMS, and any channel after another."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from envoi.db import Database, table
from envoi.delivery.models import Gateway
from envoi.mailings import service, variants
from envoi.mailings.cascade import channels_of
from envoi.mailings.models import Mailing
from pages import SignIn, token

SAVED_BY_ITSELF = {"HX-Request": "true", "HX-Target": "what-state"}
BUTTON = {"HX-Request": "true", "HX-Target": "what-editor"}


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

    def post(self, headers: Any = None, **fields: Any) -> Any:
        mailing, _ = self.mailing()
        seen = {"version": mailing.version, "mode": "plain", "variant": 1}
        form = {"csrf_token": self.token, "channel": mailing.channel, **seen}
        return self.browser.post(self.url, data={**form, **fields}, headers=headers)


@pytest.fixture
def desk(signed_in: SignIn, database: Database, tenant_id: int) -> Desk:
    with database.tenant_session(tenant_id) as session:
        for channel in ("sms", "viber"):
            session.add(
                Gateway(
                    tenant_id=tenant_id,
                    channel=channel,
                    provider=f"devino_{channel}",
                    name=channel,
                    secrets=b"",
                )
            )
        made = service.create_draft(session, tenant_id, channel="sms", name="Double points")
        draft = made.id
    return Desk(signed_in(), database, tenant_id, draft)


def test_viber_goes_before_an_sms(desk: Desk) -> None:
    desk.post(text="By SMS")
    assert "Viber, then SMS" in desk.browser.get(desk.url).text
    answer = desk.post(BUTTON, text="By SMS", do="cascade-before:viber")
    assert answer.headers["HX-Redirect"].startswith(desk.url), "the page is another one now"
    mailing, contents = desk.mailing()
    assert channels_of(mailing) == ["viber", "sms"]
    assert contents == [{}, {"text": "By SMS"}]
    shown = desk.browser.get(desk.url).text
    assert '<label class="form-label" for="button">Button text</label>' in shown
    assert re.search(r'<textarea[^>]* id="step2.text"[^>]*>By SMS</textarea>', shown)
    assert "Viber, then SMS" not in shown


def test_what_is_typed_for_a_step_is_saved_by_itself(desk: Desk) -> None:
    desk.post(do="cascade-before:viber")
    course = {"step2.wait_minutes": "30", "step2.success": "read"}
    answer = desk.post(
        SAVED_BY_ITSELF, text="By Viber", **course, **{"step2.text": "By SMS, later"}
    )
    assert answer.status_code == 200
    mailing, contents = desk.mailing()
    assert mailing.cascade == [{"channel": "sms", "wait_minutes": 30, "success": "read"}]
    assert [content.get("text") for content in contents] == ["By Viber", "By SMS, later"]
    version = mailing.version
    desk.post(SAVED_BY_ITSELF, text="By Viber", **course, **{"step2.text": "By SMS, later"})
    assert desk.mailing()[0].version == version, "the same again changes nothing"


@pytest.mark.parametrize("wait", ["0", "1441", "soon", ""])
def test_a_wait_that_is_none_is_said_at_its_field(desk: Desk, wait: str) -> None:
    desk.post(do="cascade-before:viber")
    given = {"step2.wait_minutes": wait, "step2.success": "delivered", "step2.text": "Kept"}
    answer = desk.post(text="By Viber", do="save", **given)
    assert answer.status_code == 422
    assert 'id="step2.wait_minutes-error"' in answer.text
    mailing, contents = desk.mailing()
    assert mailing.cascade[0]["wait_minutes"] == 10
    assert contents[1]["text"] == "Kept"


def test_two_people_at_a_step_are_a_conflict(desk: Desk) -> None:
    desk.post(do="cascade-before:viber")
    stale = desk.mailing()[0].version
    given = {"step2.wait_minutes": "10", "step2.success": "delivered"}
    desk.post(SAVED_BY_ITSELF, **given, **{"step2.text": "Mine"})
    late = desk.post(SAVED_BY_ITSELF, version=stale, **given, **{"step2.text": "Theirs"})
    assert late.status_code == 409
    assert desk.mailing()[1][1]["text"] == "Mine"


def test_removing_a_step_leaves_the_other_as_it_was(desk: Desk) -> None:
    desk.post(text="By SMS", do="cascade-before:viber")
    desk.post(text="By Viber", do="cascade-remove:1")
    mailing, contents = desk.mailing()
    assert (channels_of(mailing), contents) == (["sms"], [{"text": "By SMS"}])
    desk.post(do="cascade-add:viber", text="By SMS")
    mailing, contents = desk.mailing()
    assert (channels_of(mailing), contents) == (["sms", "viber"], [{"text": "By SMS"}, {}])
    desk.post(do="cascade-remove:2", text="By SMS")
    assert channels_of(desk.mailing()[0]) == ["sms"]


def test_without_a_gateway_there_is_no_switch(desk: Desk) -> None:
    with desk.database.tenant_session(desk.tenant_id) as session:
        theirs = table(Gateway).c.tenant_id == desk.tenant_id
        session.execute(table(Gateway).delete().where(theirs))
    assert "cascade-title" not in desk.browser.get(desk.url).text
    answer = desk.post(do="cascade-add:viber")
    assert answer.status_code == 422
    assert channels_of(desk.mailing()[0]) == ["sms"]


def test_a_copy_and_another_variant_have_the_whole_chain(desk: Desk) -> None:
    desk.post(text="By SMS", do="cascade-before:viber")
    desk.post(text="By Viber", do="add-variant")
    with desk.database.tenant_session(desk.tenant_id) as session:
        copy = service.copy_mailing(session, desk.tenant_id, desk.draft)
        assert channels_of(copy) == ["viber", "sms"]
        found = service.variants_of(session, copy)
        assert [(v.content, v.steps) for v in found] == [
            ({"text": "By Viber"}, [{"text": "By SMS"}])
        ] * 2


def test_the_review_asks_for_every_step(desk: Desk) -> None:
    desk.post(do="cascade-before:viber", text="By SMS")
    given = {"step2.wait_minutes": "1440", "step2.success": "delivered", "step2.text": ""}
    desk.post(SAVED_BY_ITSELF, text="By Viber", **given)
    with desk.database.tenant_session(desk.tenant_id) as session:
        service.get_mailing(session, desk.tenant_id, desk.draft).lifetime_minutes = 60
    shown = desk.browser.get(f"/mailings/{desk.draft}/when").text
    assert "The cascade may wait for 1,440 minutes" in shown
    assert "The message is empty. Write it." in shown
