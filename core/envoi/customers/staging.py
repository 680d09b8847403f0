"""Copying a file beside the tables: COPY is refused where row-level security holds.

A staging table is temporary, ends with the transaction, and holds only this tenant's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from psycopg import sql
from sqlalchemy import (
    CTE,
    ColumnClause,
    ColumnElement,
    Connection,
    TableClause,
    column,
    delete,
    func,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql as pg

from envoi.customers.csv_reader import CsvFile, LineRefusedError, Row
from envoi.customers.error_file import ErrorFile

Progress = Callable[[int, int], None]
"""Is told how many lines were read, and of how many."""

ANALYZE_FROM = 50_000
"""Bulk work of more rows than this refreshes the planner's statistics."""

_REPORT_EVERY = 1_000


TOUCHED = table("touched", column("id"), column("created"))
"""The customers or receipts that an import has written to; temporary, like `staged`."""


class Reader(Protocol):
    """The form of a kind of file."""

    notes: list[str]

    @property
    def staging(self) -> Sequence[tuple[str, str]]:
        """The columns of the staging table with their types, after the line."""

    def read(self, row: Row) -> Sequence[Any]:
        """Return a row's values, the line first; raise `LineRefusedError` with the reason."""


class Staged(NamedTuple):
    """A copied file: the staging table and how many rows the file had, refused ones too."""

    table: TableClause
    total: int


@dataclass(frozen=True, kw_only=True)
class ImportCounts:
    """What became of a file.

    Rows: `imported` + `superseded` + `refused` = `total`. Customers or receipts: `created` +
    `changed` + `unchanged` are those that the imported rows speak of.
    """

    total: int
    imported: int
    created: int
    changed: int
    unchanged: int
    superseded: int
    refused: int
    warnings: int


def stage(
    connection: Connection, file: CsvFile, reader: Reader, errors: ErrorFile, progress: Progress
) -> Staged:
    """Copy what can be read of a file into a temporary table `staged`."""
    # Foreign keys are checked row by row with one prepared query; making a plan of its own
    # for each check, as sessions otherwise do, costs four times the insert itself.
    connection.execute(text("SET LOCAL plan_cache_mode = auto"))
    make_temporary(connection, "staged", [("line", "int"), *reader.staging])
    rows = _readable(file, reader, errors, progress)
    copied = copy_rows(connection, "staged", rows)
    connection.execute(text("ANALYZE staged"))
    names = ("line", *(name for name, _ in reader.staging))
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    return Staged(table("staged", *columns), copied + errors.refused)


def make_temporary(connection: Connection, name: str, columns: Sequence[tuple[str, str]]) -> None:
    """Make a temporary table that ends with the transaction."""
    parts = [sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in columns]
    statement = sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
        sql.Identifier(name), sql.SQL(", ").join(parts)
    )
    with _cursor(connection) as cursor:
        cursor.execute(statement)


def copy_rows(connection: Connection, name: str, rows: Iterable[Sequence[Any]]) -> int:
    """Copy rows into a temporary table and return how many there were."""
    count = 0
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
    with _cursor(connection) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def drop_superseded(
    connection: Connection, staged: TableClause, key: str, errors: ErrorFile
) -> int:
    """Keep the last of the rows with the same key, write the others down, return their number."""
    later = staged.alias("later")
    statement = (
        delete(staged)
        .where(staged.c[key] == later.c[key], later.c.line > staged.c.line)
        .returning(staged.c.line, staged.c[key])
    )
    lines = {row.line: row[1] for row in connection.execute(statement)}
    for line, value in sorted(lines.items()):
        errors.warn(line, f"{key} {value} stands again in a later line, which counts.", "")
    return len(lines)


def make_touched(connection: Connection) -> None:
    """Make the temporary table `TOUCHED`."""
    make_temporary(connection, "touched", [("id", "bigint primary key"), ("created", "boolean")])


def touch(connection: Connection, written: CTE) -> None:
    """Run a statement and remember what it wrote to.

    Args:
        connection: An open transaction with the table `TOUCHED`.
        written: Returns the number written to, and whether it was created where that can be.
    """
    created = written.c.created if "created" in written.c else literal(False)
    new = pg.insert(TOUCHED).from_select(
        ["id", "created"], select(written.c[0], created).distinct()
    )
    connection.execute(new.on_conflict_do_nothing(index_elements=["id"]))


def touched(connection: Connection) -> tuple[int, int]:
    """Return how many were created and how many changed."""
    query = select(func.count(), func.count().filter(TOUCHED.c.created)).select_from(TOUCHED)
    written, created = connection.execute(query).one()
    return created, written - created


# A row that was inserted has never been locked or replaced, so its xmax is 0.
CREATED: ColumnElement[bool] = literal_column("xmax = 0").label("created")


def _readable(
    file: CsvFile, reader: Reader, errors: ErrorFile, progress: Progress
) -> Iterator[Sequence[Any]]:
    for number, row in enumerate(file.rows(errors.refuse)):
        if number % _REPORT_EVERY == 0:
            progress(row.line, file.lines)
        try:
            yield reader.read(row)
        except LineRefusedError as refusal:
            reader.notes.clear()
            errors.refuse(row.line, str(refusal), row.text)
        if reader.notes:
            for note in reader.notes:
                errors.warn(row.line, note, row.text)
            reader.notes.clear()
    progress(file.lines, file.lines)


def _cursor(connection: Connection) -> Any:
    """The driver's own cursor, inside SQLAlchemy's transaction."""
    return connection.connection.cursor()
