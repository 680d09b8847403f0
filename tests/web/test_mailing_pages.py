"""Pages of mailings: the list, who and what of the editor, roles, and the running mailing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from desk import Desk, Shown
from drafts import an_audience, content_of, stored
from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.mailings import service
from factories.customers import customer_ids
from ledger_rows import add_messages, add_run
from pages import SignIn

HOSTILE = """"><img src=x onerror=alert(1)><script>alert(2)</script>"""


class TestList:
    def test_an_empty_one_leads_to_the_first_mailing(self, desk: Desk) -> None:
        shown = desk.get("/mailings/")
        assert "No mailings yet" in shown.words
        assert 'href="/mailings/new"' in shown.source

    def test_a_draft_and_a_sent_mailing(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        run = add_run(database, tenant_id)
        with database.tenant_session(tenant_id) as session:
            people = customer_ids(session, tenant_id)
        add_messages(database, run, people[:12])
        shown = desk.get("/mailings/email")
        assert f'href="/mailings/{draft}/who"' in shown.source
        assert f'href="/mailings/{run.mailing_id}/report"' in shown.source
        assert "1–2 of 2" in shown.words
        assert re.search(r"Sent .* 12 12 12 ", shown.words)

    def test_filters(self, desk: Desk, database: Database, tenant_id: int, draft: int) -> None:
        add_run(database, tenant_id)
        assert f"/mailings/{draft}/who" not in desk.get("/mailings/?status=sent").source
        assert f"/mailings/{draft}/who" in desk.get("/mailings/?status=draft").source
        assert f"/mailings/{draft}/who" in desk.get("/mailings/?q=NEWS+for").source
        nothing = desk.get("/mailings/?q=100%25")
        assert "No mailing matches" in nothing.words
        assert "There are 2 mailings in all." in nothing.words

    def test_sorting_and_page_size(self, desk: Desk, database: Database, tenant_id: int) -> None:
        with database.tenant_session(tenant_id) as session:
            for number in range(12):
                service.create_draft(session, tenant_id, channel="email", name=f"M{number:02}")
        first = desk.get("/mailings/?sort=name")
        assert re.findall(r">(M\d\d)</a>", first.source) == [f"M{n:02}" for n in range(10)]
        assert "1–10 of 12" in first.words
        last = desk.get("/mailings/?sort=-name&size=25")
        assert re.findall(r">(M\d\d)</a>", last.source)[:2] == ["M11", "M10"]
        assert "1–12 of 12" in last.words
        assert "1–10 of 12" in desk.get("/mailings/?sort=no_such&size=7").words

    @pytest.mark.parametrize("page", ["2", "0", "999999999999999999999"])
    def test_a_page_that_does_not_exist_is_no_error(
        self, desk: Desk, draft: int, page: str
    ) -> None:
        assert desk.get(f"/mailings/?page={page}").status == 200

    def test_links_take_the_query_for_nothing_else(self, desk: Desk, draft: int) -> None:
        shown = desk.get("/mailings/?_scheme=javascript&_external=1&channel=sms&size=25")
        assert shown.status == 200
        assert "javascript:" not in shown.source
        assert 'href="/mailings/?' in shown.source

    def test_copy_and_delete(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        copied = desk.post(f"/mailings/{draft}/copy")
        assert copied.status == 303
        assert copied.answer.location == f"/mailings/{draft + 1}/who"
        assert stored(database, tenant_id, draft + 1).name == "Coffee week (copy)"
        assert desk.post(f"/mailings/{draft}/delete").status == 303
        assert "The mailing was deleted." in desk.get("/mailings/").words
        assert desk.get(f"/mailings/{draft}").status == 404


class TestCreate:
    def test_a_draft_is_made_by_post_only(self, desk: Desk, segment_id: int) -> None:
        assert desk.get(f"/mailings/new?segment={segment_id}").status == 200
        assert "No mailings yet" in desk.get("/mailings/").words
        made = desk.post("/mailings/new", name="Tea week", channel="email", segment_id=segment_id)
        assert made.status == 303
        page = desk.get(made.answer.location)
        assert "Tea week" in page.words
        assert "Counting" in page.words

    def test_without_a_token_nothing_is_made(self, desk: Desk) -> None:
        assert desk.browser.post("/mailings/new", data={"name": "Tea week"}).status_code == 400
        assert "No mailings yet" in desk.get("/mailings/").words

    def test_without_a_name_nothing_is_made(self, desk: Desk, segment_id: int) -> None:
        shown = desk.post("/mailings/new", name=" ", channel="email", segment_id=segment_id)
        assert shown.status == 422
        assert "Enter a name for the mailing." in shown.words
        assert f'value="segment:{segment_id}" selected' in shown.source
        assert "No mailings yet" in desk.get("/mailings/").words

    def test_an_unknown_channel_is_refused(self, desk: Desk) -> None:
        assert desk.post("/mailings/new", name="Tea week", channel="pigeon").status in (404, 422)
        assert "No mailings yet" in desk.get("/mailings/").words


class TestWho:
    def save(self, desk: Desk, draft: int, version: int, **fields: Any) -> Shown:
        return desk.post(f"/mailings/{draft}/who", version=version, **fields)

    def test_saving_counts_and_the_parts_add_up(
        self, desk: Desk, database: Database, tenant_id: int, draft: int, segment_id: int
    ) -> None:
        version = stored(database, tenant_id, draft).version
        fields = {
            "source": f"segment:{segment_id}",
            "control_share": "10",
            "strata_form": "1",
            "strata": "gender",
        }
        shown = self.save(desk, draft, version, **fields)
        assert shown.status == 200
        assert "1 + 4 + 35 = 40" in shown.words
        assert "Balance of control group and recipients" in shown.words
        assert stored(database, tenant_id, draft).control_share == 10
        onwards = self.save(desk, draft, version + 1, **fields, next="what")
        assert onwards.answer.location == f"/mailings/{draft}/what"

    def test_everybody_and_a_target_audience(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        audience = an_audience(database, tenant_id, ("C-1", "C-2", "C-3"))
        version = stored(database, tenant_id, draft).version
        everybody = self.save(desk, draft, version, source="all")
        assert "All customers" in everybody.words
        assert "1 + 39 = 40" in everybody.words
        listed = self.save(desk, draft, version + 1, source=f"audience:{audience}")
        assert "1 + 2 = 3: every customer is counted once" in listed.words
        kept = stored(database, tenant_id, draft)
        assert (kept.segment_id, kept.audience_id, kept.tree) == (None, audience, None)
        assert "Held back" in desk.get(f"/mailings/{draft}/choose?q=held").words
        assert "Everybody" not in desk.get(f"/mailings/{draft}/choose?q=held").words

    def test_a_target_audience_gets_nothing(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        audience = an_audience(database, tenant_id, ("C-1", "C-2", "C-3"))
        version = stored(database, tenant_id, draft).version
        fields = {"control": "audience", "control_share": "0"}
        choosing = self.save(desk, draft, version, **fields)
        assert choosing.status == 200
        assert "Choose a target audience" in choosing.words
        none = self.save(desk, draft, version, **fields, control_audience_id="")
        assert none.status == 422
        held = self.save(desk, draft, version, **fields, control_audience_id=audience)
        assert "1 + 2 + 37 = 40" in held.words, "who wants no email is no member of any group"

    def test_strata_are_read_bounded_and_explained(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        version = stored(database, tenant_id, draft).version
        fields = {"strata_form": "1", "control_share": "20"}
        fine = {"strata": ["age", "city"], "given.age": " 20, 22,", "given.city": "2"}
        shown = self.save(desk, draft, version, **fields, **fine)
        assert shown.status == 200
        kept = stored(database, tenant_id, draft).strata
        assert kept[0] == "age:20,22"
        assert kept[1].startswith("city:")
        assert kept[1].count("|") == 1
        assert "Under 20" in shown.words
        assert "20–21" in shown.words
        assert "22 and over" in shown.words
        for ages in ("many", "22,20", "-1", "nan", "1e9"):
            wrong = self.save(desk, draft, version + 1, **fields, **fine | {"given.age": ages})
            assert wrong.status == 422, ages
        assert stored(database, tenant_id, draft).strata == kept

    @pytest.mark.parametrize("outcome", ["segment", "eligible", "recipients", "channel_opt_out"])
    def test_every_line_leads_to_its_customers(self, desk: Desk, draft: int, outcome: str) -> None:
        desk.post(f"/mailings/{draft}/count")
        assert f"/customers?outcome={outcome}" in desk.get(f"/mailings/{draft}/who").source
        shown = desk.get(f"/mailings/{draft}/customers?outcome={outcome}")
        assert shown.status == 200
        assert (">C-3<" in shown.source) == (outcome in ("segment", "channel_opt_out"))
        assert desk.get(f"/mailings/{draft}/customers?outcome=luck").status == 404

    def test_counting_again_shows_the_volume_only(self, desk: Desk, draft: int) -> None:
        counted = desk.browser.post(
            f"/mailings/{draft}/count",
            data={"csrf_token": desk.token},
            headers={"HX-Request": "true", "HX-Target": "volume"},
        )
        shown = Shown(counted)
        assert "<html" not in shown.source
        assert "1 + 39 = 40" in shown.words

    @pytest.mark.parametrize("share", ["51", "-1", "many", "nan", "1e400"])
    def test_a_bad_share_is_told_at_its_field(
        self, desk: Desk, database: Database, tenant_id: int, draft: int, share: str
    ) -> None:
        shown = self.save(desk, draft, 2, control_share=share)
        assert shown.status == 422
        assert "Enter a share from 0 to 50 per cent" in shown.words
        assert 'href="#control_share"' in shown.source
        assert stored(database, tenant_id, draft).control_share == 0

    def test_somebody_elses_save_is_not_written_over(
        self, desk: Desk, database: Database, tenant_id: int, draft: int, segment_id: int
    ) -> None:
        seen = stored(database, tenant_id, draft).version
        mine = {
            "source": f"segment:{segment_id}",
            "policy_id": stored(database, tenant_id, draft).policy_id,
        }
        assert self.save(desk, draft, seen, **mine, control_share="5").status == 200
        again = self.save(desk, draft, seen, **mine, control_share="5")
        assert again.status == 200
        other = self.save(desk, draft, seen, **mine, control_share="7")
        assert other.status == 409
        assert "saved this mailing while you were editing" in other.words
        assert re.search(r"Control group size 5 7", other.words), "both values"
        assert 'name="control_share" value="7"' in other.source, "nothing typed is lost"
        assert stored(database, tenant_id, draft).control_share == 5

    @pytest.mark.parametrize(
        ("customer", "said"),
        [
            ("C-3", "Does not get it: Unsubscribed from channel."),
            ("c-1@mail1.test", "Gets the mailing."),
            ("nobody", "No customer has this name, id or address."),
        ],
    )
    def test_why_not_this_customer(self, desk: Desk, draft: int, customer: str, said: str) -> None:
        assert said in desk.get(f"/mailings/{draft}/why?customer={customer}").words


class TestWhat:
    def save(self, desk: Desk, draft: int, **fields: Any) -> Shown:
        return desk.post(f"/mailings/{draft}/what", version=2, **fields)

    def test_an_incomplete_draft_is_saved(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        shown = self.save(desk, draft, subject="", body="")
        assert shown.status == 200
        assert content_of(database, tenant_id, draft)["subject"] == ""

    def test_an_error_of_the_template_names_its_line(self, desk: Desk, draft: int) -> None:
        shown = self.save(desk, draft, body="<p>Hello</p>\n<p>{{ client.name</p>")
        assert "Line 2" in shown.words

    def test_variables_that_nobody_has_are_named(self, desk: Desk, draft: int) -> None:
        shown = self.save(desk, draft, subject="{{ client.properties.shoe_size }}")
        assert "No customer has these variables" in shown.words
        assert "shoe_size" in shown.words

    def test_the_name_is_saved_too(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        self.save(desk, draft, name="  Tea week ")
        assert stored(database, tenant_id, draft).name == "Tea week"

    def test_the_preview_is_foreign_html_under_its_own_policy(
        self, desk: Desk, database: Database, tenant_id: int, draft: int
    ) -> None:
        with database.tenant_session(tenant_id) as session:
            anna = customer_ids(session, tenant_id, "C-7")[0]
        shown = desk.get(f"/mailings/{draft}/preview?customer={anna}")
        policy = shown.answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox;")
        assert "script-src" not in policy
        assert "default-src 'none'" in policy
        assert "Hello Anna" in shown.words
        page = desk.get(f"/mailings/{draft}/what")
        assert re.search(r'<iframe[^>]* sandbox=""[^>]* src="/mailings/\d+/preview', page.source)

    def test_what_people_write_never_becomes_our_html(self, desk: Desk, draft: int) -> None:
        body = f"<p>{HOSTILE}</p>{{{{ {HOSTILE} }}}}"
        fields = {"name": HOSTILE, "subject": HOSTILE, "sender_name": HOSTILE, "body": body}
        pages = [
            self.save(desk, draft, **fields),
            *(desk.get(f"/mailings/{draft}/{step}") for step in ("who", "what", "when")),
            desk.get(f"/mailings/{draft}/why?customer={HOSTILE}"),
            desk.get("/mailings/"),
            desk.get(f"/mailings/?q={HOSTILE}"),
        ]
        for page in pages:
            assert page.status == 200
            assert "<img src=x" not in page.source
            assert "<script>" not in page.source
            assert "alert(1)" in page.source


class TestProgress:
    def test_a_finished_mailing_is_asked_no_more(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        run = add_run(database, tenant_id)
        address = f"/mailings/{run.mailing_id}/progress"
        polled = desk.get(address, **{"HX-Request": "true", "HX-Target": "live"})
        assert polled.status == 286
        assert "<html" not in polled.source
        assert "hx-trigger" not in polled.source
        assert desk.get(address).status == 200
        assert desk.get(f"/mailings/{run.mailing_id}").answer.location.endswith("/report")

    def test_what_has_ended_is_not_paused(
        self, desk: Desk, database: Database, tenant_id: int
    ) -> None:
        run = add_run(database, tenant_id)
        for action in ("pause", "resume", "cancel", "undo"):
            assert desk.post(f"/mailings/{run.mailing_id}/{action}").status == 409


class TestRoles:
    def test_an_analyst_only_looks(self, signed_in: SignIn, draft: int) -> None:
        analyst = Desk(signed_in(Role.ANALYST))
        page = analyst.get("/mailings/")
        assert page.status == 200
        assert "Create mailing" not in page.words
        for step in ("who", "what", "when"):
            assert analyst.get(f"/mailings/{draft}/{step}").status == 403
            assert analyst.post(f"/mailings/{draft}/{step}").status == 403
        for action in ("copy", "delete", "confirm", "undo", "pause", "resume", "cancel"):
            assert analyst.post(f"/mailings/{draft}/{action}").status == 403

    def test_a_designer_changes_the_content_only(
        self, signed_in: SignIn, database: Database, tenant_id: int, draft: int
    ) -> None:
        designer = Desk(signed_in(Role.DESIGNER))
        assert designer.get(f"/mailings/{draft}/what").status == 200
        saved = designer.post(f"/mailings/{draft}/what", version=2, subject="Tea")
        assert saved.status == 200
        assert content_of(database, tenant_id, draft)["subject"] == "Tea"
        for step in ("who", "when"):
            assert designer.get(f"/mailings/{draft}/{step}").status == 403
        assert designer.post(f"/mailings/{draft}/confirm", recipients=39).status == 403

    def test_a_marketer_deletes_only_what_he_made(self, signed_in: SignIn, draft: int) -> None:
        marketer = Desk(signed_in(Role.MARKETER))
        assert marketer.post(f"/mailings/{draft}/delete").status == 403
        assert marketer.post(f"/mailings/{draft}/cancel").status == 403
        own = marketer.post(f"/mailings/{draft}/copy").answer.location.removesuffix("/who")
        assert marketer.post(f"{own}/delete").status == 303


def test_the_editor_in_russian(signed_in: SignIn, draft: int) -> None:
    desk = Desk(signed_in(language="ru"))
    assert "Объём рассылки" in desk.get(f"/mailings/{draft}/who").words
    when = desk.get(f"/mailings/{draft}/when").words
    assert "Для этого канала нет шлюза" in when
    assert "Такой рассылки нет" in desk.get("/mailings/999999").words
