"""Import of target audiences in both modes: what is added, what is refused and why."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import text

from envoi.customers.import_kinds import ImportKind
from envoi.customers.import_run import run_import
from envoi.customers.imports import ImportStatus, create_import, error_file_path
from envoi.customers.intake import store_upload
from envoi.customers.mapping import Mapping
from envoi.customers.staging import ImportCounts
from envoi.db import Database
from envoi.settings import Settings, load_settings
from envoi.target_audiences.importing import with_heading
from envoi.target_audiences.queries import list_audiences
from envoi.target_audiences.service import create_audience
from factories.customers import customer_ids, make_customers


@dataclass(frozen=True)
class Here:
    """The parts of an installation that an import needs."""

    settings: Settings
    database: Database


@pytest.fixture
def site(database: Database, tmp_path: Path, tenant_id: int) -> Here:
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 10)
    return Here(load_settings(data_dir=tmp_path), database)


def imported(site: Here, tenant_id: int, content: bytes, audience: str = "") -> ImportStatus:
    path = store_upload(site.settings.data_dir, BytesIO(content))
    with_heading(path, named=not audience)
    options = {"audience": audience} if audience else {}
    columns = ("customer_id",) if audience else ("customer_id", "audience")
    with site.database.tenant_session(tenant_id) as session:
        number = create_import(
            session,
            tenant_id,
            ImportKind.AUDIENCE,
            "list.csv",
            path,
            mapping=Mapping(columns=columns, options=options),
        )
    return run_import(site, tenant_id, number)


def counts(status: ImportStatus) -> ImportCounts:
    assert status.counts is not None, status.message
    return status.counts


def sizes(site: Here, tenant_id: int) -> dict[str, int]:
    with site.database.tenant_session(tenant_id) as session:
        return {row.name: row.customers for row in list_audiences(session, tenant_id)}


def test_one_audience_for_a_file_by_either_number(site: Here, tenant_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        [ours] = customer_ids(session, tenant_id, "C-4")
    content = f"\ufeffC-1;\r\nC-2\r\n\r\nC-1;\r\nnobody;\r\n{ours};\r\n99999999999;\r\n"
    status = imported(site, tenant_id, content.encode(), "Regulars")
    found = counts(status)
    assert (found.created, found.superseded, found.refused, found.total) == (3, 1, 2, 6)
    assert sizes(site, tenant_id) == {"Regulars": 3}
    path = error_file_path(site.settings.data_dir, tenant_id, status.id)
    told = path.read_text("utf-8-sig")
    assert "5,warning,The customer 'C-1' stands in an earlier line already." in told
    assert "6,refused,There is no customer with the number 'nobody'." in told
    assert "8,refused" in told


def test_an_audience_in_each_row_makes_new_ones(site: Here, tenant_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        create_audience(session, tenant_id, "VIP")
    content = b"id;audience\nC-1; VIP\nC-2;VIP;\nC-1; Coffee, club\nC-3;\n;VIP\n"
    found = counts(imported(site, tenant_id, content))
    assert (found.created, found.refused, found.total) == (3, 2, 5)
    assert sizes(site, tenant_id) == {"VIP": 2, "Coffee, club": 1}


def test_importing_again_adds_nobody(site: Here, tenant_id: int) -> None:
    for added, there in ((2, 0), (0, 2)):
        found = counts(imported(site, tenant_id, b"C-1\nC-2\n", "Regulars"))
        assert (found.created, found.unchanged) == (added, there)
    assert sizes(site, tenant_id) == {"Regulars": 2}


def test_external_ids_come_before_our_numbers(site: Here, tenant_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        first, second = customer_ids(session, tenant_id, "C-1", "C-2")
        session.execute(
            text("UPDATE customer SET external_id = :name WHERE tenant_id = :t AND id = :id"),
            {"name": str(first), "t": tenant_id, "id": second},
        )
    imported(site, tenant_id, f"{first}\n".encode(), "Regulars")
    with site.database.tenant_session(tenant_id) as session:
        members = text("SELECT customer_id FROM audience_member WHERE tenant_id = :t")
        assert list(session.scalars(members, {"t": tenant_id})) == [second]


def test_a_hostile_file_adds_nobody(site: Here, tenant_id: int) -> None:
    content = b"=cmd()\n'; DROP TABLE customer\n" + b"9" * 300 + b'\n"\n<script>\n'
    found = counts(imported(site, tenant_id, content, "<b>Regulars</b>"))
    assert found.created == 0
    assert found.refused == found.total
