"""What can be asked of the library: lists without bytes, folders, and what uses a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Select, Text, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.library.addresses import PATH, PictureToken
from envoi.library.models import StoredFile, Template
from envoi.mailings.models import Mailing, Variant


@dataclass(frozen=True)
class FileInfo:
    """A file of the library without its bytes."""

    id: int
    kind: str
    name: str
    folder: str
    alt: str
    media_type: str
    width: int | None
    height: int | None
    size: int
    digest: str
    created_at: datetime


@dataclass(frozen=True, order=True)
class Use:
    """A mailing or a template that uses a file; `kind` says which of them."""

    kind: str
    id: int
    name: str


_FIELDS = tuple(FileInfo.__dataclass_fields__)


def find_files(
    session: Session,
    tenant_id: int,
    kind: str,
    *,
    folder: str | None = None,
    text: str = "",
    limit: int = 24,
    offset: int = 0,
) -> tuple[list[FileInfo], int]:
    """Return the newest files of a kind, and how many there are; None is every folder."""
    c = table(StoredFile).c
    conditions = [c.tenant_id == tenant_id, c.kind == kind]
    if folder is not None:
        conditions.append(c.folder == folder)
    if text:
        conditions.append((c.name + " " + c.alt).icontains(text, autoescape=True))
    total = session.scalar(select(func.count()).select_from(table(StoredFile)).where(*conditions))
    query = select(*(c[field] for field in _FIELDS)).where(*conditions)
    rows = session.execute(query.order_by(c.id.desc()).limit(limit).offset(offset))
    return [FileInfo(*row) for row in rows], total or 0


def files_by_id(session: Session, tenant_id: int, file_ids: Sequence[int]) -> list[FileInfo]:
    """Return the files that exist of those, in their order."""
    c = table(StoredFile).c
    query = select(*(c[field] for field in _FIELDS))
    rows = session.execute(query.where(c.tenant_id == tenant_id, c.id.in_(file_ids)))
    found = {row.id: FileInfo(*row) for row in rows}
    return [found[number] for number in file_ids if number in found]


def folders(session: Session, tenant_id: int, source: type[Any], *conditions: Any) -> list[str]:
    """Return the names of the folders in use; `source` is the table's model."""
    c = table(source).c
    query = select(c.folder).where(c.tenant_id == tenant_id, c.folder != "", *conditions)
    return list(session.scalars(query.distinct().order_by(c.folder)))


def uses_of(session: Session, tenant_id: int, file_ids: Sequence[int]) -> dict[int, list[Use]]:
    """Say for each file which mailings and templates use it, in blocks, bodies or attachments.

    Deleted mailings count as well: their messages are still read.
    """
    mailing, variant, template = table(Mailing), table(Variant), table(Template)
    of_mailings = (
        select(literal("mailing").label("kind"), mailing.c.id, mailing.c.name, variant.c.content)
        .join_from(
            mailing,
            variant,
            (variant.c.tenant_id == mailing.c.tenant_id) & (variant.c.mailing_id == mailing.c.id),
        )
        .where(mailing.c.tenant_id == tenant_id)
    )
    of_templates = select(
        literal("template"), template.c.id, template.c.name, template.c.content
    ).where(template.c.tenant_id == tenant_id)
    contents = union_all(of_mailings, of_templates).cte("contents")
    found: dict[int, set[Use]] = defaultdict(set)
    for query in (_by_number(contents), _by_address(contents)):
        for kind, number, name, named in session.execute(query):
            file_id = _file_number(tenant_id, str(named))
            if file_id is not None:
                found[file_id].add(Use(kind, number, name))
    return {file_id: sorted(found[file_id]) for file_id in file_ids}


def _by_number(contents: Any) -> Select[Any]:
    """Blocks and attachments name files by number."""
    content = contents.c.content
    blocks = func.jsonb_path_query(content, cast("$.**.file_id ? (@ != null)", JSONPATH))
    attached = func.jsonb_path_query(content, cast("$.attachments[*]", JSONPATH))
    columns = (contents.c.kind, contents.c.id, contents.c.name)
    both = union_all(
        select(*columns, blocks.label("named")), select(*columns, attached.label("named"))
    ).subquery()
    return select(both)


def _by_address(contents: Any) -> Select[Any]:
    """MJML and HTML name pictures by their address."""
    body = contents.c.content["body"].astext
    tokens = func.regexp_matches(body, f"{PATH}([A-Za-z0-9_-]{{36}})", "g", type_=ARRAY(Text))
    columns = (contents.c.kind, contents.c.id, contents.c.name)
    found = select(*columns, tokens.label("tokens")).where(body.contains(PATH)).subquery()
    return select(found.c.kind, found.c.id, found.c.name, found.c.tokens[1])


def _file_number(tenant_id: int, named: str) -> int | None:
    if named.isdecimal():
        return int(named)
    token = PictureToken.read(named)
    return token.file_id if token and token.tenant_id == tenant_id else None
