"""The content editor without a browser: every button as a plain post and as a fragment."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from envoi.accounts.permissions import Role
from envoi.blocks import BLOCKS
from envoi.db import Database
from envoi.mailings import service, variants
from envoi.receipts.models import Product
from envoi.tenants.service import tenant_settings
from envoi_module_promo_codes import groups
from factories.customers import customer_ids, index_customers, make_customers
from pages import SignIn, token

HOSTILE = """"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}"""
FRAGMENT = {"HX-Request": "true", "HX-Target": "what-editor"}


class Editor:
    """A browser with the content editor of one draft open; it keeps the version it saw."""

    def __init__(self, browser: FlaskClient, database: Database, tenant_id: int, draft: int):
        self.browser, self.database, self.tenant_id, self.draft = (
            browser,
            database,
            tenant_id,
            draft,
        )
        self.url = f"/mailings/{draft}/what"
        self.token = token(browser, "/own/")
        self.version = self.mailing().version

    def mailing(self) -> Any:
        with self.database.tenant_session(self.tenant_id) as session:
            return service.get_mailing(session, self.tenant_id, self.draft)

    def content(self, number: int = 1) -> dict[str, Any]:
        with self.database.tenant_session(self.tenant_id) as session:
            mailing = service.get_mailing(session, self.tenant_id, self.draft)
            return dict(variants.get_variant(session, mailing, number).content)

    def shares(self) -> list[float]:
        with self.database.tenant_session(self.tenant_id) as session:
            mailing = service.get_mailing(session, self.tenant_id, self.draft)
            return [variant.share for variant in service.variants_of(session, mailing)]

    def post(self, do: str = "", headers: Any = None, **fields: Any) -> Any:
        form = {"csrf_token": self.token, "version": self.version, "mode": "blocks"}
        answer = self.browser.post(
            self.url, data={**form, "variant": 1, "do": do, **fields}, headers=headers
        )
        if answer.status_code in (200, 303):
            self.version = self.mailing().version
        return answer

    def ids(self) -> list[str]:
        return [block["id"] for block in self.content().get("blocks", [])]

    def types(self) -> list[str]:
        return [block["type"] for block in self.content().get("blocks", [])]


@pytest.fixture
def draft(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        made = service.create_draft(session, tenant_id, channel="email", name="Coffee week")
        content: Any = {"subject": "Coffee", "sender_address": "club@shop.test"}
        content = variants.add_block(content, "heading", text="Kept")
        for kind in ("text", "footer"):
            content = variants.add_block(content, kind)
        variants.save_content(session, tenant_id, made.id, made.version, content)
        return made.id


@pytest.fixture
def editor(signed_in: SignIn, database: Database, tenant_id: int, draft: int) -> Editor:
    return Editor(signed_in(), database, tenant_id, draft)


def test_the_senders_of_the_company_are_offered(editor: Editor) -> None:
    with editor.database.tenant_session(editor.tenant_id) as session:
        tenant_settings(session, editor.tenant_id).senders = [
            {"name": "The shop", "address": "news@shop.test"}
        ]
    shown = editor.browser.get(editor.url)
    assert shown.status_code == 200
    assert '<option value="The shop|news@shop.test">The shop</option>' in shown.text
    assert '<details class="mt-2"><summary class="ev-soft">Another sender' in shown.text
    wrong = editor.post(sender="other", sender_address="nobody")
    assert '<details class="mt-2" open><summary class="ev-soft">Another sender' in wrong.text


class TestBlocks:
    def test_each_type_is_added_and_shown(self, editor: Editor) -> None:
        kinds = [kind for kind in BLOCKS if kind != "footer"]
        for kind in kinds:
            answer = editor.post(f"add:{kind}")
            assert answer.status_code == 303
            assert editor.browser.get(answer.location).status_code == 200
        assert editor.types() == ["heading", "text", *kinds, "footer"]

    def test_they_are_moved_duplicated_and_deleted(self, editor: Editor) -> None:
        first, second, third = editor.ids()
        editor.post(f"down:{first}")
        assert editor.ids() == [second, first, third]
        editor.post(f"up:{second}")
        editor.post(f"move:{third}:0")
        assert editor.ids() == [third, second, first]
        editor.post(f"duplicate:{second}")
        assert editor.types() == ["footer", "text", "text", "heading"]
        editor.post(f"delete:{third}")
        assert editor.types() == ["text", "text", "heading"]

    def test_a_deleted_block_comes_back_where_it_was_once(self, editor: Editor) -> None:
        before = editor.content()["blocks"]
        shown = editor.post(f"delete:{editor.ids()[1]}", FRAGMENT)
        assert "Block deleted." in shown.headers["HX-Trigger"]
        undo = re.search(r'name="undo" value="([^"]+)"', shown.get_data(as_text=True))
        assert undo
        editor.post("undo", undo=undo[1])
        assert editor.content()["blocks"] == before
        editor.post("undo", undo=undo[1])
        assert editor.content()["blocks"] == before
        editor.post("undo", undo=undo[1] + "x")
        assert editor.content()["blocks"] == before

    def test_what_was_typed_is_kept_whatever_button_follows(self, editor: Editor) -> None:
        heading, text, _ = editor.ids()
        typed = {"block": heading, "block.shown": "1", "block.text": "Tea", "block.level": "2"}
        editor.post(f"open:{text}", **typed, subject="Tea week")
        block = editor.content()["blocks"][0]
        assert (block["text"], block["level"]) == ("Tea", 2)
        assert editor.content()["subject"] == "Tea week"

    def test_a_wrong_value_is_kept_and_told_at_its_field(self, editor: Editor) -> None:
        editor.post("add:button")
        number = editor.ids()[2]
        typed = {"block": number, "block.shown": "1", "block.link": "javascript:x"}
        shown = editor.post(f"open:{number}", FRAGMENT, **typed, **{"block.label": "Go"})
        page = shown.get_data(as_text=True)
        assert 'id="block.link-error"' in page
        assert "A link begins with https://" in page
        assert editor.content()["blocks"][2]["link"] == "javascript:x"

    def test_blocks_in_columns(self, editor: Editor) -> None:
        editor.post("add:columns")
        columns = editor.ids()[2]
        editor.post(f"add:heading:{columns}:1", block=columns)
        inner = editor.content()["blocks"][2]["columns"][1][0]
        page = editor.browser.get(f"{editor.url}?block={inner['id']}").get_data(as_text=True)
        assert "Back to the columns" in page
        editor.post("third-column", block=columns)
        assert len(editor.content()["blocks"][2]["columns"]) == 3
        editor.post("third-column", block=columns)
        assert len(editor.content()["blocks"][2]["columns"]) == 2
        assert editor.post(f"add:columns:{columns}:0").status_code in (303, 404, 422)

    def test_a_block_that_is_gone_is_a_conflict_not_a_failure(self, editor: Editor) -> None:
        gone = editor.ids()[0]
        editor.post(f"delete:{gone}")
        typed = {"block": gone, "block.shown": "1", "block.text": "Tea"}
        assert editor.post("", **typed).status_code == 409
        assert editor.post(f"up:{gone}").status_code == 404

    def test_a_product_is_copied_in(self, editor: Editor) -> None:
        with editor.database.tenant_session(editor.tenant_id) as session:
            session.add(
                Product(tenant_id=editor.tenant_id, external_id="P-1", name="Roast", price=799)
            )
        editor.post("add:product")
        number = editor.ids()[2]
        offered = editor.browser.get(f"/mailings/{editor.draft}/products?q=roa")
        assert 'value="product:P-1"' in offered.get_data(as_text=True)
        editor.post("product:P-1", block=number)
        block = editor.content()["blocks"][2]
        assert block["name"] == "Roast"
        assert "7.99" in block["price"]

    def test_a_picture_is_uploaded_and_chosen(self, editor: Editor) -> None:
        data = io.BytesIO()
        Image.new("RGB", (20, 20), "red").save(data, "PNG")
        upload = {"csrf_token": editor.token, "alt": "A red cup"}
        pictures = f"/mailings/{editor.draft}/pictures"
        shown = editor.browser.post(
            pictures, data={**upload, "file": (io.BytesIO(data.getvalue()), "cup.png")}
        ).get_data(as_text=True)
        found = re.search(r'value="picture:(\d+):A red cup"', shown)
        assert found
        refused = editor.browser.post(
            pictures, data={**upload, "file": (io.BytesIO(b"<svg/>"), "cup.svg")}
        )
        assert 'role="alert"' in refused.get_data(as_text=True)
        editor.post("add:image")
        editor.post(f"picture:{found[1]}:A red cup", block=editor.ids()[2])
        block = editor.content()["blocks"][2]
        assert (block["file_id"], block["alt"]) == (int(found[1]), "A red cup")
        picture = editor.browser.get(f"/mailings/pictures/{found[1]}")
        assert picture.mimetype == "image/png"


class TestSaving:
    def test_by_itself_only_the_state_comes_back(self, editor: Editor) -> None:
        headers = {"HX-Request": "true", "HX-Target": "what-state"}
        page = editor.post("", headers, subject="{{ client.properties.first_name }}, tea")
        shown = page.get_data(as_text=True)
        assert 'id="what-state"' in shown
        assert 'id="what-editor"' not in shown
        assert "Reads: " in shown
        assert 'id="saved" hx-swap-oob="true"' in shown

    def test_somebody_else_was_faster(self, editor: Editor) -> None:
        stale = editor.version
        editor.post("", subject="Theirs")
        editor.version = stale
        answer = editor.post("", {"HX-Request": "true", "HX-Target": "what-state"}, subject="Mine")
        page = answer.get_data(as_text=True)
        assert answer.status_code == 409
        assert "Theirs" in page
        assert "Mine" in page
        assert f'name="version" value="{stale}"' in page
        assert editor.content()["subject"] == "Theirs"
        keep = re.search(r'value="(keep:\d+)"', page)
        assert keep
        assert editor.post(keep[1], subject="Mine").status_code == 303
        assert editor.content()["subject"] == "Mine"

    def test_without_scripts_a_conflict_keeps_what_was_typed(self, editor: Editor) -> None:
        stale = editor.version
        editor.post("", subject="Theirs")
        editor.version = stale
        answer = editor.post("", subject="Mine")
        assert answer.status_code == 409
        assert 'name="subject" value="Mine"' in answer.get_data(as_text=True)

    def test_the_same_twice_is_no_conflict(self, editor: Editor) -> None:
        stale = editor.version
        editor.post("", subject="Tea")
        editor.version = stale
        assert editor.post("", subject="Tea").status_code == 200

    def test_settings_of_the_message(self, editor: Editor) -> None:
        fields = {"name": "Tea week", "reply_to": "re@shop.test", "style.shown": "1"}
        utm = {"utm.shown": "1", "utm.utm_source": "envoi"}
        editor.post("", **fields, **{"style.primary": "#113355", "style.width": "640"}, **utm)
        content = editor.content()
        assert editor.mailing().name == "Tea week"
        assert editor.mailing().utm == {"utm_source": "envoi"}
        assert (content["style"]["primary"], content["style"]["width"]) == ("#113355", 640)
        assert content["reply_to"] == "re@shop.test"

    def test_the_text_part_is_generated_with_its_variables(self, editor: Editor) -> None:
        typed = {"block": editor.ids()[0], "block.shown": "1"}
        editor.post("generate-text", **typed, **{"block.text": "Hi {{ client.properties.city }}"})
        assert "Hi {{ client.properties.city }}" in editor.content()["text"]

    def test_conversion_is_one_way(self, editor: Editor) -> None:
        answer = editor.post("convert")
        assert answer.status_code == 303
        content = editor.content()
        assert content["body_format"] == "mjml"
        assert content["body"].startswith("<mjml>")
        page = editor.browser.get(answer.location).get_data(as_text=True)
        assert "data-ev-lines" in page
        assert 'id="add-block"' not in page

    def test_an_error_of_code_names_its_line(self, editor: Editor) -> None:
        editor.post("convert")
        headers = {"HX-Request": "true", "HX-Target": "what-state"}
        shown = editor.post("", headers, mode="mjml", body="<mjml>\n<mj-body>\n<mj-text>\n</mjml>")
        page = shown.get_data(as_text=True)
        assert re.search(r'data-ev-error-line="\d"', page)
        assert "Go to line" in page

    def test_attachments(self, editor: Editor) -> None:
        address = f"/mailings/{editor.draft}/attachments"
        for name, data in (("a.txt", b"hello"), ("b.exe", b"MZ")):
            form = {"csrf_token": editor.token, "variant": 1, "file": (io.BytesIO(data), name)}
            assert editor.browser.post(address, data=form).status_code == 303
        [number] = editor.content()["attachments"]
        editor.version = editor.mailing().version
        assert "a.txt" in editor.browser.get(editor.url).get_data(as_text=True)
        editor.post(f"detach:{number}")
        assert editor.content()["attachments"] == []

    def test_templates_are_saved_and_used(self, editor: Editor) -> None:
        answer = editor.post("save-template", FRAGMENT, **{"template.name": "Weekly"})
        assert "Template saved: Weekly" in answer.headers["HX-Trigger"]
        offered = editor.browser.get(f"/mailings/{editor.draft}/templates").get_data(as_text=True)
        codes = re.findall(r'value="(template:[^"]+)"', offered)
        assert len(codes) > 1
        editor.post(f"delete:{editor.ids()[0]}")
        editor.post(codes[0])
        assert editor.types() == ["heading", "text", "footer"]
        assert editor.post(codes[-1]).status_code == 303
        nameless = editor.post("save-template", FRAGMENT)
        assert nameless.status_code == 422


class TestVariants:
    def test_shares(self, editor: Editor) -> None:
        editor.post("add-variant")
        assert editor.shares() == [50, 50]
        editor.post("", **{"share.1": "70"})
        assert editor.shares() == [70, 30]
        editor.post("add-variant")
        refused = editor.post("", **{"share.1": "40", "share.2": "30", "share.3": "18"})
        assert refused.status_code == 422
        editor.post("", **{"share.1": "40", "share.2": "30,5", "share.3": "29.5"})
        assert editor.shares() == [40, 30.5, 29.5]
        editor.post("equal-shares")
        assert round(sum(editor.shares()), 1) == 100
        editor.post("delete-variant:2")
        assert editor.shares() == [50, 50]

    def test_each_has_content_of_its_own(self, editor: Editor) -> None:
        editor.post("add-variant")
        editor.post("", variant=2, subject="Tea")
        assert editor.content(1)["subject"] == "Coffee"
        assert editor.content(2)["subject"] == "Tea"
        page = editor.browser.get(f"{editor.url}?variant=2").get_data(as_text=True)
        assert 'name="subject" value="Tea"' in page
        assert editor.browser.get(f"{editor.url}?variant=9").status_code == 200
        assert editor.post("variant:9").status_code == 404


class TestPreview:
    def ask(self, editor: Editor, query: str) -> Any:
        return editor.browser.get(f"/mailings/{editor.draft}/preview?{query}")

    def test_its_ways(self, editor: Editor) -> None:
        assert "img-src https:" in self.ask(editor, "").headers["Content-Security-Policy"]
        off = self.ask(editor, "no_images=1").headers["Content-Security-Policy"]
        assert "img-src 'none'" in off
        assert "invert" in self.ask(editor, "dark=1").get_data(as_text=True)
        text = self.ask(editor, "text=1").get_data(as_text=True)
        assert "Kept" in text
        assert "<h1" not in text

    def test_macros_are_offered_with_what_there_is(self, editor: Editor) -> None:
        address = f"/mailings/{editor.draft}/variables"
        assert "promo_code" not in editor.browser.get(address).get_data(as_text=True)
        with editor.database.tenant_session(editor.tenant_id) as session:
            groups.create_group(session, editor.tenant_id, "Spring")
        shown = editor.browser.get(address).get_data(as_text=True)
        assert 'data-ev-insert="promo_code(&#34;Spring&#34;)"' in shown
        assert "Promo code: Spring" in shown

    def test_variables_and_customers_are_offered(self, editor: Editor) -> None:
        with editor.database.tenant_session(editor.tenant_id) as session:
            customer = customer_ids(session, editor.tenant_id)[0]
            index_customers(session.connection(), editor.tenant_id)
        base = f"/mailings/{editor.draft}"
        shown = editor.browser.get(f"{base}/variables?customer={customer}").get_data(as_text=True)
        assert 'data-ev-insert="client.properties.first_name"' in shown
        found = editor.browser.get(f"{base}/found-customers?q=C-1").get_data(as_text=True)
        assert "data-ev-customer=" in found


def test_a_test_message_says_what_is_wrong(editor: Editor) -> None:
    address = f"/mailings/{editor.draft}/test"
    assert "Anna Keller" in editor.browser.get(address).get_data(as_text=True)
    form = {"csrf_token": editor.token, "addresses": "nobody"}
    refused = editor.browser.post(address, data=form)
    assert refused.status_code == 422
    assert "This is no email address: nobody" in refused.get_data(as_text=True)


def test_hostile_words_stay_words(editor: Editor) -> None:
    names = ("block.text", "block.label", "block.alt", "block.html", "block.mjml", "block.name")
    editor.post("save-template", **{"template.name": HOSTILE})
    for kind in ("heading", "button", "image", "text", "raw", "product", "columns", "social"):
        editor.post(f"add:{kind}")
    for number in editor.ids():
        typed = dict.fromkeys(names, HOSTILE) | {"block": number, "block.shown": "1"}
        editor.post("", **typed, subject=HOSTILE, preheader=HOSTILE, name=HOSTILE)
        page = editor.browser.get(f"{editor.url}?block={number}").get_data(as_text=True)
        assert "<img src=x" not in page
        assert "<script>alert" not in page
    offered = editor.browser.get(f"/mailings/{editor.draft}/templates").get_data(as_text=True)
    assert "<script>alert" not in offered


def test_a_designer_writes_and_an_analyst_does_not(
    signed_in: SignIn, database: Database, tenant_id: int, draft: int
) -> None:
    designer = Editor(signed_in(Role.DESIGNER), database, tenant_id, draft)
    assert designer.browser.get(designer.url).status_code == 200
    assert designer.post("add:divider").status_code == 303
    analyst = Editor(signed_in(Role.ANALYST), database, tenant_id, draft)
    assert analyst.browser.get(analyst.url).status_code == 403
    assert analyst.post("add:divider").status_code == 403
