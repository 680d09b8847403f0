"""A limit holds at the SMTP server, however many processes share it; its record is the witness."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import text

from envoi.db import Database
from envoi.delivery.limits import set_limits
from envoi.plugins import Plugins
from factories.delivery import a_run, an_installation, smtp_gateway
from factories.workers import workers
from processes import wait_until
from sinks import a_sink

PER_SECOND = 50


@pytest.fixture(autouse=True)
def only_ours(database: Database) -> None:
    """Take away due work and senders that other tests of this database left."""
    with database.system_session() as session:
        session.execute(text("DELETE FROM due_work"))
        session.execute(text("UPDATE sender SET ended_at = now()"))


def seconds_of(record: Path) -> list[int]:
    """How many messages were taken in each whole second by the clock, first to last."""
    found = Counter(int(json.loads(line)["at"]) for line in record.read_text().splitlines())
    return [found[second] for second in range(min(found), max(found) + 1)]


def sent_for(
    seconds: int,
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    urls: tuple[str, str],
    folder: Path,
) -> list[int]:
    """Send by four processes for a while; the first and the last second are not whole."""
    record, data_dir = folder / "record.jsonl", folder / "data"
    with a_sink(record, "5-30") as port:
        installation = an_installation(database, plugins, data_dir)
        with database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, port)
            set_limits(session, plugins, tenant_id, gateway, {"per_second": PER_SECOND})
            a_run(session, tenant_id, gateway, PER_SECOND * (seconds + 20), block_size=25)
        with workers(*urls, data_dir, 4, 2):
            wait_until(lambda: bool(record.read_text()), seconds=60, what="sending")
            sleep(seconds + 2)
    return seconds_of(record)[2 : seconds + 2]


def test_four_processes_for_ten_seconds(
    database: Database,
    plugins: Plugins,
    tenant_id: int,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    found = sent_for(10, database, plugins, tenant_id, (postgres_url, redis_url), tmp_path)
    assert max(found) <= 1.1 * PER_SECOND, found
    # A machine that is busy with other tests may be late; a row of chaos says how much is used.
    assert sum(found) >= 0.8 * PER_SECOND * len(found), found
