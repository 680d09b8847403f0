"""What can be done with tenants: found one, read and change its settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import select
from sqlalchemy.orm import Session

from envoi.db import Database, table
from envoi.errors import ConflictError, NotFoundError, Problem, ValidationFailedError
from envoi.policies.models import Policy
from envoi.tenants.models import Tenant, TenantSettings

_SLUG = re.compile(r"^[a-z][a-z0-9-]{1,39}$")


def create_tenant(
    database: Database,
    *,
    slug: str,
    name: str,
    time_zone: str = "Europe/Berlin",
    currency: str = "EUR",
) -> Tenant:
    """Found a tenant with its settings and the *Standard* policy, which has no rules."""
    _check(slug, time_zone, currency)
    with database.system_session() as session:
        if session.scalar(select(Tenant).where(table(Tenant).c.slug == slug)):
            raise ConflictError(f"There is already a company with the short name {slug!r}.")
        tenant = Tenant(slug=slug, name=name)
        session.add(tenant)
    with database.tenant_session(tenant.id) as session:
        session.add(TenantSettings(tenant_id=tenant.id, time_zone=time_zone, currency=currency))
        session.add(Policy(tenant_id=tenant.id, name="Standard", is_default=True, rules=[]))
    return tenant


def find_tenant(database: Database, slug: str) -> Tenant:
    """Return the tenant with this short name, or raise `NotFoundError`."""
    with database.system_session() as session:
        tenant = session.scalar(select(Tenant).where(table(Tenant).c.slug == slug))
    if tenant is None:
        raise NotFoundError(f"There is no company with the short name {slug!r}.")
    return tenant


def tenant_ids(database: Database) -> Sequence[int]:
    """Return the numbers of all tenants."""
    with database.system_session() as session:
        return session.scalars(select(table(Tenant).c.id)).all()


def tenant_settings(session: Session, tenant_id: int) -> TenantSettings:
    """Return the settings of a tenant, read once in a session."""
    found = session.get(TenantSettings, tenant_id)
    if found is None:
        raise NotFoundError(f"There is no company number {tenant_id}.")
    # A session forgets what nobody holds, and would read it again for every question.
    session.info["tenant_settings"] = found
    return found


def company_zone(settings: TenantSettings) -> ZoneInfo:
    """Return the company's time zone."""
    return ZoneInfo(settings.time_zone)


def _check(slug: str, time_zone: str, currency: str) -> None:
    problems = []
    if not _SLUG.match(slug):
        problems.append(Problem("slug", "Use 2 to 40 of a-z, 0-9 and -, beginning with a letter."))
    if time_zone not in available_timezones():
        problems.append(
            Problem("time_zone", f"{time_zone!r} is no time zone; use e.g. Europe/Berlin.")
        )
    if not re.fullmatch(r"[A-Z]{3}", currency):
        problems.append(Problem("currency", "Use the three letters of ISO 4217, e.g. EUR."))
    if problems:
        raise ValidationFailedError(problems)
