"""Importing customers: what a file changes, what it never changes, what it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from envoi.customers.fields import delete_field, fields_of
from envoi.customers.import_kinds import ImportKind
from envoi.customers.models import FieldType
from envoi.customers.profile import customer_profile
from envoi.customers.queries import count_customers, list_customers
from envoi.customers.search import CustomerFilter
from envoi.customers.staging import ImportCounts
from envoi.db import Database
from envoi.errors import NotFoundError, ValidationFailedError
from envoi.tenants.service import create_tenant
from factories.imports import load_file

Load = Callable[[str], ImportCounts]


@pytest.fixture
def other_tenant_id(database: Database) -> int:
    """A second tenant."""
    return create_tenant(database, slug=f"o{uuid4().hex[:12]}", name="Other").id


@pytest.fixture
def load(database: Database, tenant_id: int, tmp_path: Path) -> Load:
    """Import a text as a file of the tenant."""
    return lambda content: _load(database, tenant_id, tmp_path, content)


def _load(database: Database, tenant_id: int, folder: Path, content: str) -> ImportCounts:
    path = folder / "customers.csv"
    path.write_text(content, "utf-8")
    return load_file(database, tenant_id, path, ImportKind.CUSTOMERS)


def _errors(folder: Path) -> list[dict[str, str]]:
    with (folder / "errors.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def _rows(database: Database, tenant_id: int, query: str) -> list[tuple[Any, ...]]:
    with database.tenant_connection(tenant_id) as connection:
        return [tuple(row) for row in connection.execute(text(query), {"t": tenant_id})]


HEAD = "external_id;first_name;last_name;gender;birth_date;registered_on;city;time_zone;email;phone"
FULL = f"""{HEAD}
C-1;Anna;Müller;F;1990-12-31;2020-02-29;Berlin;Europe/Berlin;Anna@Example.com;0151 12345678
C-2;Иван;Фёдоров;мужской;;;Омск;Asia/Omsk;;77-67
"""


def test_a_file_creates_customers(database: Database, tenant_id: int, load: Load) -> None:
    counts = load(FULL)
    assert (counts.total, counts.imported, counts.created, counts.refused) == (2, 2, 2, 0)
    assert counts.warnings == 1, "of the phone"
    rows = _rows(
        database,
        tenant_id,
        "SELECT external_id, first_name, last_name, gender, birth_date, registered_on, city,"
        " z.name, email, email_quality, phone, phone_quality, bucket = envoi_bucket(external_id)"
        " FROM customer c JOIN time_zone z ON z.id = c.zone_id"
        " WHERE tenant_id = :t ORDER BY external_id",
    )
    assert rows[0] == (
        *("C-1", "Anna", "Müller", 1, date(1990, 12, 31), date(2020, 2, 29), "Berlin"),
        *("Europe/Berlin", "anna@example.com", 0, "+4915112345678", 0, True),
    )
    assert rows[1][6:] == ("Омск", "Asia/Omsk", None, 30, "77-67", 31, True)


def test_repeating_an_import_changes_nothing(
    database: Database, tenant_id: int, load: Load
) -> None:
    content = FULL.replace(";phone", ";phone;subscribed_sms;field.size").replace(
        "-67\n", "-67;N;XL\n"
    )
    content = content.replace("12345678\n", "12345678;Y;\n")
    load(content)
    everything = (
        "SELECT 'c', c.* ::text FROM customer c WHERE tenant_id = :t"
        " UNION ALL SELECT 'k', k.* ::text FROM customer_token k WHERE tenant_id = :t"
        " UNION ALL SELECT 'v', v.* ::text FROM customer_value v WHERE tenant_id = :t"
        " UNION ALL SELECT 'o', o.* ::text FROM opt_out o WHERE tenant_id = :t"
        " UNION ALL SELECT 'l', l.* ::text FROM consent_log l WHERE tenant_id = :t ORDER BY 1, 2"
    )
    before = _rows(database, tenant_id, everything)
    counts = load(content)
    assert (counts.created, counts.changed, counts.unchanged) == (0, 0, 2)
    assert _rows(database, tenant_id, everything) == before
    assert {row[0] for row in before} == {"c", "k", "v", "o", "l"}


def test_only_the_columns_of_the_file_change(
    database: Database, tenant_id: int, load: Load
) -> None:
    load(FULL)
    counts = load("external_id,city,email\nC-1,Hamburg,anna@example.com\nC-2,Омск,\n")
    assert (counts.created, counts.changed, counts.unchanged) == (0, 1, 1)
    rows = _rows(
        database,
        tenant_id,
        "SELECT city, first_name, phone, email FROM customer WHERE tenant_id = :t ORDER BY id",
    )
    assert rows[0] == ("Hamburg", "Anna", "+4915112345678", "anna@example.com")


def test_an_empty_cell_empties(database: Database, tenant_id: int, load: Load) -> None:
    load("external_id,email,city,field.size\nC-1,a@b.test,Berlin,XL\n")
    counts = load("external_id,email,city,field.size\nC-1,,,\n")
    assert counts.changed == 1
    query = "SELECT email, email_quality, city FROM customer WHERE tenant_id = :t"
    assert _rows(database, tenant_id, query) == [(None, 30, "")]
    assert _rows(database, tenant_id, "SELECT 1 FROM customer_value WHERE tenant_id = :t") == []


def test_the_last_of_the_same_external_id_counts(
    database: Database, tenant_id: int, tmp_path: Path, load: Load
) -> None:
    counts = load("external_id,city\nC-1,Berlin\nC-2,Omsk\nC-1,Hamburg\n")
    assert (counts.total, counts.imported, counts.created, counts.superseded) == (3, 2, 2, 1)
    assert [(e["line"], e["kind"]) for e in _errors(tmp_path)] == [("2", "warning")]
    query = "SELECT city FROM customer WHERE tenant_id = :t AND external_id = 'C-1'"
    assert _rows(database, tenant_id, query) == [("Hamburg",)]


def test_bad_lines_are_refused_with_a_reason(
    database: Database, tenant_id: int, tmp_path: Path, load: Load
) -> None:
    counts = load(
        "external_id,gender,birth_date,time_zone,first_name,subscribed_email\n"
        "C-1,X,,,,\n"
        "C-2,,31.12.19900,,,\n"
        "C-3,,1990-02-30,,,\n"
        "C-4,,,Mars/Olympus,,\n"
        ",,,,Anna,\n"
        f"C-5,,,,{'x' * 300},\n"
        f"{'y' * 300},,,,,\n"
        "C-6,,,,,perhaps\n"
        "C-7,,,,\n"
        "C-8,,,,'=SUM(A1),\n"
    )
    assert (counts.total, counts.refused, counts.created) == (10, 9, 1)
    reasons = {int(e["line"]): e["reason"] for e in _errors(tmp_path)}
    expected = {
        2: "gender is 'X'",
        3: "Write it like 1990-12-31",
        4: "no date",
        5: "'Mars/Olympus', which is not known",
        6: "external_id is empty",
        7: "first_name has 300 characters",
        8: "external_id has 300 characters",
        9: "subscribed_email is 'perhaps'",
        10: "5 cells, but there are 6 columns",
    }
    assert reasons.keys() == expected.keys()
    assert all(part in reasons[line] for line, part in expected.items())
    assert _rows(database, tenant_id, "SELECT first_name FROM customer WHERE tenant_id = :t") == [
        ("=SUM(A1)",)
    ]


def test_an_unusable_contact_is_a_warning(
    database: Database, tenant_id: int, tmp_path: Path, load: Load
) -> None:
    counts = load("external_id,email,phone\nC-1,anna(at)example.com,+49 30 901820\n")
    assert (counts.imported, counts.refused, counts.warnings) == (1, 0, 1)
    query = "SELECT email_quality, phone, phone_quality FROM customer WHERE tenant_id = :t"
    assert _rows(database, tenant_id, query) == [(31, "+4930901820", 40)]
    (error,) = _errors(tmp_path)
    assert (error["line"], error["kind"]) == ("2", "warning")
    assert "email 'anna(at)example.com' is not valid" in error["reason"]


def test_who_left_a_channel_stays_away(database: Database, tenant_id: int, load: Load) -> None:
    header = "external_id,email,phone,subscribed_email,subscribed_sms,subscribed_push\n"
    load(header + "C-1,a@b.test,+4915112345678,N,n,\nC-2,b@b.test,,Y,,no\n")
    load(header + "C-1,a@b.test,+4915112345678,Y,Y,Y\nC-2,b@b.test,,N,,\n")
    opted = "SELECT channel, address FROM opt_out WHERE tenant_id = :t ORDER BY channel, address"
    assert _rows(database, tenant_id, opted) == [
        ("email", "a@b.test"),
        ("email", "b@b.test"),
        ("push", None),
        ("sms", "+4915112345678"),
    ]
    log = "SELECT channel, action, source FROM consent_log WHERE tenant_id = :t ORDER BY id"
    assert sorted(_rows(database, tenant_id, log)) == [
        ("email", "opt_out", "import"),
        ("email", "opt_out", "import"),
        ("push", "opt_out", "import"),
        ("sms", "opt_out", "import"),
    ]


def test_custom_fields_are_made_and_keep_their_type(
    database: Database, tenant_id: int, tmp_path: Path, load: Load
) -> None:
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(
            text(
                "INSERT INTO custom_field (tenant_id, code, label, type)"
                " VALUES (:t, 'shoes', 'Shoe size', :number), (:t, 'since', 'Since', :date)"
            ),
            {"t": tenant_id, "number": int(FieldType.NUMBER), "date": int(FieldType.DATE)},
        )
    counts = load(
        "external_id,field.shoes,field.since,field.hobby\n"
        "C-1,42.5,2020-01-01,Chess\nC-2,big,2020-01-01,\nC-3,40,yesterday,\n"
    )
    assert (counts.created, counts.refused) == (1, 2)
    with database.tenant_session(tenant_id) as session:
        (listed,) = list_customers(session, tenant_id).customers
        profile = customer_profile(session, tenant_id, listed.id)
    assert [(field.label, value) for field, value in profile.fields] == [
        ("Shoe size", 42.5),
        ("Since", date(2020, 1, 1)),
        ("hobby", "Chess"),
    ]


@pytest.mark.parametrize(
    "content", ["external_id,shoe\nC-1,2\n", "name\nAnna\n", "external_id,field.A b\n1,2\n"]
)
def test_a_wrong_header_changes_nothing(
    database: Database, tenant_id: int, load: Load, content: str
) -> None:
    with pytest.raises(ValidationFailedError):
        load(content)
    assert _rows(database, tenant_id, "SELECT 1 FROM custom_field WHERE tenant_id = :t") == []


def test_two_tenants_do_not_meet(
    database: Database, tenant_id: int, other_tenant_id: int, tmp_path: Path, load: Load
) -> None:
    load(FULL)
    _load(database, other_tenant_id, tmp_path, "external_id,city\nC-1,Kazan\n")
    query = "SELECT city FROM customer WHERE tenant_id = :t AND external_id = 'C-1'"
    assert _rows(database, tenant_id, query) == [("Berlin",)]
    with database.tenant_session(other_tenant_id) as session:
        assert count_customers(session, other_tenant_id).count == 1
        assert list_customers(session, other_tenant_id, CustomerFilter(text="Anna")).customers == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("anna", ["C-1"]),
        ("MULLER an", ["C-1"]),
        ("федо", ["C-2"]),
        ("c-", ["C-1", "C-2"]),
        ("anna@ex", ["C-1"]),
        ("+49 151 123", ["C-1"]),
        ("0151-1234", ["C-1"]),
        ("151 1234", ["C-1"]),
        ("anna ivan", []),
        ("%", []),
        ("\0", ["C-1", "C-2"]),
    ],
)
def test_search(
    database: Database, tenant_id: int, load: Load, search: str, found: list[str]
) -> None:
    load(FULL)
    with database.tenant_session(tenant_id) as session:
        wanted = CustomerFilter(text=search)
        page = list_customers(session, tenant_id, wanted)
        assert [c.external_id for c in page.customers] == found
        assert count_customers(session, tenant_id, wanted).count == len(found)


def test_a_new_name_is_found_and_the_old_one_is_not(
    database: Database, tenant_id: int, load: Load
) -> None:
    load(FULL)
    load("external_id,last_name\nC-1,Schmidt-Engel\n")
    with database.tenant_session(tenant_id) as session:
        found = {
            word: len(list_customers(session, tenant_id, CustomerFilter(text=word)).customers)
            for word in ("müller", "schmidt", "engel", "schmidt-e", "anna")
        }
    assert found == {"müller": 0, "schmidt": 1, "engel": 1, "schmidt-e": 1, "anna": 1}


def test_a_deleted_field_takes_its_values_along(
    database: Database, tenant_id: int, load: Load
) -> None:
    load("external_id,field.size\nC-1,XL\n")
    with database.tenant_session(tenant_id) as session:
        (field,) = fields_of(session, tenant_id)
        delete_field(session, tenant_id, field.id)
        assert fields_of(session, tenant_id) == []
        with pytest.raises(NotFoundError):
            delete_field(session, tenant_id, field.id)
    assert _rows(database, tenant_id, "SELECT 1 FROM customer_value WHERE tenant_id = :t") == []
