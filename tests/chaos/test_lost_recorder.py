"""A sender killed whose flight recorder is lost; the SMTP server's record is the witness."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, func, select

from envoi.db import Database, table
from envoi.delivery.models import (
    BlockState,
    Message,
    MessageState,
    Run,
    RunBlock,
    Sender,
)
from envoi.delivery.reconcile import reconcile
from envoi.delivery.runs import progress
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.tenants.service import tenant_settings
from factories.delivery import a_run_through, is_sent
from factories.workers import workers
from processes import wait_until
from sinks import a_sink

pytestmark = pytest.mark.usefixtures("only_ours")

THREADS = 2


def witness(record: Path) -> Counter[str]:
    """How often each address was served."""
    return Counter(json.loads(line)["rcpt"] for line in record.read_text().splitlines())


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
    installation: Installation,
    settings: Settings,
    tenant_id: int,
    tmp_path: Path,
) -> None:
    """Where the file is gone with the machine, nothing is guessed and nothing is sent again."""
    record, data_dir = tmp_path / "record.jsonl", settings.data_dir
    with a_sink(record, "5-30") as port:
        run = a_run_through(installation, tenant_id, port, 600, block_size=100)
        with database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}
        with workers(settings, 1, THREADS) as found:
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
            wait_until(lambda: is_sent(database, run), seconds=60, what="the end of the run")
    served = witness(record)
    with database.tenant_session(tenant_id) as session:
        end = progress(session, tenant_id, run.id)
    assert 0 < end.unconfirmed == open_ones <= THREADS * 100
    assert end.accepted + end.unconfirmed == end.recipients == 600
    assert max(served.values()) == 1
    assert end.accepted <= len(served) <= 600
