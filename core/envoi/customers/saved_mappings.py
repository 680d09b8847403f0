"""Mappings that were given a name, to be used again for files from the same program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.customers.import_kinds import ImportKind
from envoi.customers.mapping import Mapping
from envoi.customers.models import ImportMapping
from envoi.db import table
from envoi.errors import NotFoundError, Problem, ValidationFailedError

LONGEST_NAME = 100


class SavedMapping(NamedTuple):
    """A mapping by the names of a file's columns."""

    id: int
    name: str
    mapping: Mapping
    header: tuple[str, ...]

    def suits(self, header: Sequence[str]) -> Mapping:
        """Return the mapping for a file of this header; columns that it does not know are left."""
        known = dict(zip(self.header, self.mapping.columns, strict=True))
        columns = tuple(known.get(name.casefold(), "") for name in header)
        return self.mapping.model_copy(update={"columns": columns})


def saved_mappings(session: Session, tenant_id: int, kind: ImportKind) -> list[SavedMapping]:
    """List the mappings of a kind of file by name."""
    c = table(ImportMapping).c
    query = select(c.id, c.name, c.mapping).where(c.tenant_id == tenant_id, c.kind == kind.value)
    return [
        SavedMapping(
            row.id, row.name, Mapping(**row.mapping["mapping"]), tuple(row.mapping["header"])
        )
        for row in session.execute(query.order_by(c.name))
    ]


def save_mapping(
    session: Session,
    tenant_id: int,
    kind: ImportKind,
    name: str,
    header: Sequence[str],
    mapping: Mapping,
    account_id: int | None = None,
) -> None:
    """Keep a mapping under a name; one of the same name is replaced."""
    name = name.strip().replace("\0", "")
    if not name or len(name) > LONGEST_NAME:
        raise ValidationFailedError(
            [Problem("save_as", f"Give the mapping a name of at most {LONGEST_NAME} characters.")]
        )
    kept = {
        "mapping": mapping.model_dump(),
        "header": [column.casefold() for column in header],
    }
    key = {"tenant_id": tenant_id, "kind": kind.value, "name": name}
    new = insert(table(ImportMapping)).values(**key, mapping=kept, created_by=account_id)
    session.execute(
        new.on_conflict_do_update(index_elements=list(key), set_={"mapping": new.excluded.mapping})
    )


def delete_mapping(session: Session, tenant_id: int, mapping_id: int) -> None:
    """Delete a saved mapping; imports that used it keep theirs."""
    c = table(ImportMapping).c
    mine = (c.tenant_id == tenant_id, c.id == mapping_id)
    if session.execute(delete(table(ImportMapping)).where(*mine).returning(c.id)).first() is None:
        raise NotFoundError("There is no such mapping. It may have been deleted already.")
