"""Pages of the library: upload, words, uses, templates and mailings made from them."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from envoi.accounts.permissions import Role
from envoi.db import Database
from envoi.library import service
from envoi.library.queries import find_files
from envoi.library.templates import create_template
from envoi.mailings.service import get_mailing, variants_of
from pages import SignIn, token


def picture(shade: int = 0) -> BytesIO:
    out = BytesIO()
    Image.new("RGB", (30, 20), (0, shade, 0)).save(out, "PNG")
    out.seek(0)
    return out


@pytest.fixture
def browser(signed_in: SignIn) -> FlaskClient:
    return signed_in(Role.DESIGNER)


def post(browser: FlaskClient, address: str, **form: object) -> TestResponse:
    fields = {"csrf_token": token(browser, "/own/"), **form}
    return browser.post(address, data=fields, content_type="multipart/form-data")


def uploaded(database: Database, tenant_id: int, shade: int = 1, **fields: str) -> int:
    with database.tenant_session(tenant_id) as session:
        data = picture(shade).read()
        return service.store_picture(session, tenant_id, name="a.png", data=data, alt="").id


def test_an_empty_library_says_what_to_do(browser: FlaskClient) -> None:
    page = browser.get("/images/").get_data(as_text=True)
    assert "No images yet" in page
    page = browser.get("/templates/").get_data(as_text=True)
    assert "No templates of your own yet" in page
    for name in ("Newsletter", "Offer with a product", "Plain letter"):
        assert name in page


def test_upload_keeps_what_is_good_and_names_what_is_not(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    files = [
        (picture(1), "first.png"),
        (BytesIO(b"<svg onload=alert(1)>"), "<b>logo</b>.svg"),
        (picture(2), "../second.png"),
    ]
    answer = post(browser, "/images/", files=files, folder="Spring")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert "Save the picture as PNG" in page
    assert "<b>logo" not in page
    with database.tenant_session(tenant_id) as session:
        found, _ = find_files(session, tenant_id, service.IMAGE)
    assert [(f.name, f.folder) for f in found] == [
        ("second.png", "Spring"),
        ("first.png", "Spring"),
    ]
    assert post(browser, "/images/", files=[(picture(3), "third.png")]).status_code == 303
    assert post(browser, "/images/").status_code == 422
    assert "third.png" not in browser.get("/images/?folder=Spring").get_data(as_text=True)
    assert "No image fits" in browser.get("/images/?q=nothing").get_data(as_text=True)


def test_one_image(browser: FlaskClient, database: Database, tenant_id: int) -> None:
    number = uploaded(database, tenant_id)
    answer = browser.get(f"/images/{number}/file")
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert "immutable" in answer.headers["Cache-Control"]
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    saved = post(browser, f"/images/{number}", name="b.png", alt=' "Green" <i>', folder="F")
    assert saved.status_code == 303
    page = browser.get(f"/images/{number}").get_data(as_text=True)
    assert "&#34;Green&#34; &lt;i&gt;" in page
    address = re.search(r'value="(http[^"]+/i/[A-Za-z0-9_-]{36})"', page)
    assert address
    assert post(browser, f"/images/{number}/delete").status_code == 303
    assert browser.get(f"/images/{number}").status_code == 404


def test_a_used_image_is_not_deleted(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    number = uploaded(database, tenant_id)
    block = {"type": "image", "id": "a", "file_id": number, "alt": "Green"}
    with database.tenant_session(tenant_id) as session:
        create_template(
            session, tenant_id, channel="email", name="With picture", content={"blocks": [block]}
        )
    page = browser.get(f"/images/{number}").get_data(as_text=True)
    assert "With picture" in page
    assert "delete-image" not in page
    assert post(browser, f"/images/{number}/delete").status_code == 409
    assert browser.get(f"/images/{number}").status_code == 200


def test_attachments_are_no_images(
    browser: FlaskClient, database: Database, tenant_id: int
) -> None:
    with database.tenant_session(tenant_id) as session:
        made = service.store_attachment(session, tenant_id, name="a.pdf", data=b"%PDF-1.7")
    for address in (f"/images/{made.id}", f"/images/{made.id}/file"):
        assert browser.get(address).status_code == 404


def test_templates_live_a_whole_life(signed_in: SignIn, database: Database, tenant_id: int) -> None:
    browser = signed_in(Role.MARKETER)
    block = {"type": "heading", "id": "a", "text": "Hello <script>alert(1)</script>"}
    with database.tenant_session(tenant_id) as session:
        made = create_template(
            session, tenant_id, channel="email", name="First", content={"blocks": [block]}
        ).id
    here = f"/templates/{made}"
    assert 'sandbox=""' in browser.get(here).get_data(as_text=True)
    preview = browser.get(f"{here}/preview")
    assert "sandbox" in preview.headers["Content-Security-Policy"]
    assert "<script" not in preview.get_data(as_text=True)
    assert post(browser, here, name="Second", folder="F").status_code == 303
    refused = post(browser, here, name=" ", folder="")
    assert refused.status_code == 422
    assert "needs a name" in refused.get_data(as_text=True)
    assert post(browser, f"{here}/duplicate").status_code == 303
    page = browser.get("/templates/?folder=F").get_data(as_text=True)
    assert "Second (copy)" in page
    used = post(browser, f"{here}/use")
    assert used.status_code == 303
    assert post(browser, f"{here}/delete").status_code == 303
    number = int(re.findall(r"/mailings/(\d+)/what", used.headers["Location"])[0])
    with database.tenant_session(tenant_id) as session:
        mailing = get_mailing(session, tenant_id, number)
        content = variants_of(session, mailing)[0].content
    assert mailing.name == "Second"
    assert content["blocks"][0]["text"] == block["text"]
    assert content["blocks"][0]["id"] != "a"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_starting_templates_become_mailings(signed_in: SignIn, language: str) -> None:
    browser = signed_in(Role.MARKETER, language)
    for code in ("newsletter", "offer", "letter"):
        shown = browser.get(f"/templates/starting/{code}/preview").get_data(as_text=True)
        assert ("Здравствуйте" in shown) == (language == "ru")
        made = post(browser, f"/templates/starting/{code}/use")
        assert made.status_code == 303
        for block in re.findall(
            r'data-ev-block="([^"]+)"', browser.get(made.location).get_data(as_text=True)
        ):
            assert browser.get(f"{made.location}?block={block}").status_code == 200
    assert browser.get("/templates/starting/none/preview").status_code == 404


@pytest.mark.parametrize("role", [Role.ANALYST, Role.OPERATOR])
def test_roles_without_the_library(signed_in: SignIn, role: Role) -> None:
    browser = signed_in(role)
    for address in ("/images/", "/templates/"):
        assert browser.get(address).status_code == 403
    assert post(browser, "/images/", files=[(picture(), "a.png")]).status_code == 403


def test_designers_make_no_mailings(signed_in: SignIn) -> None:
    assert post(signed_in(Role.DESIGNER), "/templates/starting/letter/use").status_code == 403


@pytest.mark.parametrize("value", ["a\0b", "9" * 5_000, "x" * 100_000, b"\xff", "<script>"])
def test_no_words_are_a_failure(
    browser: FlaskClient, database: Database, tenant_id: int, value: str | bytes
) -> None:
    image = uploaded(database, tenant_id)
    with database.tenant_session(tenant_id) as session:
        made = create_template(session, tenant_id, channel="email", name="T", content={}).id
    for address, fields in (
        (f"/images/{image}", ("name", "alt", "folder")),
        (f"/templates/{made}", ("name", "folder")),
    ):
        for field in fields:
            form = {"csrf_token": token(browser, "/own/"), "name": "n", field: value}
            assert browser.post(address, data=form).status_code < 500
            assert "<script>" not in browser.get(address).get_data(as_text=True).split("<body")[1]
