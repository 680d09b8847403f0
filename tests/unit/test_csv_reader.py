"""CSV files: every dialect is read alike, and what cannot be read is told with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.customers.csv_reader import Columns, CsvFile, plain_cell, safe_cell
from envoi.customers.error_file import ErrorFile
from envoi.customers.mapping import by_header
from envoi.errors import ValidationFailedError

COLUMNS = Columns(required=("id",), optional=("name", "city"), free_prefix="field.")
Refused = list[tuple[int, str]]


def _read(path: Path, content: bytes) -> tuple[list[list[str]], Refused]:
    path.write_bytes(content)
    refused: Refused = []
    file = CsvFile(path)
    by_header(file.header, COLUMNS)
    rows = file.rows(lambda line, reason, text: refused.append((line, reason)))
    return [row.cells for row in rows], refused


def _refusal(path: Path, content: bytes) -> str:
    with pytest.raises(ValidationFailedError) as caught:
        _read(path, content)
    return caught.value.problems[0].message


_cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=30
).map(str.strip)


@given(
    rows=st.lists(st.tuples(_cells.filter(bool), _cells, _cells), max_size=6),
    delimiter=st.sampled_from([",", ";", "\t"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_dialect_gives_the_values_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    ending: str,
    bom: bool,
    quoting: int,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["id", "name", "city"])
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    content = (b"\xef\xbb\xbf" if bom else b"") + text.getvalue().encode()
    read, refused = _read(tmp_path_factory.mktemp("csv") / "a.csv", content)
    assert refused == []
    assert read == [list(row) for row in rows]


@given(st.text(max_size=20))
def test_no_cell_is_a_formula_and_reading_gives_it_back(value: str) -> None:
    assert not safe_cell(value).startswith(("=", "+", "-", "@", "\t", "\r"))
    if value == value.strip():
        assert plain_cell(safe_cell(value)) == value


def test_a_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    content = "id,name\n1,Anna\n2,Jürgen\n".encode("latin-1")
    assert "Line 3 is not UTF-8 (byte 0xfc)" in _refusal(tmp_path / "a.csv", content)


def test_the_line_of_a_wrong_byte_is_found_far_down(tmp_path: Path) -> None:
    content = b"id,name\n" + b"1,Anna\n" * 300_000 + b"2,\xff\n"
    assert "Line 300002 is not UTF-8" in _refusal(tmp_path / "a.csv", content)


def test_a_file_cut_inside_a_character(tmp_path: Path) -> None:
    assert "Line 2 ends in the middle" in _refusal(tmp_path / "a.csv", b"id\n\xc3")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"   \n1,2\n"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    assert "empty" in _refusal(tmp_path / "a.csv", content)


def test_wrong_columns_are_named_with_the_expected_ones(tmp_path: Path) -> None:
    message = _refusal(tmp_path / "a.csv", b"Name;Shoe;name\nAnna;38;x\n")
    assert "no column id." in message
    assert "not known: shoe." in message
    assert "twice: name." in message
    assert "Found: name, shoe, name. Expected: id, name, city, field.<code>." in message
    assert message.endswith("Nothing was imported.")


def test_bad_rows_are_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    content = (
        b"id,name\n1,Anna\n2\n3,a,b\n\n4,N\0L\n"
        b'5,"' + b"x" * 3_000_000 + b'"\n' + b'6,"two\nlines"\n7,Olga'
    )
    rows, refused = _read(tmp_path / "a.csv", content)
    assert rows == [["1", "Anna"], ["6", "two\nlines"], ["7", "Olga"]]
    lines = dict(refused)
    assert "1 cells, but there are 2 columns" in lines[3]
    assert "3 cells, but there are 2 columns" in lines[4]
    assert "NUL" in lines[6]
    assert "longer than" in lines[7]
    assert len(refused) == 4


def test_an_open_quote_ends_in_a_refusal(tmp_path: Path) -> None:
    content = b'id,name\n1,"Anna\n' + b"2,Olga\n" * 30_000
    _, refused = _read(tmp_path / "a.csv", content)
    assert refused[0][0] == 2
    assert "quotation mark" in refused[0][1]


def test_the_error_file_holds_no_formula(tmp_path: Path) -> None:
    with ErrorFile(tmp_path / "x" / "errors.csv") as errors:
        errors.refuse(2, "=1", "=HYPERLINK(1)\n")
        errors.warn(3, "odd", "-1\0")
    text = (tmp_path / "x" / "errors.csv").read_text("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        ["line", "kind", "reason", "original"],
        ["2", "refused", "'=1", "'=HYPERLINK(1)"],
        ["3", "warning", "odd", "'-1"],
    ]
    assert (errors.refused, errors.warnings) == (1, 1)
