"""The pages of imports: a file is uploaded, mapped, checked, imported, followed and told of."""

from __future__ import annotations

import gzip
import re
import zipfile
from io import BytesIO
from time import perf_counter

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from envoi.accounts.permissions import Role
from envoi.app import create_app
from envoi.customers.import_run import run_import
from envoi.customers.imports import ImportStatus, error_file_path
from envoi.customers.models import ImportState
from envoi.db import Database
from envoi.installation import Installation
from envoi.plugins import Plugins
from pages import TEST_SETTINGS, SignIn, token

START = "/customers/import/"


@pytest.fixture(scope="module")
def here(
    database: Database, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An installation whose data folder is these tests' own."""
    settings = TEST_SETTINGS.model_copy(update={"data_dir": tmp_path_factory.mktemp("data")})
    return Installation(settings, database, plugins)


@pytest.fixture(scope="module")
def app(here: Installation) -> Flask:
    """The application of that installation."""
    return create_app(here)


def _body(answer: Response, status: int = 200) -> str:
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def _upload(
    browser: FlaskClient, content: bytes, kind: str = "customers", name: str = "list.csv"
) -> TestResponse:
    form = {"csrf_token": token(browser, START), "kind": kind, "file": (BytesIO(content), name)}
    return browser.post(START, data=form, content_type="multipart/form-data")


def _post(browser: FlaskClient, address: str, **fields: object) -> TestResponse:
    return browser.post(address, data={"csrf_token": token(browser, START), **fields})


def _chosen(page: str) -> list[str]:
    """What the selects of a mapping page say, as a browser would send them."""
    selects = re.findall(r'name="columns".*?</select>', page, re.DOTALL)
    found = [re.search(r'<option value="([^"]*)" selected', select) for select in selects]
    return [match[1] if match else "" for match in found]


def _run(here: Installation, tenant_id: int, address: str) -> ImportStatus:
    return run_import(here, tenant_id, int(address.rsplit("/", 1)[1]))


def _checked(browser: FlaskClient, here: Installation, tenant_id: int, upload: TestResponse) -> str:
    """Map a file as it is suggested and check it; return its address."""
    address = upload.headers["Location"]
    page = _body(browser.get(address))
    answer = _post(browser, f"{address}/columns", columns=_chosen(page))
    assert answer.headers["Location"] == address, _body(answer, 422)
    assert _run(here, tenant_id, address).state == ImportState.CHECKED
    return address


def _count(database: Database, tenant_id: int, table: str = "customer") -> int:
    with database.tenant_connection(tenant_id) as connection:
        query = text(f"SELECT count(*) FROM {table} WHERE tenant_id = :t")
        return int(connection.scalar(query, {"t": tenant_id}) or 0)


def test_a_file_goes_from_its_columns_over_the_check_to_the_customers(
    signed_in: SignIn, here: Installation, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    content = "Номер карты;Имя;Дата рождения;Почта;Лишнее\nC-1;=1+1;31.12.1990;bad;x\n;x;;;\n"
    upload = _upload(browser, content.encode("cp1251"))
    address = upload.headers["Location"]
    page = _body(browser.get(address))
    assert _chosen(page) == ["external_id", "first_name", "birth_date", "email", ""]
    assert "31.12.1990" in page
    _post(browser, f"{address}/columns", columns=_chosen(page))
    polled = {"HX-Request": "true", "HX-Target": "import-course"}
    assert 'hx-trigger="every 2s"' in _body(browser.get(address, headers=polled))
    assert _run(here, tenant_id, address).state == ImportState.CHECKED
    assert _count(database, tenant_id) == 0
    ended = browser.get(address, headers=polled)
    assert "every 2s" not in _body(ended, 286)
    page = _body(browser.get(address))
    assert "Import 1 row" in page
    assert "External id is empty" in page
    assert "stay unsubscribed: 0" in page
    _post(browser, f"{address}/start")
    assert _run(here, tenant_id, address).state == ImportState.DONE
    assert _count(database, tenant_id) == 1
    with browser.get(f"{address}/errors.csv") as errors:
        assert errors.headers["Content-Type"].startswith("text/csv")
        assert "3,refused,External id is empty. Every customer needs one.,;x;;;" in _body(errors)
    listed = _body(browser.get(START))
    assert "list.csv" in listed
    assert "Anna Keller" in listed


def test_reasons_are_said_in_the_language_of_the_reader(
    signed_in: SignIn, here: Installation, tenant_id: int
) -> None:
    browser = signed_in(language="ru")
    address = _upload(browser, b"external_id,gender\nC-1,X\n").headers["Location"]
    _post(browser, f"{address}/columns", columns=["external_id", "gender"])
    _run(here, tenant_id, address)
    said = "Пол"
    assert said in _body(browser.get(address))
    with browser.get(f"{address}/errors.csv") as errors:
        _header, line = _body(errors).splitlines()
        assert line.startswith("2,")
        assert said in line
        assert "gender" not in line


def test_posting_twice_does_nothing_twice(
    signed_in: SignIn, here: Installation, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    address = _checked(browser, here, tenant_id, _upload(browser, b"id,city\nC-1,Berlin\n"))
    for _ in range(2):
        assert _post(browser, f"{address}/start").status_code == 303
    status = _run(here, tenant_id, address)
    assert status.counts is not None
    assert status.counts.created == 1
    assert _post(browser, f"{address}/start").status_code == 303
    assert _post(browser, f"{address}/columns", columns=["external_id", ""]).status_code == 303
    assert _run(here, tenant_id, address) == status
    assert _post(browser, f"{address}/cancel").status_code == 409


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (["", "city"], "External id: Choose the column of the file that holds it."),
        (["external_id", "external_id"], "External id: Two columns of the file cannot be"),
        (["external_id", "is_admin"], ""),
    ],
)
def test_a_mapping_that_does_not_do_is_shown_again(
    signed_in: SignIn, columns: list[str], told: str
) -> None:
    browser = signed_in()
    address = _upload(browser, b"a,b\nC-1,Berlin\n").headers["Location"]
    answer = _post(browser, f"{address}/columns", columns=columns)
    if told:
        page = _body(answer, 422)
        assert told in page
        assert _chosen(page) == columns
    else:
        assert answer.status_code == 303


def test_what_a_file_does_not_tell_is_asked(
    signed_in: SignIn, here: Installation, database: Database, tenant_id: int
) -> None:
    browser = signed_in()
    address = _upload(browser, b"id,birthday\nC-1,03/04/1990\n").headers["Location"]
    sent = {"columns": ["external_id", "birth_date"], "dates": "unclear"}
    assert "what comes first" in _body(_post(browser, f"{address}/columns", **sent), 422)
    _post(browser, f"{address}/columns", **{**sent, "dates": "month"})
    _run(here, tenant_id, address)
    _post(browser, f"{address}/start")
    _run(here, tenant_id, address)
    with database.tenant_connection(tenant_id) as connection:
        query = text("SELECT birth_date::text FROM customer WHERE tenant_id = :t")
        assert connection.scalar(query, {"t": tenant_id}) == "1990-03-04"


def test_a_mapping_is_saved_used_and_deleted(signed_in: SignIn) -> None:
    browser = signed_in()
    content = b"x,y\nC-1,Berlin\n"
    address = _upload(browser, content).headers["Location"]
    assert _chosen(_body(browser.get(address))) == ["", ""]
    _post(browser, f"{address}/columns", columns=["external_id", "city"], save_as="From the till")
    second = _upload(browser, b"y,z,x\nBerlin,1,C-1\n").headers["Location"]
    page = _body(browser.get(second))
    found = re.search(r'<option value="(\d+)">From the till', page)
    assert found
    page = _body(browser.get(f"{second}/columns?saved={found[1]}"))
    assert _chosen(page) == ["city", "", "external_id"]
    answer = _post(
        browser, f"{START}mappings/{found[1]}/delete", import_id=second.rsplit("/", 1)[1]
    )
    assert answer.headers["Location"] == f"{second}/columns"
    assert "From the till" not in _body(browser.get(second))


def test_a_cancelled_import_leaves_no_file(
    signed_in: SignIn, here: Installation, tenant_id: int
) -> None:
    browser = signed_in()
    folder = here.settings.data_dir / "uploads"
    before = set(folder.iterdir()) if folder.exists() else set()
    address = _checked(browser, here, tenant_id, _upload(browser, b"id\nC-1\n"))
    assert len(set(folder.iterdir()) - before) == 1
    assert _post(browser, f"{address}/cancel").status_code == 303
    assert set(folder.iterdir()) == before
    assert "was cancelled" in _body(browser.get(address))
    assert _run(here, tenant_id, address).state == ImportState.CANCELLED


def _zipped(*names: str) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, "id\nC-1\n")
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The file is empty"),
        (b"\n\n", "The file is empty"),
        ("id,city\nC-1,Zürich\n".encode("latin-1"), "Line 2 is not UTF-8"),
        (_zipped("a.csv", "b.csv"), "The archive holds 2 files. Pack exactly one."),
        (gzip.compress(bytes(1 << 26)), "unpacks to far more"),
        (b"PK\x03\x04 and nothing more", "The archive is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "before 2007"),
        (b"x," * 600 + b"\n", "601 columns"),
        (b'"' + b"x" * 200_000 + b'"\n', "A cell is longer"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    signed_in: SignIn, here: Installation, content: bytes, told: str
) -> None:
    folder = here.settings.data_dir / "uploads"
    before = set(folder.iterdir()) if folder.exists() else set()
    assert told in _body(_upload(signed_in(), content), 422)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("form", [{}, {"kind": "customers"}, {"kind": "people"}])
def test_an_incomplete_form_is_shown_again(signed_in: SignIn, form: dict[str, str]) -> None:
    browser = signed_in()
    assert "alert-danger" in _body(_post(browser, START, **form), 422)


@pytest.mark.parametrize("kind", ["customers", "products", "receipts", "receipt_lines"])
def test_the_samples_can_be_imported(
    signed_in: SignIn, here: Installation, tenant_id: int, kind: str
) -> None:
    browser = signed_in()
    needed = {"receipts": ["customers"], "receipt_lines": ["customers", "receipts"]}
    for each in [*needed.get(kind, []), kind]:
        sample = browser.get(f"{START}sample/{each}.csv").get_data()
        address = _checked(browser, here, tenant_id, _upload(browser, sample, each))
        _post(browser, f"{address}/start")
        status = _run(here, tenant_id, address)
    assert status.counts
    assert status.trial == status.counts
    assert (status.counts.refused, status.counts.warnings) == (0, 0)
    assert status.counts.created + status.counts.changed + status.counts.unchanged == 1


def test_the_permission_and_other_companies(signed_in: SignIn) -> None:
    browser = signed_in(Role.MARKETER)
    assert browser.get(START).status_code == 403
    administrator = signed_in()
    for address in ("999999999", "999999999/columns", "999999999/errors.csv"):
        assert administrator.get(START + address).status_code == 404


def test_of_many_bad_rows_the_page_shows_the_first_and_counts_all(
    signed_in: SignIn, here: Installation, tenant_id: int
) -> None:
    browser, rows = signed_in(), 60_000
    content = "external_id,gender\n" + "".join(f"C-{n},X{n}\n" for n in range(rows))
    packed = gzip.compress(content.encode())
    address = _checked(browser, here, tenant_id, _upload(browser, packed, name="list.csv.gz"))
    began = perf_counter()
    page = _body(browser.get(address))
    assert perf_counter() - began < 2
    assert "The error file holds the first 50,000 of 60,000 lines." in page
    assert "20 of 60,000" in page
    assert "C-0,X0" in page
    assert "C-19,X19" in page
    assert "C-20,X20" not in page
    assert len(page) < 100_000
    error_file_path(here.settings.data_dir, tenant_id, int(address.rsplit("/", 1)[1])).unlink()
    assert "60,000" in _body(browser.get(address))
