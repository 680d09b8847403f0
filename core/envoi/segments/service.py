"""What can be done with segments: make, change, restore, delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.plugins import Plugins
from envoi.segments.catalogue import load_catalogue
from envoi.segments.compile import customer_ids
from envoi.segments.criteria import normalised
from envoi.segments.figures import announce_figures
from envoi.segments.models import Segment
from envoi.segments.queries import users_of
from envoi.segments.tree import Group, dump, parse
from envoi.segments.versions import get_version, record_version
from envoi.twice import A_MOMENT, one_by_one

_LONGEST_NAME = 200
_NOT_COUNTED: Mapping[str, Any] = {"last_count": None, "last_counted_at": None, "figures": {}}


def get_segment(session: Session, tenant_id: int, segment_id: int) -> Segment:
    """Return a segment of the tenant, or raise `NotFoundError`."""
    found = session.get(Segment, (tenant_id, segment_id))
    if found is None:
        raise NotFoundError(f"There is no segment number {segment_id}.")
    return found


def create_segment(
    session: Session,
    tenant_id: int,
    *,
    name: str,
    tree: Group | Mapping[str, Any],
    plugins: Plugins,
    created_by: int | None = None,
) -> Segment:
    """Save a new segment; raise `ValidationFailedError` when its tree cannot be counted."""
    group = _checked(session, tenant_id, name, tree, plugins, None)
    segment = Segment(
        tenant_id=tenant_id, name=name.strip(), tree=dump(group), created_by=created_by
    )
    session.add(segment)
    session.flush()
    session.refresh(segment)
    record_version(session, segment, created_by)
    announce_figures(session, tenant_id, segment.id)
    return segment


def just_created(
    session: Session, tenant_id: int, name: str, created_by: int | None
) -> Segment | None:
    """Return the segment of this name that somebody made a moment ago: a form sent twice."""
    one_by_one(session, "segment", tenant_id, created_by)
    c = table(Segment).c
    since = func.now() - A_MOMENT
    mine = (c.tenant_id == tenant_id, c.name == name.strip(), c.created_by == created_by)
    query = select(Segment).where(*mine, c.version == 1, c.created_at > since)
    return session.scalar(query.order_by(c.id.desc()).limit(1))


def update_segment(
    session: Session,
    tenant_id: int,
    segment_id: int,
    *,
    version: int,
    name: str,
    tree: Group | Mapping[str, Any],
    plugins: Plugins,
    saved_by: int | None = None,
) -> Segment:
    """Save a segment's changes on the version that the caller looked at, else `ConflictError`."""
    segment = get_segment(session, tenant_id, segment_id)
    group = _checked(session, tenant_id, name, tree, plugins, segment_id)
    record_version(session, segment, None)
    row = table(Segment)
    mine = (row.c.tenant_id == tenant_id, row.c.id == segment_id, row.c.version == version)
    changes = {"name": name.strip(), "tree": dump(group), "version": version + 1}
    counted = {} if segment.tree == dump(group) else _NOT_COUNTED
    done = session.scalar(
        update(row)
        .where(*mine)
        .values(**changes, **counted, updated_at=func.now())
        .returning(row.c.version)
    )
    if done is None:
        raise ConflictError(
            "Somebody else has changed this segment since you opened it. Open it again to see"
            " the changes, then make yours."
        )
    session.refresh(segment)
    record_version(session, segment, saved_by)
    announce_figures(session, tenant_id, segment_id)
    return segment


def restore_version(
    session: Session,
    tenant_id: int,
    segment_id: int,
    number: int,
    *,
    version: int,
    plugins: Plugins,
    saved_by: int | None = None,
) -> Segment:
    """Save an older version again, as a new one, on the version the caller looked at."""
    found = get_version(session, tenant_id, segment_id, number)
    return update_segment(
        session,
        tenant_id,
        segment_id,
        version=version,
        name=found.name,
        tree=found.tree,
        plugins=plugins,
        saved_by=saved_by,
    )


def delete_segment(session: Session, tenant_id: int, segment_id: int) -> None:
    """Delete a segment that nothing uses; else `ConflictError` names who does."""
    segment = get_segment(session, tenant_id, segment_id)
    users = users_of(session, tenant_id, segment_id)
    if users:
        raise ConflictError(
            f"The segment {segment.name} cannot be deleted, because it is used by"
            f" {', '.join(map(str, users))}. Choose another segment there first."
        )
    session.delete(segment)
    session.flush()


def store_count(
    session: Session, tenant_id: int, segment_id: int, count: int, counted_at: datetime
) -> None:
    """Remember the exact count that a person saw last."""
    row = table(Segment)
    mine = (row.c.tenant_id == tenant_id, row.c.id == segment_id)
    session.execute(update(row).where(*mine).values(last_count=count, last_counted_at=counted_at))


def count_segment(
    session: Session, tenant_id: int, segment_id: int, *, plugins: Plugins, now: datetime
) -> int:
    """Count a saved segment exactly and remember the count."""
    segment = get_segment(session, tenant_id, segment_id)
    ids = customer_ids(session, tenant_id, segment.tree, now=now, plugins=plugins)
    count = session.scalar(select(func.count()).select_from(ids.subquery())) or 0
    store_count(session, tenant_id, segment_id, count, now)
    return count


def stored_form(session: Session, tenant_id: int, group: Group, plugins: Plugins) -> Group:
    """Return a tree as it is stored, so that two spellings of one tree compare equal."""
    catalogue = load_catalogue(session, tenant_id, plugins)
    found = normalised(group, catalogue, plugins.for_tenant(session, tenant_id))
    assert isinstance(found, Group)
    return found


def _checked(
    session: Session,
    tenant_id: int,
    name: str,
    tree: Group | Mapping[str, Any],
    plugins: Plugins,
    segment_id: int | None,
) -> Group:
    problems = []
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        problems.append(Problem("name", f"Enter a name of 1 to {_LONGEST_NAME} characters."))
    try:
        group = tree if isinstance(tree, Group) else parse(tree)
        now = datetime.now(UTC)
        customer_ids(session, tenant_id, group, now=now, plugins=plugins, segment_id=segment_id)
        group = stored_form(session, tenant_id, group, plugins)
    except ValidationFailedError as error:
        problems += error.problems
    if problems:
        raise ValidationFailedError(problems)
    return group
