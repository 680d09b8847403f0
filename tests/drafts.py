"""Drafts of mailings for tests of pages, and what is stored of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from desk import Desk
from envoi.customers.models import Customer
from envoi.db import Database, table
from envoi.mailings import service, variants
from envoi.mailings.models import Mailing
from envoi.plugins import Plugins
from envoi.segments.service import create_segment
from envoi.target_audiences.models import AudienceMember, TargetAudience
from factories.customers import make_customers, opt_out
from factories.delivery import an_installation, email_content, smtp_gateway
from pages import SignIn

CUSTOMERS = 40


@pytest.fixture
def desk(signed_in: SignIn) -> Desk:
    """An administrator's."""
    return Desk(signed_in())


@pytest.fixture
def segment_id(database: Database, plugins: Plugins, tenant_id: int) -> int:
    """A segment of all customers; one of them wants no email."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, CUSTOMERS)
        opt_out(session, tenant_id, "C-3")
        tree = {"all": [{"source": "all_customers", "settings": {}}]}
        return create_segment(session, tenant_id, name="Everybody", tree=tree, plugins=plugins).id


@pytest.fixture
def gateway_id(database: Database, plugins: Plugins, tenant_id: int, tmp_path: Path) -> int:
    with database.tenant_session(tenant_id) as session:
        return smtp_gateway(session, an_installation(database, plugins, tmp_path), tenant_id, 25)


@pytest.fixture
def draft(database: Database, tenant_id: int, segment_id: int) -> int:
    """A draft that lacks nothing but a gateway."""
    with database.tenant_session(tenant_id) as session:
        made = service.create_draft(
            session, tenant_id, channel="email", name="Coffee week", segment_id=segment_id
        )
        variants.save_content(session, tenant_id, made.id, made.version, email_content())
        return made.id


def stored(database: Database, tenant_id: int, mailing_id: int) -> Mailing:
    with database.tenant_session(tenant_id) as session:
        return service.get_mailing(session, tenant_id, mailing_id)


def content_of(database: Database, tenant_id: int, mailing_id: int) -> dict[str, Any]:
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, mailing_id)
        return dict(service.variants_of(session, mailing)[0].content)


def an_audience(database: Database, tenant_id: int, members: tuple[str, ...]) -> int:
    with database.tenant_session(tenant_id) as session:
        made = TargetAudience(tenant_id=tenant_id, name="Held back", size=len(members))
        session.add(made)
        session.flush()
        c = table(Customer).c
        named = select(c.id).where(c.tenant_id == tenant_id, c.external_id.in_(members))
        for number in session.scalars(named):
            key = {"tenant_id": tenant_id, "audience_id": made.id}
            session.add(AudienceMember(**key, customer_id=number, added_at=datetime.now(UTC)))
        return made.id
