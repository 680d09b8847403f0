"""Mailings that start: one that many press at once, and a thousand that are due at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from bench import mailing
from bench.figures import Figure, at_most, info
from bench.processes import wait_for
from bench.stage import Stage
from chaos.course import Row
from chaos.hosts import a_host, host_of
from chaos.processes import SCHEDULER
from chaos.witness import Witness, a_server
from envoi.db import Database, table
from envoi.delivery.models import Run
from envoi.errors import ConflictError
from envoi.jobs import Work, announce
from envoi.mailings import launch, service, variants
from envoi.mailings.audience import estimate_mailing
from envoi.mailings.models import Mailing, MailingState, Variant
from envoi.segments.service import create_segment

PRESSES, PEOPLE = 50, 500

AT_ONCE, LATEST_SECONDS = 1_000, 15
MAKING_SECONDS = 0.02
"""What making one of them takes at most."""
KILLS, KILL_SECONDS = 20, 1.0
"""So often a scheduler is killed: before the other one may have taken over, and after."""


def start(row: Row) -> list[Figure]:
    """Press start fifty times at the same moment: one run, and fifty answers that say so."""
    with a_server("0-0") as witness:
        tenant_id, mailing_id, recipients, version = _a_draft(row.stage, witness)

        def press(_: int) -> datetime | None:
            installation = row.stage.installation
            hurried = installation.settings.model_copy(update={"undo_seconds": 0})
            try:
                with row.stage.database.tenant_session(tenant_id) as session:
                    mine = (session, installation.plugins, hurried, tenant_id, mailing_id)
                    confirmed = launch.confirm(*mine, recipients=recipients, version=version)
                    answer = confirmed.confirmed_at
            except ConflictError:
                return None
            launch.launch_due(installation, tenant_id, mailing_id)
            return answer

        with a_host(row.stage, 2, 2, others=True):
            with ThreadPoolExecutor(PRESSES) as hands:
                answers = list(hands.map(press, range(PRESSES)))
            wait_for(lambda: len(witness.look()) >= recipients, "the mailing", seconds=120)
            time.sleep(2)
        served = witness.served()
        return [
            at_most("start.runs", len(runs_of(row.stage.database, tenant_id)), "runs", 1),
            at_most("start.refused", answers.count(None), "presses", 0),
            at_most("start.answers", len(set(answers)), "different ones", 1),
            at_most("start.lost", recipients - len(served), "messages", 0),
            at_most("start.duplicates", served.total() - len(served), "messages", 0),
        ]


def schedulers(row: Row) -> list[Figure]:
    """Let many mailings be due at the same moment, and kill schedulers, of which there are two."""
    database, number = row.stage.database, row.part(AT_ONCE, 50)
    early, tenant_id = row.stage.tenant(), row.stage.tenant()
    queues = [(SCHEDULER,), (SCHEDULER,), ("quick",), ("quick",)]
    with host_of(row.stage, queues, 2) as host:
        confirmed_mailings(database, early, 1, datetime.now(UTC))
        wait_for(lambda: bool(runs_of(database, early)), "the first start")
        starts_at = datetime.now(UTC) + timedelta(seconds=5 + MAKING_SECONDS * number)
        confirmed_mailings(database, tenant_id, number, starts_at)
        due_at = max(starts_at, datetime.now(UTC))
        wait_for(lambda: datetime.now(UTC) >= due_at, "their time")
        for _ in range(row.part(KILLS, 5)):
            host.kill(row.chance.choice(host.schedulers()))
            time.sleep(row.chance.uniform(0, KILL_SECONDS))
        wait_for(lambda: len(runs_of(database, tenant_id)) >= number, "all starts", seconds=120)
        time.sleep(2)
    runs = runs_of(database, tenant_id)
    delays = sorted((run.created_at - due_at).total_seconds() for run in runs)
    return [
        at_most("schedulers.not_started", number - len({r.mailing_id for r in runs}), "runs", 0),
        at_most("schedulers.twice", len(runs) - len({r.mailing_id for r in runs}), "runs", 0),
        at_most("schedulers.early", sum(run.created_at < starts_at for run in runs), "runs", 0),
        at_most("schedulers.p99", delays[int(0.99 * number) - 1], "s", LATEST_SECONDS),
        info("schedulers.mailings", number, "mailings"),
    ]


def confirmed_mailings(
    database: Database, tenant_id: int, number: int, starts_at: datetime
) -> None:
    """Make mailings that start at the same moment, to nobody."""
    with database.tenant_session(tenant_id) as session:
        for _ in range(number):
            made = Mailing(
                tenant_id=tenant_id,
                name="Autumn",
                channel="email",
                tree={"all": []},
                state=MailingState.CREATED,
                starts_at=starts_at,
                confirmed_at=starts_at,
            )
            session.add(made)
            session.flush()
            variant = Variant(tenant_id=tenant_id, mailing_id=made.id, number=1)
            variant.content = mailing.email(links=1, prose=1)
            session.add(variant)
            announce(session, tenant_id, Work.LAUNCH, made.id, starts_at)


def runs_of(database: Database, tenant_id: int) -> Sequence[Run]:
    """Every run of a company."""
    with database.tenant_session(tenant_id) as session:
        return session.scalars(select(Run).where(table(Run).c.tenant_id == tenant_id)).all()


def _a_draft(stage: Stage, witness: Witness) -> tuple[int, int, int, int]:
    """A complete draft: company, mailing, recipients, version."""
    tenant_id, plugins = stage.tenant(), stage.installation.plugins
    mailing.make_people(stage, tenant_id, PEOPLE)
    mailing.make_gateway(stage, tenant_id, witness.port)
    with stage.database.tenant_session(tenant_id) as session:
        tree = {"all": [{"source": "all_customers", "settings": {}}]}
        segment = create_segment(session, tenant_id, name="Everybody", tree=tree, plugins=plugins)
        made = service.create_draft(
            session, tenant_id, channel="email", name="Autumn", segment_id=segment.id
        )
        content = mailing.email(links=1, prose=1)
        variants.save_content(session, tenant_id, made.id, made.version, content)
        found = estimate_mailing(session, plugins, tenant_id, made.id).recipients
        return tenant_id, made.id, found, made.version
