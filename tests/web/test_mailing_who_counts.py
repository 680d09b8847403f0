"""The volume of a large base on the page: about at once, exact after."""

from __future__ import annotations

import pytest

from desk import Desk, Shown
from envoi.db import Database
from envoi.mailings.service import create_draft, get_mailing
from envoi.segments import counting
from factories.customers import make_customers
from pages import SignIn

ASKED = {"HX-Request": "true", "HX-Target": "volume"}


def test_a_large_base_is_counted_about_first_and_exactly_after(
    signed_in: SignIn, database: Database, tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "LARGE", 100)
    monkeypatch.setattr(counting, "SAMPLED", 300)
    with database.tenant_session(tenant_id) as session:
        make_customers(session.connection(), tenant_id, 900)
        draft = create_draft(session, tenant_id, channel="email", name="Large", tree={})
    desk = Desk(signed_in())
    here = f"/mailings/{draft.id}"
    about = desk.post(f"{here}/who", version=draft.version, source="all", control_share="10")
    assert about.status == 200
    assert "About, counted" in about.words
    assert f'hx-post="{here}/count" hx-trigger="load"' in about.source
    exact = Shown(
        desk.browser.post(f"{here}/count", data={"csrf_token": desk.token}, headers=ASKED)
    )
    assert "Exact, counted" in exact.words
    assert 'hx-trigger="load"' not in exact.source
    summary = exact.source.partition('id="who-summary" hx-swap-oob="true"')[2]
    counted = exact.source.partition('id="control-count" hx-swap-oob="true"')[2]
    assert (">810<" in summary, ">90<" in counted) == (True, True)
    desk.post(f"{here}/who", version=2, source="all", control_share="0")
    whole = desk.post(f"{here}/count")
    assert "Without a control group the report cannot tell" in whole.words
    assert ("</html>" in whole.source, "</html>" in exact.source) == (True, False)
    assert "= 900: every customer is counted once" in exact.words
    about = desk.post(f"{here}/who", version=3, source="all", control_share="20")
    assert "About, counted" in about.words
    review = desk.get(f"{here}/when")
    assert review.status == 200
    with database.tenant_session(tenant_id) as session:
        assert get_mailing(session, tenant_id, draft.id).volume["exact"]
