"""Files as they come: encodings, archives, workbooks; what is too much is refused, not tried."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

import pytest
from openpyxl import Workbook

from envoi.customers.csv_reader import Row
from envoi.customers.error_file import ErrorFile
from envoi.customers.intake import open_table, store_upload
from envoi.customers.preview import agreed, preview_of
from envoi.customers.suggestions import suggest
from envoi.errors import ValidationFailedError

TEXT = "id;имя\nC-1;Анна Каренина\nC-2;Пётр\n"
ROWS = [["C-1", "Анна Каренина"], ["C-2", "Пётр"]]


def _stored(folder: Path, content: bytes) -> list[list[str]]:
    return [row.cells for row in _rows(folder, content)]


def _rows(folder: Path, content: bytes) -> list[Row]:
    refused: list[str] = []
    file = open_table(store_upload(folder, BytesIO(content)))
    rows = list(file.rows(lambda line, reason, text: refused.append(reason)))
    assert refused == []
    return rows


def _zipped(**files: bytes) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def _workbook(*rows: Sequence[object]) -> bytes:
    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(list(row))
    target = BytesIO()
    book.save(target)
    return target.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-be").join([b"\xfe\xff", b""]),
        TEXT.encode("cp1251"),
        gzip.compress(TEXT.encode("cp1251")),
        _zipped(**{"a.csv": TEXT.encode("utf-16"), "__MACOSX/._a.csv": b"x"}),
        _workbook(["id", "имя"], *ROWS),
        gzip.compress(_workbook(["id", "имя"], *ROWS)),
        _zipped(**{"a.xlsx": _workbook(["id", "имя"], *ROWS)}),
    ],
    ids=["utf-8", "bom", "utf-16", "big", "cp1251", "gz", "zip", "xlsx", "xlsx.gz", "xlsx.zip"],
)
def test_every_packing_gives_the_same_rows(tmp_path: Path, content: bytes) -> None:
    assert _stored(tmp_path, content) == ROWS
    (kept,) = (tmp_path / "uploads").iterdir()
    assert oct(kept.stat().st_mode & 0o777) == "0o600"


def test_cells_of_a_workbook_become_text(tmp_path: Path) -> None:
    cells: list[object] = [
        204118,
        2.5,
        3.0,
        True,
        date(2026, 11, 22),
        datetime(2026, 11, 22, 10, 15),
        "'=1+1",
        " a ",
    ]
    names: list[object] = list("abcdefgh")
    content = _workbook(names, cells, [None] * 8, ["x"])
    rows = _rows(tmp_path, content)
    assert rows[0].cells == [
        *("204118", "2.5", "3", "Y", "2026-11-22", "2026-11-22T10:15:00", "=1+1", "a"),
    ]
    assert [(row.line, row.cells[0]) for row in rows] == [(2, "204118"), (4, "x")]


def test_a_workbook_row_with_too_many_cells_is_refused(tmp_path: Path) -> None:
    file = open_table(store_upload(tmp_path, BytesIO(_workbook(["id"], ["1", "2"], ["3"]))))
    refused: list[tuple[int, str]] = []
    rows = list(file.rows(lambda line, reason, text: refused.append((line, text))))
    assert [row.cells for row in rows] == [["3"]]
    assert refused == [(2, "1;2")]


def _bomb_book() -> bytes:
    with zipfile.ZipFile(BytesIO(_workbook(["id"], ["1"]))) as book:
        files = {name: book.read(name) for name in book.namelist()}
    files["xl/sharedStrings.xml"] = b"<sst>" + b" " * (1 << 26) + b"</sst>"
    return _zipped(**files)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(bytes(1 << 26)), "unpacks to far more"),
        (_zipped(**{"a.csv": bytes(1 << 26)}), "unpacks to far more"),
        (gzip.compress(gzip.compress(b"id\n1\n")), "another archive"),
        (_zipped(**{"a.csv": b"id\n", "b.csv": b"id\n"}), "holds 2 files"),
        (_zipped(**{"__MACOSX/._a.csv": b"x"}), "holds 0 files"),
        (gzip.compress(b"id\n1\n" * 1000)[:-20], "damaged"),
        (_bomb_book(), "too large when unpacked"),
        (_zipped(**{"[Content_Types].xml": b"<x/>"}), "cannot be read"),
    ],
    ids=["gz", "zip", "nested", "two", "none", "cut", "book", "no book"],
)
def test_what_is_too_much_is_refused_and_leaves_nothing(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(ValidationFailedError, match=reason):
        open_table(store_upload(tmp_path, BytesIO(content)))
    left = [path for path in (tmp_path / "uploads").iterdir() if path.suffix != ".xlsx"]
    assert left == []


def test_the_size_of_what_is_unpacked_is_bounded(tmp_path: Path) -> None:
    content = gzip.compress(b"id\n" + b"".join(b"C-%d\n" % n for n in range(3_000)))
    with pytest.raises(ValidationFailedError, match="far more"):
        store_upload(tmp_path, BytesIO(content), largest=10_000)


def test_an_error_file_is_bounded_and_tells_the_reasons(tmp_path: Path) -> None:
    with ErrorFile(tmp_path / "errors.csv", most_lines=100) as errors:
        for line in range(1_000_000):
            errors.refuse(line, f"gender is 'X{line}'. Write F, M or nothing.", "=x")
        errors.refuse(5, "external_id is empty.", ";")
    lines = (tmp_path / "errors.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 102
    assert lines[1].endswith("'=x")
    assert "999,901 more lines are not listed" in lines[-1]
    assert [(reason.count, reason.line) for reason in errors.reasons] == [(1_000_000, 0), (1, 5)]


def test_a_preview_tells_what_dates_and_numbers_look_like(tmp_path: Path) -> None:
    rows = [
        ["id", "d1", "d2", "d3", "n1", "n2", "n3"],
        ["1", "03/04/2026", "22/11/2026", "11/22/2026", "1,234", "1,5", "1,234.50"],
        ["2", "05/06/2026", "03/04/2026", "03/04/2026", "7", "1,234", "1,000"],
    ]
    content = "\n".join("\t".join(row) for row in rows).encode()
    preview = preview_of(open_table(store_upload(tmp_path, BytesIO(content))))
    assert preview.header == tuple(rows[0])
    assert preview.lines == 2
    assert preview.dates == ("", "unclear", "day", "month", "", "", "")
    assert preview.numbers == ("", "", "", "", "unclear", ",", ".")
    assert agreed(preview.dates) == "unclear"
    assert agreed(["", "day", "unclear"]) == "day"
    assert agreed(["", ""]) == ""


def test_names_of_columns_are_recognised_in_two_languages() -> None:
    targets = ["external_id", "first_name", "birth_date", "email", "phone", "city"]
    english = ["Customer ID", "First name", "Date of birth", "E-Mail", "Mobile phone", "Town"]
    russian = ["Номер карты", "ИМЯ", "Дата рождения", "эл. почта", "Телефон", "Населённый пункт"]
    assert suggest(english, targets, []) == targets
    assert suggest(russian, targets, []) == targets
    assert suggest(["email", "E-mail", "shoe"], targets, []) == ["email", "", ""]
