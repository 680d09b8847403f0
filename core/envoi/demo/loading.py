"""Loads the demo company: customers and purchases by the ordinary import, then its mailings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from envoi.accounts.permissions import Role
from envoi.accounts.service import create_account, set_role
from envoi.customers.devices import register
from envoi.customers.import_kinds import ImportKind
from envoi.customers.import_run import run_import
from envoi.customers.imports import create_import
from envoi.customers.intake import store_upload
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.demo import content, course
from envoi.demo.files import write_customers, write_receipts
from envoi.demo.gateways import set_demo_gateways
from envoi.errors import ConfigurationError
from envoi.installation import Installation
from envoi.policies.service import create_policy
from envoi.segments.service import count_segment, create_segment
from envoi.tenants.models import Tenant, TenantSettings
from envoi.tenants.service import create_tenant, tenant_settings

SLUG = "fieldmarket"
DEMO_LOGIN = ("anna.keller@fieldmarket.test", "fieldmarket-demo")


@dataclass(frozen=True)
class _Step:
    """A part of the loading, as a progress display names it."""

    name: str
    run: Callable[[], object]


def needs_demo(database: Database) -> bool:
    """Tell whether the installation has no company at all yet."""
    with database.system_session() as session:
        return not session.scalar(select(func.count()).select_from(table(Tenant)))


def load_demo(installation: Installation, tell: Callable[[str], None] = lambda _: None) -> int:
    """Load the demo company and return its number; one that is there already is left as it is."""
    c = table(Tenant).c
    with installation.database.system_session() as session:
        there = session.scalar(select(c.id).where(c.slug == SLUG))
    if there is not None:
        return int(there)
    tenant = create_tenant(installation.database, slug=SLUG, name="Fieldmarket Club")
    for step in _steps(installation, tenant.id):
        tell(step.name)
        step.run()
    return tenant.id


def _steps(installation: Installation, tenant_id: int) -> list[_Step]:
    now = datetime.now(UTC)
    return [
        _Step("company", lambda: _company(installation, tenant_id)),
        _Step(
            "customers",
            lambda: _import(
                installation,
                tenant_id,
                ImportKind.CUSTOMERS,
                lambda path: write_customers(path, now.date()),
            ),
        ),
        _Step(
            "purchases",
            lambda: _import(
                installation,
                tenant_id,
                ImportKind.RECEIPTS,
                lambda path: write_receipts(path, now),
            ),
        ),
        _Step("apps", lambda: _apps(installation, tenant_id)),
        _Step("mailings", lambda: _mailings(installation, tenant_id, now)),
    ]


def _company(installation: Installation, tenant_id: int) -> None:
    email, password = DEMO_LOGIN
    account_id = create_account(
        installation.database, email=email, password=password, name="Anna Keller"
    )
    set_role(
        installation.database, tenant_id=tenant_id, account_id=account_id, role=Role.ADMINISTRATOR
    )
    with installation.database.tenant_session(tenant_id) as session:
        settings: TenantSettings = tenant_settings(session, tenant_id)
        settings.sender_name = content.SENDER["sender_name"]
        settings.sender_address = content.SENDER["sender_address"]
        set_demo_gateways(session, installation, tenant_id)
        create_policy(
            session,
            installation.plugins,
            tenant_id,
            name=content.CAP_POLICY,
            rules=content.CAP_RULES,
        )


def _import(
    installation: Installation, tenant_id: int, kind: ImportKind, write: Callable[[Path], None]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind.value}.csv"
        write(path)
        with path.open("rb") as stream:
            kept = store_upload(installation.settings.data_dir, stream)
    with installation.database.tenant_session(tenant_id) as session:
        number = create_import(session, tenant_id, kind, f"{kind.value}.csv", kept)
    done = run_import(installation, tenant_id, number)
    if done.counts is None:
        raise ConfigurationError(f"The demo's {kind.value} could not be loaded: {done.message}")


def _apps(installation: Installation, tenant_id: int) -> None:
    """Give two of five customers the company's app, on Android mostly, some on two devices."""
    c = table(Customer).c
    with installation.database.tenant_session(tenant_id) as session:
        mine = (c.tenant_id == tenant_id, c.bucket % 5 < 2)
        for customer_id, bucket in session.execute(select(c.id, c.bucket).where(*mine)).all():
            services = {0: ("apns",), 1: ("fcm", "apns"), 2: ("hms",)}.get(bucket % 6, ("fcm",))
            for service in services:
                about = {"service": service, "token": f"demo-{service}-{customer_id:06d}"}
                register(session, tenant_id, customer_id, **about, app="Fieldmarket")


def _mailings(installation: Installation, tenant_id: int, now: datetime) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        segments = _segments(session, installation, tenant_id, now)
    course.prepare(installation, tenant_id)
    course.fill(installation, tenant_id, segments, now)


def _segments(
    session: Session, installation: Installation, tenant_id: int, now: datetime
) -> dict[str, int]:
    found = {}
    for name, tree in content.SEGMENTS.items():
        made = create_segment(
            session, tenant_id, name=name, tree=tree, plugins=installation.plugins
        )
        count_segment(session, tenant_id, made.id, plugins=installation.plugins, now=now)
        found[name] = made.id
    return found
