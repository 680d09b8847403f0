"""What can be done with target audiences: make, rename, delete, add and remove customers.

Members are added and removed as sets; `size` follows by what really changed, so that it stays
right under two changes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from envoi.customers.models import Customer
from envoi.db import one_at_a_time, table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.plugins import Plugins
from envoi.segments.compile import customer_ids
from envoi.sql import CustomerIds
from envoi.target_audiences.models import AudienceMember, TargetAudience
from envoi.target_audiences.queries import users_of

LONGEST_NAME = 200
_ANALYZE_FROM = 50_000


def get_audience(session: Session, tenant_id: int, audience_id: int) -> TargetAudience:
    """Return a target audience of the tenant, or raise `NotFoundError`."""
    found = session.get(TargetAudience, (tenant_id, audience_id))
    if found is None:
        raise NotFoundError(f"There is no target audience number {audience_id}.")
    return found


def create_audience(
    session: Session, tenant_id: int, name: str, account_id: int | None = None
) -> TargetAudience:
    """Make an empty target audience; its name must be new."""
    audience = table(TargetAudience)
    made = session.scalar(
        insert(audience)
        .values(tenant_id=tenant_id, name=_checked(name), created_by=account_id)
        .on_conflict_do_nothing(index_elements=["tenant_id", "name"])
        .returning(audience.c.id)
    )
    if made is None:
        raise _taken()
    return get_audience(session, tenant_id, made)


def rename_audience(
    session: Session, tenant_id: int, audience_id: int, name: str
) -> TargetAudience:
    """Give a target audience another name, which must be new."""
    audience = get_audience(session, tenant_id, audience_id)
    c = table(TargetAudience).c
    other = (c.tenant_id == tenant_id, c.name == _checked(name), c.id != audience_id)
    if session.scalar(select(c.id).where(*other)):
        raise _taken()
    audience.name = _checked(name)
    session.flush()
    return audience


def delete_audience(session: Session, tenant_id: int, audience_id: int) -> None:
    """Delete a target audience that nothing uses; else `ConflictError` names who does."""
    audience = get_audience(session, tenant_id, audience_id)
    users = users_of(session, tenant_id, audience_id)
    if users:
        raise ConflictError(
            f"The target audience {audience.name} cannot be deleted, because it is used by"
            f" {', '.join(map(str, users))}. Choose another audience there first."
        )
    session.delete(audience)
    session.flush()


def add_customers(session: Session, tenant_id: int, audience_id: int, ids: CustomerIds) -> int:
    """Add a set of customers; return how many were not in it before."""
    get_audience(session, tenant_id, audience_id)
    found = ids.subquery()
    rows: Select[Any] = select(literal(tenant_id), literal(audience_id), found.c[0])
    key = ["tenant_id", "audience_id", "customer_id"]
    new = insert(table(AudienceMember)).from_select(key, rows)
    return _changed(session, tenant_id, audience_id, new.on_conflict_do_nothing(), 1)


def remove_customers(session: Session, tenant_id: int, audience_id: int, ids: CustomerIds) -> int:
    """Take a set of customers out; return how many were in it."""
    get_audience(session, tenant_id, audience_id)
    member = table(AudienceMember)
    gone = delete(member).where(
        member.c.tenant_id == tenant_id,
        member.c.audience_id == audience_id,
        member.c.customer_id.in_(ids),
    )
    return _changed(session, tenant_id, audience_id, gone, -1)


def change_by_segment(
    session: Session,
    tenant_id: int,
    audience_id: int,
    tree: Mapping[str, Any],
    *,
    add: bool,
    plugins: Plugins,
    now: datetime | None = None,
) -> int:
    """Add or take out everybody of a segment's tree; return how many that changed."""
    moment = now or datetime.now(UTC)
    ids = customer_ids(session, tenant_id, tree, now=moment, plugins=plugins)
    change = add_customers if add else remove_customers
    return change(session, tenant_id, audience_id, ids)


def one_change_at_a_time(
    session: Session | Connection, tenant_id: int, audience_ids: Iterable[int]
) -> None:
    """Let changes of these audiences follow each other, or they might wait for each other's rows.

    The audiences themselves are not locked: who asks for another change would wait as well.
    """
    for audience_id in sorted(audience_ids):
        one_at_a_time(session, f"audience:{tenant_id}:{audience_id}")


def one_customer(tenant_id: int, customer_id: int) -> CustomerIds:
    """Select one customer of the tenant, nobody where there is none of this number."""
    c = table(Customer).c
    found: CustomerIds = select(c.id).where(c.tenant_id == tenant_id, c.id == customer_id)
    return found


def _changed(session: Session, tenant_id: int, audience_id: int, change: Any, sign: int) -> int:
    """Run a change of members and keep the size in step with it."""
    audience, member = table(TargetAudience), table(AudienceMember)
    mine = (audience.c.tenant_id == tenant_id, audience.c.id == audience_id)
    one_change_at_a_time(session, tenant_id, [audience_id])
    done = change.returning(member.c.customer_id).cte("done")
    changed = session.scalar(select(func.count()).select_from(done)) or 0
    if changed:
        size = audience.c.size + sign * changed
        session.execute(update(audience).where(*mine).values(size=size, updated_at=func.now()))
    if changed > _ANALYZE_FROM:
        session.execute(text("ANALYZE audience_member"))
    return changed


def _checked(name: str) -> str:
    if not 0 < len(name.strip()) <= LONGEST_NAME or "\0" in name:
        raise ValidationFailedError(
            [Problem("name", f"Enter a name of 1 to {LONGEST_NAME} characters.")]
        )
    return name.strip()


def _taken() -> ValidationFailedError:
    return ValidationFailedError(
        [Problem("name", "There is a target audience of this name already. Enter another name.")]
    )
