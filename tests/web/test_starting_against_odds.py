"""Starting a mailing while the queue is away, and one that has missed its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from desk import Desk
from drafts import stored
from envoi.app import create_app
from envoi.db import Database
from envoi.installation import Installation
from envoi.jobs import Work, connect_broker, is_announced, withdraw
from envoi.mailings import service
from envoi.plugins import Plugins
from pages import TEST_SETTINGS


@pytest.fixture
def app(database: Database, plugins: Plugins, free_port: int) -> Flask:
    """The application with a queue that nobody answers at."""
    broker = connect_broker(f"redis://127.0.0.1:{free_port}")
    return create_app(Installation(TEST_SETTINGS, database, plugins, broker))


def is_due(database: Database, tenant_id: int, mailing_id: int) -> bool:
    with database.tenant_session(tenant_id) as session:
        return is_announced(session, tenant_id, Work.LAUNCH, mailing_id)


@pytest.mark.usefixtures("gateway_id")
def test_without_a_queue_a_start_is_accepted_and_seen(
    desk: Desk, database: Database, tenant_id: int, draft: int
) -> None:
    sent = desk.post(f"/mailings/{draft}/confirm", recipients=39)
    assert sent.answer.location == f"/mailings/{draft}/progress"
    assert is_due(database, tenant_id, draft)
    for address in (f"/mailings/{draft}/progress", "/mailings/"):
        assert desk.get(address).status == 200
    assert desk.post(f"/mailings/{draft}/undo").status == 303
    assert not is_due(database, tenant_id, draft)


@pytest.mark.usefixtures("gateway_id")
def test_a_missed_start_is_told_and_made_up_for_by_a_person(
    desk: Desk, database: Database, tenant_id: int, draft: int
) -> None:
    desk.post(f"/mailings/{draft}/confirm", recipients=39)
    assert desk.post(f"/mailings/{draft}/start").status == 409, "it has not missed anything"
    with database.tenant_session(tenant_id) as session:
        mailing = service.get_mailing(session, tenant_id, draft)
        mailing.starts_at = datetime.now(UTC) - timedelta(minutes=mailing.lifetime_minutes)
        withdraw(session, tenant_id, Work.LAUNCH, draft)
    words = desk.get(f"/mailings/{draft}/progress").words
    assert "so it does not start by itself. Nothing has left. Start now Back to the draft" in words
    assert desk.post(f"/mailings/{draft}/start").status == 303
    assert is_due(database, tenant_id, draft)
    now = stored(database, tenant_id, draft).starts_at
    assert now is not None
    assert datetime.now(UTC) - now < timedelta(minutes=1)
    assert "does not start by itself" not in desk.get(f"/mailings/{draft}/progress").words
