"""Files imported at once, without a job."""

from __future__ import annotations

from pathlib import Path

from envoi.customers.batches import Course, import_table
from envoi.customers.error_file import ErrorFile
from envoi.customers.import_kinds import FORMS, ImportKind
from envoi.customers.intake import open_table
from envoi.customers.mapping import Mapping, by_header
from envoi.customers.staging import ImportCounts
from envoi.db import Database


def load_file(
    database: Database,
    tenant_id: int,
    path: Path,
    kind: ImportKind,
    mapping: Mapping | None = None,
    course: Course | None = None,
) -> ImportCounts:
    """Import a file whose header names our columns; its error file is `errors.csv` beside it."""
    form, file = FORMS[kind], open_table(path)
    chosen = mapping or by_header(file.header, form.columns)
    with (
        ErrorFile(path.with_name("errors.csv")) as errors,
        database.tenant_transactions(tenant_id) as transaction,
    ):
        return import_table(
            transaction,
            lambda connection: form.importer(connection, tenant_id, chosen),
            file,
            errors,
            course or Course(),
        )
