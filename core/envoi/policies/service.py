"""What can be done with communication policies: list, make, change, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from envoi.db import table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.policies.models import Policy
from envoi.policies.rules import check_rules

_LONGEST_NAME = 100
_MOST_RULES = 20


@dataclass(frozen=True)
class PolicyUse:
    """A policy and how many mailings use it."""

    policy: Policy
    mailings: int


def list_policies(session: Session, tenant_id: int) -> list[PolicyUse]:
    """Return every policy, the default one first, the others by name."""
    policy, mailing = table(Policy), table(Mailing)
    uses = and_(
        mailing.c.tenant_id == tenant_id,
        mailing.c.policy_id == policy.c.id,
        mailing.c.hidden.is_(False),
    )
    query = (
        select(Policy, func.count(mailing.c.id))
        .select_from(policy.outerjoin(mailing, uses))
        .where(policy.c.tenant_id == tenant_id)
        .group_by(*policy.c)
        .order_by(policy.c.is_default.desc(), policy.c.name)
    )
    return [PolicyUse(found, number) for found, number in session.execute(query)]


def mailings_using(
    session: Session, tenant_id: int, policy_id: int, limit: int = 20
) -> list[tuple[int, str]]:
    """Return the latest mailings with a policy, as (number, name)."""
    c = table(Mailing).c
    query = select(c.id, c.name).where(
        c.tenant_id == tenant_id, c.policy_id == policy_id, c.hidden.is_(False)
    )
    rows = session.execute(query.order_by(c.created_at.desc(), c.id.desc()).limit(limit))
    return [(row.id, row.name) for row in rows]


def get_policy(session: Session, tenant_id: int, policy_id: int) -> Policy:
    """Return a policy, or raise `NotFoundError`."""
    found = session.get(Policy, (tenant_id, policy_id))
    if found is None:
        raise NotFoundError("There is no such policy. It may have been deleted.")
    return found


def create_policy(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    *,
    name: str,
    rules: Sequence[Mapping[str, Any]] = (),
) -> Policy:
    """Make a policy with checked rules."""
    checked = _checked(session, plugins, tenant_id, name, rules)
    policy = Policy(tenant_id=tenant_id, name=name.strip(), rules=checked)
    session.add(policy)
    session.flush()
    return policy


def update_policy(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    policy_id: int,
    version: int,
    *,
    name: str,
    rules: Sequence[Mapping[str, Any]],
) -> Policy:
    """Change a policy; mailings that are running keep the rules they began with.

    Raises:
        ConflictError: It is the default policy, or somebody else saved it meanwhile.
        ValidationFailedError: The name or a rule was refused.
    """
    policy = _changeable(session, tenant_id, policy_id, "changed")
    if policy.version != version:
        raise ConflictError(
            "Somebody else saved this policy while you were editing. Nothing of yours is lost:"
            " compare with the saved version, then save again."
        )
    policy.rules = _checked(session, plugins, tenant_id, name, rules, policy_id)
    policy.name = name.strip()
    policy.version += 1
    policy.updated_at = datetime.now(UTC)
    return policy


def delete_policy(session: Session, tenant_id: int, policy_id: int) -> None:
    """Delete a policy that no mailing uses; the default one stays."""
    policy = _changeable(session, tenant_id, policy_id, "deleted")
    mailing = table(Mailing).c
    mine = (mailing.tenant_id == tenant_id, mailing.policy_id == policy_id)
    used = session.scalar(select(func.count()).where(*mine))
    if used:
        raise ConflictError(
            f"The policy {policy.name} is used by {used} mailings, so it cannot be deleted."
            " Choose another policy in drafts; sent mailings keep theirs."
        )
    session.delete(policy)
    session.flush()


def _changeable(session: Session, tenant_id: int, policy_id: int, what: str) -> Policy:
    policy = session.get(Policy, (tenant_id, policy_id), with_for_update=True)
    if policy is None:
        raise NotFoundError("There is no such policy. It may have been deleted.")
    if policy.is_default:
        raise ConflictError(
            f"The policy {policy.name} is the default one and has no rules, so it cannot be"
            f" {what}. Create another policy."
        )
    return policy


def _checked(
    session: Session,
    plugins: Plugins,
    tenant_id: int,
    name: str,
    rules: Sequence[Mapping[str, Any]],
    policy_id: int | None = None,
) -> list[dict[str, Any]]:
    """Check name and rules together, so that a person sees every problem at once."""
    problems = _name_problems(session, tenant_id, name.strip(), policy_id)
    if len(rules) > _MOST_RULES:
        problems.append(Problem("rules", f"A policy can have at most {_MOST_RULES} rules."))
    checked: list[dict[str, Any]] = []
    try:
        checked = check_rules(plugins.for_tenant(session, tenant_id), rules)
    except ValidationFailedError as error:
        problems += error.problems
    if problems:
        raise ValidationFailedError(problems)
    return checked


def _name_problems(
    session: Session, tenant_id: int, name: str, policy_id: int | None
) -> list[Problem]:
    if not 1 <= len(name) <= _LONGEST_NAME:
        return [Problem("name", f"Enter a name of 1 to {_LONGEST_NAME} characters.")]
    c = table(Policy).c
    same = select(c.id).where(c.tenant_id == tenant_id, c.name == name)
    taken = session.scalar(same)
    if taken is not None and taken != policy_id:
        return [Problem("name", "There is already a policy with this name. Enter another one.")]
    return []
