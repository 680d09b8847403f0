"""Watcher groups: people outside the customer base who get copies of mailings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.mailings.models import Mailing, MailingState
from envoi.tenants.models import TenantSettings, WatcherGroup

KINDS = ("emails", "phones", "pushes")
"""The lists of a group."""

_LONGEST_NAME = 100
_MOST_ADDRESSES = 200
_LONGEST_ADDRESS = 254


def list_watcher_groups(session: Session, tenant_id: int) -> Sequence[WatcherGroup]:
    """Return the groups by name."""
    c = table(WatcherGroup).c
    query = select(WatcherGroup).where(c.tenant_id == tenant_id).order_by(c.name, c.id)
    return session.scalars(query).all()


def get_watcher_group(session: Session, tenant_id: int, group_id: int) -> WatcherGroup:
    """Return a group, or raise `NotFoundError`."""
    found = session.get(WatcherGroup, (tenant_id, group_id))
    if found is None:
        raise NotFoundError("There is no such group of watchers. It may have been deleted.")
    return found


def save_watcher_group(
    session: Session,
    tenant_id: int,
    group_id: int | None,
    *,
    name: str,
    addresses: Mapping[str, Sequence[str]],
) -> WatcherGroup:
    """Make a group, or change one.

    Args:
        session: An open transaction of the tenant.
        tenant_id: The tenant.
        group_id: The group to change; None makes one.
        name: Its name, unique in the company.
        addresses: A list for each of `KINDS`; a list that is missing is emptied.

    Raises:
        ValidationFailedError: With every line that is no address.
    """
    group = get_watcher_group(session, tenant_id, group_id) if group_id is not None else None
    lists = {kind: _distinct(addresses.get(kind, ())) for kind in KINDS}
    problems = _name_problems(session, tenant_id, name.strip(), group_id)
    problems += [problem for kind in KINDS for problem in _address_problems(kind, lists[kind])]
    if problems:
        raise ValidationFailedError(problems)
    if group is None:
        group = WatcherGroup(tenant_id=tenant_id, name=name.strip())
        session.add(group)
    group.name = name.strip()
    for kind in KINDS:
        setattr(group, kind, lists[kind])
    session.flush()
    return group


def delete_watcher_group(session: Session, tenant_id: int, group_id: int) -> None:
    """Delete a group that no draft and no setting uses."""
    group = get_watcher_group(session, tenant_id, group_id)
    using = _drafts_with(session, tenant_id, group_id)
    if using:
        raise ConflictError(
            f"The group {group.name} is chosen in the mailings {', '.join(using)}. Choose another"
            " one there, then delete it."
        )
    c = table(TenantSettings).c
    mine = (c.tenant_id == tenant_id, c.watcher_group_id == group_id)
    session.execute(table(TenantSettings).update().where(*mine).values(watcher_group_id=None))
    session.delete(group)
    session.flush()


def _drafts_with(session: Session, tenant_id: int, group_id: int) -> list[str]:
    c = table(Mailing).c
    waiting = c.state.in_((MailingState.DRAFT, MailingState.CREATED))
    query = select(c.name).where(c.tenant_id == tenant_id, c.watcher_group_id == group_id, waiting)
    return list(session.scalars(query.order_by(c.id).limit(5)))


def _distinct(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def _name_problems(
    session: Session, tenant_id: int, name: str, group_id: int | None
) -> list[Problem]:
    if not 1 <= len(name) <= _LONGEST_NAME:
        return [Problem("name", "Enter a name of 1 to 100 characters.")]
    c = table(WatcherGroup).c
    taken = session.scalar(select(c.id).where(c.tenant_id == tenant_id, c.name == name))
    if taken is not None and taken != group_id:
        return [Problem("name", "There is already a group with this name. Enter another one.")]
    return []


def _address_problems(kind: str, addresses: Sequence[str]) -> list[Problem]:
    if len(addresses) > _MOST_ADDRESSES:
        return [Problem(kind, "A group can have at most 200 addresses of a kind.")]
    return [
        Problem(kind, f"{address[:80]} is no address that could be sent to. Mend or remove it.")
        for address in addresses
        if not _usable(kind, address)
    ]


def _usable(kind: str, address: str) -> bool:
    if len(address) > _LONGEST_ADDRESS or not address.isprintable():
        return False
    if kind == "phones":
        return address.removeprefix("+").replace(" ", "").isdecimal()
    if kind == "pushes":
        return " " not in address
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True
