"""A database of the first revision, with data of two companies, comes through the upgrade whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import text

from envoi.db import Database, connect
from envoi.delivery.models import MessageState, Run, RunStatus
from envoi.delivery.runs import RunSettings
from envoi.embedded import EmbeddedPostgres
from envoi.mailings.audience import estimate_mailing
from envoi.mailings.models import Mailing, MailingState
from envoi.mailings.queries import mailings_by_id
from envoi.plugins import Plugins
from envoi.schema import make_month, migrate
from envoi.segments.counting import count
from envoi.segments.service import get_segment
from envoi.segments.tree import parse
from envoi.segments.versions import list_versions
from envoi.tenants.service import tenant_settings

NOW = datetime.now(UTC).replace(microsecond=0)
LAUNCHED = (NOW - timedelta(days=2)).date()
TREE: dict[str, Any] = {
    "all": [
        {
            "source": "attribute",
            "settings": {"criterion": "city", "operator": "is", "value": "Berlin"},
        }
    ]
}
STATES = (
    MessageState.EXCLUDED,
    MessageState.CONTROL,
    MessageState.ACCEPTED,
    MessageState.ACCEPTED,
    MessageState.FAILED,
    MessageState.UNCONFIRMED,
)
SETTINGS = {
    "tree": TREE,
    "rules": [],
    "category_id": None,
    "control_share": 20.0,
    "strata": ["gender", "age_band"],
    "one_per_address": True,
    "attribution_days": 14,
    "lifetime_minutes": 4320,
    "variants": [{"number": 1, "share": 100.0, "content": {"subject": "Coffee"}}],
    "message_domain": "envoi.test",
    "links_url": "",
    "block_size": 250,
}
"""A run's settings as the first revision wrote them."""


@dataclass(frozen=True)
class Old:
    """What a company had before the upgrade."""

    tenant_id: int
    customers: list[int]
    segment: int
    sent: int
    ended_run: int
    running_run: int
    draft: int
    resends: bool


@pytest.fixture
def old_database(postgres: EmbeddedPostgres, worker_id: str) -> Iterator[Database]:
    name = sql.Identifier(f"envoi_upgrade_{worker_id}")
    with postgres.connect() as connection:
        connection.execute(sql.SQL("create database {}").format(name))
    database = connect(postgres.database_url(f"envoi_upgrade_{worker_id}"))
    migrate(database.engine, revision="0001")
    yield database
    database.engine.dispose()
    with postgres.connect() as connection:
        connection.execute(sql.SQL("drop database {}").format(name))


def test_the_data_is_whole_after_the_upgrade(old_database: Database, plugins: Plugins) -> None:
    companies = [_company(old_database, slug) for slug in ("fieldmarket", "barrow")]
    migrate(old_database.engine)
    assert _closed(old_database)
    for old in companies:
        _check_segment(old_database, plugins, old)
        _check_runs(old_database, old)
        _check_mailings(old_database, plugins, old)


def _check_segment(database: Database, plugins: Plugins, old: Old) -> None:
    with database.tenant_session(old.tenant_id) as session:
        segment = get_segment(session, old.tenant_id, old.segment)
        assert (segment.tree, segment.version, segment.figures) == (TREE, 3, {})
        [version] = list_versions(session, old.tenant_id, old.segment)
        assert (version.version, version.name, version.tree) == (3, "Berlin", parse(TREE))
        assert version.saved_at == segment.updated_at
        found = count(session, old.tenant_id, parse(TREE), now=NOW, plugins=plugins)
        assert found == len(STATES)


def _check_runs(database: Database, old: Old) -> None:
    with database.tenant_session(old.tenant_id) as session:
        ended = session.get(Run, (old.tenant_id, old.ended_run))
        running = session.get(Run, (old.tenant_id, old.running_run))
        assert ended is not None
        assert running is not None
        figures = (ended.recipients, ended.sent, ended.delivered, ended.failed)
        assert figures == (4, 2, 1, 1)
        assert (ended.receipts, ended.amount) == (1, 1_250)
        assert (running.recipients, running.amount) == (None, None)
        assert ended.settings == SETTINGS
        assert (ended.paused_bounce_share, ended.paused_complaint_share) == (None, None)
        frozen = RunSettings.model_validate(ended.settings)
        assert (frozen.pace(), frozen.control_audience_id) == (None, None)


def _check_mailings(database: Database, plugins: Plugins, old: Old) -> None:
    with database.tenant_session(old.tenant_id) as session:
        sent = session.get(Mailing, (old.tenant_id, old.sent))
        assert sent is not None
        assert (sent.window_zone, sent.attribution_conditions, sent.tree) == ("company", {}, None)
        company = tenant_settings(session, old.tenant_id)
        assert company.test_customer_id == old.customers[0]
        assert company.unconfirmed_resend == ({} if old.resends else {"email": False})
        shares = (company.pause_bounce_share, company.pause_complaint_share, company.pause_after)
        assert shares == (5.0, 0.3, 200)
        [row] = mailings_by_id(session, old.tenant_id, [old.sent])
        assert (row.recipients, row.sent, row.delivered, row.failed) == (4, 2, 1, 1)
        assert (row.receipts, row.amount) == (1, 1_250)
        volume = estimate_mailing(session, plugins, old.tenant_id, old.draft)
        assert volume.segment == len(STATES)
        assert volume.segment == sum(line.count for line in volume.lines) + volume.eligible
        assert {len(stratum.codes) for stratum in volume.strata} == {2}


def _closed(database: Database) -> bool:
    """Whether the tables that the upgrade opened are closed to their owner again."""
    forced = text(
        "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname IN"
        " ('mailing', 'segment', 'run', 'message', 'attribution', 'segment_version')"
    )
    with database.engine.connect() as connection:
        return bool(connection.scalar(forced))


def _company(database: Database, slug: str) -> Old:
    with database.engine.begin() as connection:
        make_month(connection, LAUNCHED.replace(day=1))
        tenant_id = connection.execute(
            text("INSERT INTO tenant (slug, name) VALUES (:slug, :slug) RETURNING id"),
            {"slug": slug},
        ).scalar_one()
    with database.tenant_connection(tenant_id) as connection:

        def add(table: str, **values: Any) -> int:
            names = ", ".join(("tenant_id", *values))
            marks = ", ".join(f":{name}" for name in ("tenant_id", *values))
            given = {
                name: json.dumps(value) if isinstance(value, dict | list) else value
                for name, value in values.items()
            }
            returned = "" if table in _WITHOUT_ID else " RETURNING id"
            statement = text(f"INSERT INTO {table} ({names}) VALUES ({marks}){returned}")
            done = connection.execute(statement, {"tenant_id": tenant_id, **given})
            return 0 if table in _WITHOUT_ID else int(done.scalar_one())

        customers = [
            add(
                "customer",
                external_id=f"C-{number}",
                bucket=number,
                city="Berlin",
                email=f"c{number}@{slug}.test",
                email_quality=0,
            )
            for number, _ in enumerate(STATES)
        ]
        resends = slug == "fieldmarket"
        add("tenant_settings", unconfirmed_resend=resends, demo_customer_id=customers[0])
        segment = add("segment", name="Berlin", tree=TREE, version=3)
        shared = {"channel": "email", "segment_id": segment, "strata": SETTINGS["strata"]}
        sent = add("mailing", name="Sent", state=MailingState.LAUNCHED, **shared)
        draft = add("mailing", name="Draft", control_share=20.0, **shared)
        for mailing in (sent, draft):
            add("variant", mailing_id=mailing, number=1, content={"subject": "Coffee"})
        run = {"channel": "email", "launched_on": LAUNCHED, "seed": 1, "settings": SETTINGS}
        ended = add("run", mailing_id=sent, status=RunStatus.SENT, finished_at=NOW, **run)
        running = add("run", mailing_id=None, status=RunStatus.SENDING, **run)
        connection.execute(
            text("UPDATE mailing SET run_id = :run WHERE tenant_id = :tenant AND id = :mailing"),
            {"run": ended, "tenant": tenant_id, "mailing": sent},
        )
        for run_id in (ended, running):
            for customer, state in zip(customers, STATES, strict=True):
                accepted = NOW if state == MessageState.ACCEPTED else None
                add(
                    "message",
                    run_id=run_id,
                    customer_id=customer,
                    launched_on=LAUNCHED,
                    state=state,
                    accepted_at=accepted,
                    bounced_at=NOW if customer == customers[2] else None,
                )
        bought = {"customer_id": customers[3], "amount": 1_250}
        receipt = add("receipt", external_id="R-1", at=NOW, bucket=0, **bought)
        add("attribution", receipt_id=receipt, run_id=ended, on_day=NOW.date(), **bought)
    return Old(tenant_id, customers, segment, sent, ended, running, draft, resends)


_WITHOUT_ID = {"tenant_settings", "variant", "message", "attribution"}
