"""A file joined in by batches, each a transaction that also says how far the import is.

The file is staged as a whole, which changes nothing and comes out the same however often it
is done; a killed import is staged again and goes on after its last batch. A dry run is the
same, with every batch taken back: batches do not meet, so that its counts are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from envoi.customers.csv_reader import TableFile
from envoi.customers.error_file import ErrorFile
from envoi.customers.staging import (
    NOTHING,
    Applied,
    ImportCounts,
    Importer,
    Progress,
    cut_batch,
    stage,
    staging_table,
)
from envoi.db import Transaction
from envoi.errors import EnvoiError

BATCH_LINES = 20_000

Keep = Callable[[Connection, int, Applied], None]
"""Writes down, in a batch's transaction, up to which line all is joined in and the sum so far."""


class _DryRunError(EnvoiError):
    """Takes a batch back."""


def _silent(*_: Any) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Course:
    """Where an import stands and who is told of it; what `tell` raises stops the import."""

    dry_run: bool = False
    position: int = 0
    applied: Applied = NOTHING
    tell: Progress = _silent
    keep: Keep = _silent
    batch_lines: int = BATCH_LINES


def import_table(
    transaction: Transaction,
    importer_of: Callable[[Connection], Importer],
    file: TableFile,
    errors: ErrorFile,
    course: Course = Course(),
) -> ImportCounts:
    """Join a file in from where the course stands, and return what became of all of it.

    Args:
        transaction: Opens transactions of the tenant on one connection.
        importer_of: Makes the importer of the file's kind.
        file: The file.
        errors: Takes the refused and the doubtful lines of the whole file.
        course: How to go about it.
    """
    with transaction() as connection:
        importer = importer_of(connection)
        total = stage(connection, file, importer, errors, course.tell)
        superseded = importer.settle(connection, staging_table(importer), errors)
        last = connection.scalar(text("SELECT max(first) FROM staged")) or 0
    applied = _join_in(transaction, importer, file.lines, last, course)
    imported = total - errors.refused - superseded
    return ImportCounts(
        total=total,
        imported=imported,
        superseded=superseded,
        refused=errors.refused,
        warnings=errors.warnings,
        **applied._asdict(),
    )


def _join_in(
    transaction: Transaction, importer: Importer, lines: int, last: int, course: Course
) -> Applied:
    applied, position = course.applied, course.position
    while position < last:
        course.tell(lines, min(position, lines), lines)
        upto = position + course.batch_lines
        with suppress(_DryRunError), transaction() as connection:
            batch = cut_batch(connection, importer, position, upto)
            applied = applied.plus(importer.apply(connection, batch))
            if course.dry_run:
                raise _DryRunError
            course.keep(connection, upto, applied)
        position = upto
    course.tell(lines, lines, lines)
    return applied
