"""The versions of a segment: what each save left, and what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.accounts.models import Account
from envoi.db import table
from envoi.errors import NotFoundError
from envoi.segments.models import Segment, SegmentVersion
from envoi.segments.tree import Condition, Group, conditions, dump, parse


@dataclass(frozen=True, kw_only=True)
class VersionChange:
    """What a version changed of the one before; `joined` says that only the groups did."""

    renamed_from: str = ""
    added: tuple[Condition, ...] = ()
    removed: tuple[Condition, ...] = ()
    joined: bool = False


@dataclass(frozen=True, kw_only=True)
class ListedVersion:
    """A version with who saved it; `change` is None for the oldest."""

    version: int
    name: str
    tree: Group
    saved_by: str
    saved_at: datetime
    change: VersionChange | None = None


def record_version(session: Session, segment: Segment, saved_by: int | None) -> None:
    """Write down a segment as it stands, unless its version is written down already."""
    row = insert(table(SegmentVersion)).values(
        tenant_id=segment.tenant_id,
        segment_id=segment.id,
        version=segment.version,
        name=segment.name,
        tree=segment.tree,
        saved_by=saved_by,
        saved_at=segment.updated_at,
    )
    session.execute(row.on_conflict_do_nothing())


def get_version(session: Session, tenant_id: int, segment_id: int, number: int) -> SegmentVersion:
    """Return one version of a segment, or raise `NotFoundError`."""
    found = session.get(SegmentVersion, (tenant_id, segment_id, number))
    if found is None:
        raise NotFoundError(f"There is no version {number} of this segment.")
    return found


def list_versions(session: Session, tenant_id: int, segment_id: int) -> list[ListedVersion]:
    """List a segment's versions, newest first, each with its change."""
    version, account = table(SegmentVersion), table(Account)
    who = func.coalesce(func.nullif(account.c.name, ""), account.c.email, "")
    rows = session.execute(
        select(*version.c, who.label("who"))
        .outerjoin_from(version, account, account.c.id == version.c.saved_by)
        .where(version.c.tenant_id == tenant_id, version.c.segment_id == segment_id)
        .order_by(version.c.version)
    ).all()
    changes = [None, *(_change(before, after) for before, after in pairwise(rows))]
    listed = [
        ListedVersion(
            version=row.version,
            name=row.name,
            tree=parse(row.tree),
            saved_by=row.who,
            saved_at=row.saved_at,
            change=change,
        )
        for row, change in zip(rows, changes, strict=True)
    ]
    return listed[::-1]


def change_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> VersionChange:
    """Compare two stored trees by their conditions."""
    old, new = _conditions(before), _conditions(after)
    added, removed = _without(new, old), _without(old, new)
    joined = not (added or removed) and before != after
    return VersionChange(added=added, removed=removed, joined=joined)


def _change(before: Any, after: Any) -> VersionChange:
    found = change_between(before.tree, after.tree)
    renamed = before.name if before.name != after.name else ""
    return VersionChange(
        renamed_from=renamed, added=found.added, removed=found.removed, joined=found.joined
    )


def _conditions(tree: Mapping[str, Any]) -> list[Condition]:
    return [condition for _, condition in conditions(parse(tree))]


def _without(some: list[Condition], others: list[Condition]) -> tuple[Condition, ...]:
    """Those that the other tree does not have, each as often as it has it less."""
    left = Counter(str(dump(other)) for other in others)
    kept = []
    for condition in some:
        said = str(dump(condition))
        if left[said]:
            left[said] -= 1
        else:
            kept.append(condition)
    return tuple(kept)
