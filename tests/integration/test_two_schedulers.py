"""Two schedulers, one of them killed: every mailing that is due starts once and in time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import func, select

from envoi.db import Database, connect, table
from envoi.delivery.models import Run
from envoi.embedded import EmbeddedPostgres
from envoi.installation import open_installation
from envoi.jobs import MOST_HINTS, Work, announce, hint
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.schema import migrate
from envoi.settings import Settings
from envoi.tenants.service import create_tenant
from envoi_workers.main import run_worker
from envoi_workers.scheduler import Scheduler
from factories.customers import make_customers
from factories.delivery import email_content
from factories.workers import FORKS, worker_settings
from processes import wait_until

MAILINGS = 30
BEFORE = datetime.now(UTC)
LATEST_SECONDS = 15


@pytest.fixture
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """A database of its own: whole workers do whatever they find in theirs."""
    name = f"envoi_schedulers_{uuid4().hex[:12]}"
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return postgres.database_url(name)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    found = connect(postgres_url)
    migrate(found.engine)
    yield found
    found.engine.dispose()


def schedule(settings: Settings) -> None:
    Scheduler(open_installation(settings)).run(Event())


def work(settings: Settings) -> None:
    run_worker(settings, ["quick"], 2)


def confirmed(database: Database, tenant_id: int, number: int, starts_at: datetime) -> None:
    """Confirmed mailings that start at the same moment."""
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 1)
        for _ in range(number):
            mailing = Mailing(
                tenant_id=tenant_id,
                name="Coffee",
                channel="email",
                tree={"all": []},
                state=MailingState.CREATED,
                starts_at=starts_at,
                confirmed_at=starts_at,
            )
            session.add(mailing)
            session.flush()
            variant = Variant(tenant_id=tenant_id, mailing_id=mailing.id, number=1)
            variant.content = email_content()
            session.add(variant)
            announce(session, tenant_id, Work.LAUNCH, mailing.id, starts_at)


def launched(database: Database, tenant_id: int) -> int:
    with database.tenant_session(tenant_id) as session:
        c = table(Run).c
        return session.scalar(select(func.count()).where(c.tenant_id == tenant_id)) or 0


def test_each_mailing_starts_once_and_in_time(
    database: Database, tenant_id: int, postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = worker_settings(postgres_url, redis_url, tmp_path)
    processes: list[BaseProcess] = [
        *(FORKS.Process(target=schedule, args=(settings,)) for _ in range(2)),
        *(FORKS.Process(target=work, args=(settings,)) for _ in range(2)),
    ]
    for process in processes:
        process.start()
    try:
        confirmed(
            database, first := create_tenant(database, slug="first", name="First").id, 1, BEFORE
        )
        wait_until(lambda: launched(database, first) > 0, seconds=60, what="the first start")
        starts_at = datetime.now(UTC) + timedelta(seconds=2)
        confirmed(database, tenant_id, MAILINGS, starts_at)
        random.choice(processes[:2]).kill()
        wait_until(lambda: launched(database, tenant_id) >= MAILINGS, seconds=60, what="all starts")
    finally:
        for process in processes:
            process.kill()
            process.join()
    with database.tenant_session(tenant_id) as session:
        c = table(Run).c
        rows = session.execute(
            select(c.mailing_id, c.created_at).where(c.tenant_id == tenant_id)
        ).all()
    assert len(rows) == len({row.mailing_id for row in rows}) == MAILINGS
    delays = sorted((row.created_at - starts_at).total_seconds() for row in rows)
    assert delays[0] >= 0, "none before its time"
    assert delays[int(0.99 * MAILINGS) - 1] <= LATEST_SECONDS, delays[-5:]


def test_however_often_a_button_is_pressed_few_hints_wait(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    installation = open_installation(worker_settings(postgres_url, redis_url, tmp_path))
    assert installation.broker is not None
    installation.broker.flush("bulk")
    given = [hint(installation.broker, Work.AUDIENCE, 1, 1) for _ in range(MOST_HINTS * 2)]
    assert 0 < sum(given) <= MOST_HINTS
    assert not given[-1]
    assert installation.broker is not None
    installation.broker.flush("bulk")
    installation.database.engine.dispose()
