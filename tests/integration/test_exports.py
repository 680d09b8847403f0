"""Exports: files that spreadsheets open safely, written once, kept for a week, one's own."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from envoi.customers.intake import open_table
from envoi.db import Database
from envoi.errors import NotFoundError
from envoi.exports.kinds import AUDIENCE_CUSTOMERS, SEGMENT_CUSTOMERS
from envoi.exports.models import Export, ExportState
from envoi.exports.service import (
    KEPT,
    export_file,
    list_exports,
    request_export,
    run_export,
)
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.settings import Settings, load_settings
from envoi.target_audiences.service import change_by_segment, create_audience
from factories.customers import make_customers, make_receipts

EVERYBODY = {"all": [{"source": "all_customers", "settings": {}}]}
MINE, ANOTHERS = 7, 8


@dataclass(frozen=True)
class Here:
    """The parts of an installation that an export needs."""

    settings: Settings
    database: Database
    plugins: Plugins


@pytest.fixture
def site(database: Database, plugins: Plugins, tmp_path: Path) -> Here:
    return Here(load_settings(data_dir=tmp_path), database, plugins)


@pytest.fixture
def segment_id(site: Here, tenant_id: int) -> int:
    with site.database.tenant_session(tenant_id) as session:
        made = create_segment(session, tenant_id, name="All", tree=EVERYBODY, plugins=site.plugins)
        return made.id


def asked(site: Here, tenant_id: int, kind: str, **params: object) -> int:
    with site.database.tenant_session(tenant_id) as session:
        return request_export(session, tenant_id, kind, params, MINE).id


def row(site: Here, tenant_id: int, export_id: int) -> Export:
    with site.database.tenant_session(tenant_id) as session:
        found = session.get(Export, (tenant_id, export_id))
    assert found is not None
    return found


def lines(site: Here, tenant_id: int, export_id: int) -> list[dict[str, str]]:
    path = Path(row(site, tenant_id, export_id).path)
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def due_at(site: Here, tenant_id: int, export_id: int) -> datetime | None:
    query = text("SELECT due_at FROM due_work WHERE tenant_id = :t AND kind = 'export_file'")
    with site.database.system_session() as session:
        found: datetime | None = session.scalar(query, {"t": tenant_id})
        return found


def test_twenty_thousand_customers_are_written(site: Here, tenant_id: int, segment_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 20_000)
        session.execute(
            text(
                "UPDATE customer SET first_name = '=cmd()', city = '@here' WHERE tenant_id = :t"
                " AND external_id = 'C-3'"
            ),
            {"t": tenant_id},
        )
        make_receipts(session, tenant_id, each=1, share=0.01)
    export_id = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id, contacts=True)
    run_export(site, tenant_id, export_id)
    written = lines(site, tenant_id, export_id)
    assert len(written) == 20_000
    assert written[2]["first_name"] == "'=cmd()"
    assert written[2]["city"] == "'@here"
    assert written[0]["email"] == "c-1@mail1.test"
    bought = [line for line in written if line["receipts"] == "1"]
    assert bought
    assert all("." in line["total"] and line["last_receipt"] for line in bought)
    done = row(site, tenant_id, export_id)
    assert (done.state, done.rows, done.total, done.name) == (
        ExportState.DONE,
        20_000,
        20_000,
        "All",
    )
    assert [path.suffix for path in Path(done.path).parent.iterdir()] == [".csv"]


def test_contacts_are_masked_and_audiences_exported(site: Here, tenant_id: int) -> None:
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3, phones=True)
        audience = create_audience(session, tenant_id, "Few")
        change_by_segment(
            session, tenant_id, audience.id, EVERYBODY, add=True, plugins=site.plugins
        )
    export_id = asked(site, tenant_id, AUDIENCE_CUSTOMERS, audience=audience.id, contacts=False)
    run_export(site, tenant_id, export_id)
    first = lines(site, tenant_id, export_id)[0]
    assert first["email"] == "c•••@mail1.test"
    assert "5100000" not in first["phone"]


def test_what_an_interrupted_export_had_written_is_deleted(
    site: Here, tenant_id: int, segment_id: int
) -> None:
    export_id = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id)
    folder = site.settings.data_dir / "exports" / str(tenant_id)
    folder.mkdir(parents=True)
    (folder / f"{export_id}-0123.part").write_text("external_id\n")
    another = folder / f"{export_id}1-0123.part"
    another.write_text("external_id\n")
    run_export(site, tenant_id, export_id)
    assert set(folder.iterdir()) == {Path(row(site, tenant_id, export_id).path), another}


def test_an_export_can_be_imported_and_gives_every_value_back(
    site: Here, tenant_id: int, segment_id: int
) -> None:
    """Cells that a spreadsheet would take for formulas are disarmed, and armed again by us."""
    names = ["=1+1", "+cmd", "-x", "@here", "'=quoted", "plain", 'a"b;c,d']
    with site.database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, len(names))
        for number, name in enumerate(names, start=1):
            session.execute(
                text(
                    "UPDATE customer SET first_name = :n, city = :n"
                    " WHERE tenant_id = :t AND external_id = :e"
                ),
                {"n": name, "t": tenant_id, "e": f"C-{number}"},
            )
    export_id = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id, contacts=True)
    run_export(site, tenant_id, export_id)
    written = Path(row(site, tenant_id, export_id).path)
    with written.open(encoding="utf-8-sig", newline="") as stream:
        for cells in csv.reader(stream):
            assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in cells)
    file = open_table(written)
    place = file.header.index("first_name"), file.header.index("city")
    rows = list(file.rows(lambda *_: None))
    assert [row.cells[place[0]] for row in rows] == names
    assert [row.cells[place[1]] for row in rows] == names


def test_asking_twice_makes_one_file(site: Here, tenant_id: int, segment_id: int) -> None:
    first = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id)
    assert asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id) == first
    run_export(site, tenant_id, first)
    assert asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id) != first


def test_a_file_is_its_owners_and_is_deleted_after_a_week(
    site: Here, tenant_id: int, segment_id: int
) -> None:
    export_id = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=segment_id)
    run_export(site, tenant_id, export_id)
    done = row(site, tenant_id, export_id)
    assert done.finished_at is not None
    assert due_at(site, tenant_id, export_id) == done.finished_at + KEPT
    with site.database.tenant_session(tenant_id) as session:
        path = export_file(session, tenant_id, export_id, MINE)
        assert path.is_file()
        assert [e.id for e in list_exports(session, tenant_id, MINE)] == [export_id]
        assert list_exports(session, tenant_id, ANOTHERS) == []
        for account in (ANOTHERS, None):
            with pytest.raises(NotFoundError):
                export_file(session, tenant_id, export_id, account)
    run_export(site, tenant_id, export_id)
    assert path.is_file()
    with site.database.tenant_session(tenant_id) as session:
        found = session.get(Export, (tenant_id, export_id))
        assert found is not None
        assert found.finished_at is not None
        found.finished_at -= KEPT + timedelta(seconds=1)
    run_export(site, tenant_id, export_id)
    assert not path.is_file()
    assert due_at(site, tenant_id, export_id) is None
    with site.database.tenant_session(tenant_id) as session:
        assert not list_exports(session, tenant_id, MINE)[0].ready
        with pytest.raises(NotFoundError, match="7 days"):
            export_file(session, tenant_id, export_id, MINE)


def test_an_export_that_cannot_be_made_says_why(site: Here, tenant_id: int) -> None:
    export_id = asked(site, tenant_id, SEGMENT_CUSTOMERS, segment=10**12)
    run_export(site, tenant_id, export_id)
    failed = row(site, tenant_id, export_id)
    assert failed.state == ExportState.FAILED
    assert "There is no segment" in failed.message
    assert due_at(site, tenant_id, export_id) is None
    with pytest.raises(NotFoundError):
        asked(site, tenant_id, "everything")
