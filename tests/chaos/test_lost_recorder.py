"""A sender killed whose flight recorder is lost; the SMTP server's record is the witness."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, func, select, text

from envoi.db import Database, table
from envoi.delivery.models import (
    BlockState,
    Message,
    MessageState,
    Run,
    RunBlock,
    RunStatus,
    Sender,
)
from envoi.delivery.reconcile import reconcile
from envoi.delivery.runs import get_run, progress
from envoi.plugins import Plugins
from envoi.tenants.service import tenant_settings
from factories.delivery import a_run, an_installation, smtp_gateway
from factories.workers import workers
from processes import wait_until
from sinks import a_sink

THREADS = 2


def prepare(
    database: Database, plugins: Plugins, tenant_id: int, data_dir: Path, port: int, count: int
) -> Run:
    installation = an_installation(database, plugins, data_dir)
    with database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, port)
        return a_run(session, tenant_id, gateway, count, block_size=100)


def witness(record: Path) -> Counter[str]:
    """How often each address was served."""
    return Counter(json.loads(line)["rcpt"] for line in record.read_text().splitlines())


def is_over(database: Database, tenant_id: int, run: Run) -> bool:
    with database.tenant_session(tenant_id) as session:
        return get_run(session, tenant_id, run.id).status == RunStatus.SENT


def wait_for_the_end(database: Database, tenant_id: int, run: Run) -> None:
    wait_until(lambda: is_over(database, tenant_id, run), seconds=60, what="the end of the run")


@pytest.fixture(autouse=True)
def only_ours(database: Database) -> None:
    """Take away due work and senders that other tests of this database left."""
    with database.system_session() as session:
        session.execute(text("DELETE FROM due_work"))
        session.execute(text("UPDATE sender SET ended_at = now()"))


def recorder_of(database: Database, tenant_id: int, pid: int) -> str | None:
    """The recorder of a process that has claimed a block; None while it has not."""
    sender, block = table(Sender).c, table(RunBlock).c
    query = select(sender.recorder).where(sender.pid == pid, sender.ended_at.is_(None))
    query = query.join(table(RunBlock), sender.id == block.sender_id)
    claimed = (block.tenant_id == tenant_id, block.state == BlockState.CLAIMED)
    with database.tenant_session(tenant_id) as session:
        return session.scalar(query.where(*claimed).limit(1))


def marked(database: Database, tenant_id: int, run: Run, *conditions: ColumnElement[bool]) -> int:
    """Count messages of a run."""
    c = table(Message).c
    query = select(func.count()).where(
        c.tenant_id == tenant_id, c.run_id == run.id, c.launched_on == run.launched_on
    )
    with database.tenant_session(tenant_id) as session:
        return session.scalar(query.where(*conditions)) or 0


def test_a_lost_recorder_leaves_the_open_blocks_unconfirmed(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """Where the file is gone with the machine, nothing is guessed and nothing is sent again."""
    record, data_dir = tmp_path / "record.jsonl", tmp_path / "data"
    with a_sink(record, "5-30") as port:
        run = prepare(database, plugins, tenant_id, data_dir, port, 600)
        with database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}
        with workers(postgres_url, redis_url, data_dir, 1, THREADS) as found:
            (victim,) = found.processes
            wait_until(
                lambda: bool(recorder_of(database, tenant_id, victim.pid or 0)),
                seconds=30,
                what="sending",
            )
            time.sleep(0.3)
            found.kill(victim)
            for path in (data_dir / "senders").glob("*.rec"):
                path.unlink()
            open_ones = marked(
                database, tenant_id, run, table(Message).c.state == MessageState.CLAIMED
            )
            assert reconcile(database, data_dir) == 0, "its heartbeat is fresh: it may live"
            assert reconcile(database, data_dir, gone_after=timedelta(0)) == 1
            found.start()
            wait_for_the_end(database, tenant_id, run)
    served = witness(record)
    with database.tenant_session(tenant_id) as session:
        end = progress(session, tenant_id, run.id)
    assert 0 < end.unconfirmed == open_ones <= THREADS * 100
    assert end.accepted + end.unconfirmed == end.recipients == 600
    assert max(served.values()) == 1
    assert end.accepted <= len(served) <= 600
