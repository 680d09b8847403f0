"""The library against a real database: files, their uses, templates, and the public address."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from werkzeug.test import Client

from envoi.db import Database
from envoi.errors import ConflictError, NotFoundError, ValidationFailedError
from envoi.library import service
from envoi.library import templates as library_templates
from envoi.library.addresses import picture_path
from envoi.library.files import Library
from envoi.library.models import StoredFile, Template
from envoi.library.queries import files_by_id, find_files, folders, uses_of
from envoi.mailings import variants
from envoi.mailings.service import create_draft, get_mailing, variants_of
from envoi.plugins import Plugins
from envoi.tenants.service import create_tenant, tenant_settings
from envoi.tracking.app import TrackingApp
from envoi.tracking.pictures import Pictures
from envoi.tracking.tokens import TokenSigner


def picture(shade: int = 0, size: tuple[int, int] = (20, 10)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(out, "PNG")
    return out.getvalue()


def stored(database: Database, tenant_id: int, shade: int = 0, **fields: Any) -> StoredFile:
    with database.tenant_session(tenant_id) as session:
        values = {"name": f"shade {shade}.png", **fields}
        return service.store_picture(session, tenant_id, data=picture(shade), **values)


@pytest.fixture
def reader(database: Database, plugins: Plugins) -> Iterator[Client]:
    app = TrackingApp(database, TokenSigner(["a secret of the tests, 32 letters"]), plugins)
    yield Client(app)
    app.close()


def test_the_same_picture_is_kept_once(database: Database, tenant_id: int) -> None:
    first = stored(database, tenant_id, 1, folder=" Spring   sale ", alt="Red")
    assert stored(database, tenant_id, 1, name="again.png").id == first.id
    stored(database, tenant_id, 2)
    with database.tenant_session(tenant_id) as session:
        found, total = find_files(session, tenant_id, service.IMAGE)
        assert (total, [f.name for f in found]) == (2, ["shade 2.png", "shade 1.png"])
        in_folder, _ = find_files(session, tenant_id, service.IMAGE, folder="Spring sale")
        assert [f.alt for f in in_folder] == ["Red"]
        assert find_files(session, tenant_id, service.IMAGE, text="RED")[1] == 1
        assert find_files(session, tenant_id, service.IMAGE, text="%")[1] == 0
        assert folders(session, tenant_id, StoredFile) == ["Spring sale"]


def test_public_addresses(database: Database, tenant_id: int, reader: Client) -> None:
    made = stored(database, tenant_id, 3)
    path = picture_path(tenant_id, made.id, made.digest)
    answer = reader.get(path)
    assert (answer.status_code, answer.data) == (200, made.data)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert reader.head(path).data == b""
    other = picture_path(tenant_id, made.id, "0" * 64)
    foreign = picture_path(
        create_tenant(database, slug=f"o{tenant_id}", name="O").id, made.id, made.digest
    )
    for wrong in (other, foreign, path[:-1], path + "A", "/i/", "/i/" + "A" * 36):
        assert reader.get(wrong).status_code == 404
    assert reader.post(path).status_code == 404


def test_attachments_are_never_public(database: Database, tenant_id: int, reader: Client) -> None:
    with database.tenant_session(tenant_id) as session:
        made = service.store_attachment(session, tenant_id, name="a.pdf", data=b"%PDF-1.7 secret")
        attachment = Library(session, tenant_id, "").attachment(made.id)
    assert (attachment.name, attachment.data) == ("a.pdf", b"%PDF-1.7 secret")
    assert reader.get(picture_path(tenant_id, made.id, made.digest)).status_code == 404


def test_memory_for_pictures_is_bounded(database: Database, tenant_id: int) -> None:
    files = [stored(database, tenant_id, shade) for shade in (11, 12, 13)]
    room = len(files[0].data) * 2
    pictures = Pictures(database, max_kept=room)
    for made in files * 2:
        token = picture_path(tenant_id, made.id, made.digest).removeprefix("/i/")
        assert pictures(token).body == made.data
        assert sum(len(kept.body) for kept in pictures._kept.values()) <= room


def test_what_is_used_cannot_be_deleted(database: Database, tenant_id: int) -> None:
    inside, by_address, attached, free = (
        *(stored(database, tenant_id, shade) for shade in (21, 22)),
        *(stored(database, tenant_id, shade) for shade in (23, 24)),
    )
    address = "https://e.test" + picture_path(tenant_id, by_address.id, by_address.digest)
    columns = [[{"type": "image", "id": "a", "file_id": inside.id, "alt": "x"}], []]
    with database.tenant_session(tenant_id) as session:
        one = create_draft(session, tenant_id, channel="email", name="In columns")
        content = {"blocks": [{"type": "columns", "id": "c", "columns": columns}]}
        variants.save_content(session, tenant_id, one.id, one.version, content)
        two = create_draft(session, tenant_id, channel="email", name="By address")
        content_two = {"body": f"<img src='{address}'>", "attachments": [attached.id]}
        variants.save_content(session, tenant_id, two.id, two.version, content_two)
        kept = library_templates.keep_as_template(
            session, tenant_id, one.id, 1, name="Kept", folder="F"
        )
        uses = uses_of(session, tenant_id, [inside.id, by_address.id, attached.id, free.id])
        assert [(u.kind, u.name) for u in uses[inside.id]] == [
            ("mailing", "In columns"),
            ("template", "Kept"),
        ]
        assert [u.name for u in uses[by_address.id]] == ["By address"]
        assert [u.name for u in uses[attached.id]] == ["By address"]
        assert uses[free.id] == []
        for used in (inside, by_address, attached):
            with pytest.raises(ConflictError, match="is used by"):
                service.delete_file(session, tenant_id, used.id)
        service.delete_file(session, tenant_id, free.id)
        assert [f.id for f in files_by_id(session, tenant_id, [free.id, inside.id])] == [inside.id]
        assert folders(session, tenant_id, Template) == ["F"]
        assert kept.content["blocks"] == content["blocks"]


def test_another_company_sees_nothing(database: Database, tenant_id: int) -> None:
    made = stored(database, tenant_id, 31)
    other = create_tenant(database, slug=f"other-{tenant_id}", name="Other").id
    with database.tenant_session(other) as session:
        with pytest.raises(NotFoundError):
            service.get_file(session, other, made.id)
        with pytest.raises(NotFoundError):
            Library(session, other, "").picture_url(made.id)
        with pytest.raises(NotFoundError):
            Library(session, other, "").attachment(made.id)
        assert find_files(session, other, service.IMAGE)[1] == 0


def test_templates_bring_words_and_looks_but_no_sender(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        settings = tenant_settings(session, tenant_id)
        settings.postal_address = "Market street 1\n12345 Town"
        draft = create_draft(session, tenant_id, channel="email", name="Draft")
        first = {"subject": "Mine", "sender_address": "me@shop.test", "text": "old"}
        variants.save_content(session, tenant_id, draft.id, draft.version, first)
        starting = library_templates.starting_template("offer")
        library_templates.use_template(session, tenant_id, draft.id, draft.version, starting)
        content = variants_of(session, draft)[0].content
        assert (content["subject"], content["sender_address"]) == ("Mine", "me@shop.test")
        assert (content["text"], content["body_format"]) == ("", "blocks")
        ids = [block["id"] for block in content["blocks"]]
        assert all(ids)
        assert len(set(ids)) == len(ids)
        assert content["blocks"][-1]["address"] == "Market street 1 12345 Town"

        kept = library_templates.keep_as_template(session, tenant_id, draft.id, 1, name=" A  b ")
        assert kept.name == "A b"
        assert "sender_address" not in kept.content
        copy = library_templates.duplicate_template(session, tenant_id, kept.id)
        assert (copy.name, copy.content) == ("A b (copy)", kept.content)
        library_templates.edit_template(session, tenant_id, copy.id, name="C", folder="X")
        library_templates.delete_template(session, tenant_id, kept.id)
        found, total = library_templates.list_templates(session, tenant_id, folder="X")
        assert (total, [t.name for t in found]) == (1, ["C"])
        with pytest.raises(ValidationFailedError):
            library_templates.edit_template(session, tenant_id, copy.id, name=" ", folder="")
        with pytest.raises(ConflictError):
            library_templates.use_template(session, tenant_id, draft.id, 1, copy)


def test_variants_of_a_draft(database: Database, tenant_id: int) -> None:
    with database.tenant_session(tenant_id) as session:
        made = create_draft(session, tenant_id, channel="email", name="A/B")
        draft, number = made.id, made.id
        variants.save_content(session, tenant_id, draft, 1, {"subject": "A"})
        for wanted in range(2, 6):
            number = variants.add_variant(session, tenant_id, draft, made.version)
            assert number == wanted
            variants.save_content(
                session, tenant_id, draft, made.version, {"subject": "ABCDE"[number - 1]}, number
            )
        with pytest.raises(ValidationFailedError, match="at most 5"):
            variants.add_variant(session, tenant_id, draft, made.version)
        shares = [15.0, 25.5, 9.5, 30.0, 20.0]
        variants.set_shares(session, tenant_id, draft, made.version, shares)
        for wrong in ([50, 50], [100, 0, 0, 0, 0], [20, 20, 20, 20, 20.1], [20.04] * 5):
            if [round(s, 1) for s in wrong] == [20.0] * 5:
                continue
            with pytest.raises(ValidationFailedError):
                variants.set_shares(session, tenant_id, draft, made.version, wrong)
        variants.delete_variant(session, tenant_id, draft, made.version, 2)
        mailing = get_mailing(session, tenant_id, draft)
        found = variants_of(session, mailing)
        assert [(v.number, v.content["subject"], v.share) for v in found] == [
            (1, "A", 25.0),
            (2, "C", 25.0),
            (3, "D", 25.0),
            (4, "E", 25.0),
        ]
        with pytest.raises(ConflictError):
            variants.delete_variant(session, tenant_id, draft, 1, 2)
        with pytest.raises(ValidationFailedError, match="too large"):
            variants.save_content(
                session, tenant_id, draft, made.version, {"body": "x" * 10_000_000}
            )


@pytest.mark.parametrize("count", range(1, 6))
def test_equal_shares_add_up(count: int) -> None:
    shares = variants.equal_shares(count)
    assert round(sum(shares), 1) == 100
    assert max(shares) - min(shares) < 0.11
