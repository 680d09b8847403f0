"""Reading accounts and employees: plain data for whoever signs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.accounts.models import Account, Membership
from envoi.accounts.permissions import Role
from envoi.db import Database, table
from envoi.tenants.models import EnabledPlugin, Tenant, TenantSettings

_account = table(Account).c
_membership = table(Membership).c
_tenant = table(Tenant).c
_settings = table(TenantSettings).c
_plugin = table(EnabledPlugin).c


@dataclass(frozen=True, kw_only=True)
class Company:
    """The tenant an employee works for, as pages need it."""

    id: int
    name: str
    time_zone: str
    currency: str
    switched: Mapping[str, bool] = field(default_factory=dict)
    """The plugins that it has switched on or off."""

    @property
    def zone(self) -> ZoneInfo:
        """The company's time zone."""
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True, kw_only=True)
class Employee:
    """A person who is signed in, in one company, with the role they hold there today."""

    account_id: int
    email: str
    name: str
    language: str
    theme: str
    role: Role
    company: Company
    tenant_ids: tuple[int, ...]
    """The companies the employee may switch between."""

    @property
    def initials(self) -> str:
        """Two letters for the round mark beside the name."""
        words = (self.name or self.email).replace("@", " ").split()
        return "".join(word[0] for word in words[:2]).upper()


def account_by_email(session: Session, email: str) -> Account | None:
    """Find an account by its email address, whatever the case."""
    return session.scalar(
        select(Account).where(func.lower(_account.email) == email.strip().lower())
    )


def account_by_uniquifier(session: Session, uniquifier: str) -> Account | None:
    """Find the account whose sessions carry this mark; a new password changes the mark."""
    return session.scalar(select(Account).where(_account.fs_uniquifier == uniquifier))


def memberships(database: Database, account_id: int) -> list[tuple[int, Role]]:
    """List the companies in which an account works today, with its role, in a stable order."""
    with database.account_session(account_id) as session:
        rows = session.scalars(
            select(Membership)
            .where(_membership.account_id == account_id)
            .order_by(_membership.tenant_id)
        ).all()
    today = datetime.now(UTC).date()
    return [
        (row.tenant_id, Role(row.role))
        for row in rows
        if row.active_until is None or row.active_until >= today
    ]


def companies_of(database: Database, account_id: int) -> list[tuple[int, str]]:
    """List the companies an employee can switch between, by name."""
    ids = [tenant_id for tenant_id, _ in memberships(database, account_id)]
    with database.system_session() as session:
        rows = session.execute(
            select(_tenant.id, _tenant.name).where(_tenant.id.in_(ids)).order_by(_tenant.name)
        )
        return [(row.id, row.name) for row in rows]


def employee(database: Database, account: Account, tenant_id: int | None) -> Employee | None:
    """Load an employee; without a company, or with one they left, the first they belong to."""
    roles = dict(memberships(database, account.id))
    if not roles:
        return None
    tenant_id = tenant_id if tenant_id in roles else next(iter(roles))
    return Employee(
        account_id=account.id,
        email=account.email,
        name=account.name,
        language=account.language,
        theme=account.theme,
        role=roles[tenant_id],
        company=company(database, tenant_id),
        tenant_ids=tuple(roles),
    )


def company(database: Database, tenant_id: int) -> Company:
    """Load a company with the settings that pages need."""
    switched = select(func.jsonb_object_agg(_plugin.name, _plugin.is_on))
    mine = switched.where(_plugin.tenant_id == tenant_id).scalar_subquery().label("switched")
    with database.tenant_session(tenant_id) as session:
        row = session.execute(
            select(_tenant.name, _settings.time_zone, _settings.currency, mine)
            .join_from(table(Tenant), table(TenantSettings), _settings.tenant_id == _tenant.id)
            .where(_tenant.id == tenant_id)
        ).one()
    return Company(
        id=tenant_id,
        name=row.name,
        time_zone=row.time_zone,
        currency=row.currency,
        switched=row.switched or {},
    )
