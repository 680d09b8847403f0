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
    Integer,
    TableClause,
    cast,
    column,
    delete,
    distinct,
    func,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.dml import ReturningDelete

from envoi.customers.csv_reader import LineRefusedError, Row, TableFile
from envoi.customers.error_file import ErrorFile

Progress = Callable[[int, int, int], None]
"""Is told how many lines were read, how many of them joined in, and how many there are."""

_REPORT_EVERY = 1_000


TOUCHED = table("touched", column("id"), column("created"))
"""The customers or receipts that an import has written to; temporary, like `staged`."""


class Importer(Protocol):
    """One kind of file: how a row is read, and how rows are joined in, a batch at a time."""

    notes: list[str]
    """What is doubtful about the row just read; taken away by who writes it down."""

    @property
    def staging(self) -> Sequence[tuple[str, str]]:
        """The columns of the staging table with their types, after `line` and `first`."""

    def read(self, row: Row) -> Sequence[Any]:
        """Return a row's values; raise `LineRefusedError` with the reason."""

    def remains(self, row: Row) -> Sequence[Any] | None:
        """Return what is staged of a refused row, so that others can be refused with it."""

    def settle(self, connection: Connection, staged: TableClause, errors: ErrorFile) -> int:
        """Look at the staged file as a whole before anything is joined in.

        Refuses what contradicts other rows and returns how many rows a later one replaces.
        Sets `first` to the first line of those that belong to one thing: they are joined in
        together. Nothing outside of temporary tables may change.
        """

    def apply(self, connection: Connection, batch: TableClause) -> Applied:
        """Join a batch in; rows of one thing are in one batch, so batches do not meet."""


class Applied(NamedTuple):
    """What joining rows in has done, in customers, receipts or products."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    kept_opt_outs: int = 0
    """Customers of the file who had unsubscribed before, and stay so."""

    def plus(self, other: Applied) -> Applied:
        """Return the sum of both."""
        return Applied(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


NOTHING = Applied()


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
    kept_opt_outs: int = 0


STAGED = "staged"
_BATCH = "batch"


def stage(
    connection: Connection, file: TableFile, importer: Importer, errors: ErrorFile, tell: Progress
) -> int:
    """Copy what can be read of a file into the temporary table `STAGED`.

    The table outlives the transaction and ends with the connection. Returns how many rows the
    file had, refused ones too.
    """
    columns = [("line", "int"), ("first", "int"), *importer.staging]
    make_temporary(connection, STAGED, columns, lasting=True)
    reading = _Reading(file, importer, errors, tell)
    copy_rows(connection, STAGED, reading.staged())
    connection.execute(text("CREATE INDEX ON staged (first)"))
    connection.execute(text("ANALYZE staged"))
    return reading.readable + errors.refused


def staging_table(importer: Importer, name: str = STAGED) -> TableClause:
    """Return the staging table for statements."""
    names = ("line", "first", *(column for column, _ in importer.staging))
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    return table(name, *columns)


def cut_batch(connection: Connection, importer: Importer, after: int, upto: int) -> TableClause:
    """Copy the rows whose `first` is in a range into a table that ends with the transaction."""
    # Foreign keys are checked row by row with one prepared query; making a plan of its own
    # for each check, as sessions otherwise do, costs four times the insert itself.
    connection.execute(text("SET LOCAL plan_cache_mode = auto"))
    bounds = {"after": after, "upto": upto}
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE batch ON COMMIT DROP AS"
            " SELECT * FROM staged WHERE first > :after AND first <= :upto"
        ),
        bounds,
    )
    connection.execute(text("ANALYZE batch"))
    return staging_table(importer, _BATCH)


def make_temporary(
    connection: Connection,
    name: str,
    columns: Sequence[tuple[str, str]],
    *,
    lasting: bool = False,
) -> TableClause:
    """Make a temporary table that ends with the transaction, or with the connection."""
    parts = [sql.SQL("{} " + kind).format(sql.Identifier(column)) for column, kind in columns]
    statement = sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT {}").format(
        sql.Identifier(name),
        sql.SQL(", ").join(parts),
        sql.SQL("PRESERVE ROWS" if lasting else "DROP"),
    )
    with _cursor(connection) as cursor:
        cursor.execute(statement)
    return table(name, *(column(each) for each, _ in columns))


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
    connection: Connection, staged: TableClause, keys: Sequence[str], errors: ErrorFile
) -> int:
    """Keep the last of the rows with the same key, write the others down, return their number."""
    key = [staged.c[name] for name in keys]
    last = func.max(staged.c.line).label("last")
    doubled = select(*key, last).group_by(*key).having(func.count() > 1).subquery()
    statement = delete(staged).where(
        *(staged.c[name] == doubled.c[name] for name in keys), staged.c.line < doubled.c.last
    )

    def say(line: int, value: str) -> None:
        errors.warn(line, f"{keys[0]} {value} stands again in a later line, which counts.", "")

    return each_deleted(connection, statement.returning(staged.c.line, key[0]), say)


def each_deleted(
    connection: Connection, deleted: ReturningDelete[Any], say: Callable[..., None]
) -> int:
    """Run a statement that returns line and values, tell of each row, return how many there were.

    The rows go through a table, for the driver would hold all of them in memory.
    """
    rows = deleted.cte("deleted")
    names = ["line", *(f"value_{number}" for number in range(len(rows.c) - 1))]
    gone = make_temporary(connection, "gone", [(name, "text") for name in names])
    connection.execute(insert(gone).from_select(names, select(*rows.c)))
    query = select(*(cast(c, Integer) if c.name == "line" else c for c in gone.c)).order_by(
        text("1")
    )
    count = 0
    for row in connection.execute(query, execution_options={"yield_per": 5_000}):
        say(*row)
        count += 1
    connection.execute(text("DROP TABLE gone"))
    return count


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


def applied(connection: Connection, thing: ColumnElement[Any], kept_opt_outs: int = 0) -> Applied:
    """Return what became of a batch's things, by the column that names them."""
    query = select(func.count(), func.count().filter(TOUCHED.c.created)).select_from(TOUCHED)
    written, created = connection.execute(query).one()
    things = connection.scalar(select(func.count(distinct(thing)))) or 0
    return Applied(created, written - created, things - written, kept_opt_outs)


# A row that was inserted has never been locked or replaced, so its xmax is 0.
CREATED: ColumnElement[bool] = literal_column("xmax = 0").label("created")


class _Reading:
    """Reads the rows of a file for the staging table."""

    def __init__(
        self, file: TableFile, importer: Importer, errors: ErrorFile, tell: Progress
    ) -> None:
        self.readable = 0
        self._file, self._importer, self._errors, self._tell = file, importer, errors, tell

    def staged(self) -> Iterator[Sequence[Any]]:
        """Yield line, `first` and the values of each row that is not refused."""
        lines = self._file.lines
        for number, row in enumerate(self._file.rows(self._errors.refuse)):
            if number % _REPORT_EVERY == 0:
                self._tell(min(row.line, lines), 0, lines)
            values = self._values(row)
            if values is not None:
                yield (row.line, row.line, *values)
        self._tell(lines, 0, lines)

    def _values(self, row: Row) -> Sequence[Any] | None:
        notes = self._importer.notes
        try:
            values: Sequence[Any] | None = self._importer.read(row)
            self.readable += 1
            for note in notes:
                self._errors.warn(row.line, note, row.text)
        except LineRefusedError as refusal:
            self._errors.refuse(row.line, str(refusal), row.text)
            values = self._importer.remains(row)
        if notes:
            notes.clear()
        return values


def _cursor(connection: Connection) -> Any:
    """The driver's own cursor, inside SQLAlchemy's transaction."""
    return connection.connection.cursor()
