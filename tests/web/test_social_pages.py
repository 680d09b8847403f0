"""Writing a message for social networks in the browser."""

from __future__ import annotations

import re

import pytest

from envoi.db import Database
from envoi.mailings import service, variants
from pages import SignIn, token

SAVED_BY_ITSELF = {"HX-Request": "true", "HX-Target": "what-state"}


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        return service.create_draft(session, tenant_id, channel="social", name="Points").id


def test_a_message_is_written_in_a_form_made_from_the_schema(
    signed_in: SignIn, database: Database, tenant_id: int, draft: int
) -> None:
    browser, here = signed_in(), f"/mailings/{draft}/what"
    shown = browser.get(here)
    assert shown.status_code == 200
    assert '<label class="form-label" for="template">Approved template</label>' in shown.text
    assert re.search(r'<textarea[^>]* id="text" name="text" rows="6"', shown.text)
    assert re.search(r'href="/mailings/social"[^>]*>Social networks<', shown.text)
    assert browser.get("/mailings/social").status_code == 200

    words = {"text": "You have 300 points", "template": "points-7"}
    form = {"csrf_token": token(browser, "/own/"), "version": 1, "mode": "plain", "variant": 1}
    answer = browser.post(here, data={**form, **words}, headers=SAVED_BY_ITSELF)
    assert answer.status_code == 200
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        assert variants.get_variant(session, mailing, 1).content == words
    assert "points-7" in browser.get(here).text
