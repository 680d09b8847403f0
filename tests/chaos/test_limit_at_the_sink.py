"""A limit holds at the SMTP server, however many processes share it; its record is the witness."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from time import sleep

import pytest

from envoi.delivery.limits import set_limits
from envoi.installation import Installation
from envoi.settings import Settings
from factories.delivery import a_run, smtp_gateway
from factories.workers import workers
from processes import wait_until
from sinks import a_sink

pytestmark = pytest.mark.usefixtures("only_ours")

PER_SECOND = 50


def seconds_of(record: Path) -> list[int]:
    """How many messages were taken in each whole second by the clock, first to last."""
    found = Counter(int(json.loads(line)["at"]) for line in record.read_text().splitlines())
    return [found[second] for second in range(min(found), max(found) + 1)]


def sent_for(
    seconds: int, installation: Installation, settings: Settings, tenant_id: int, record: Path
) -> list[int]:
    """Send by four processes for a while; the first and the last second are not whole."""
    with a_sink(record, "5-30") as port:
        with installation.database.tenant_session(tenant_id) as session:
            gateway = smtp_gateway(session, installation, tenant_id, port)
            limits = {"per_second": PER_SECOND}
            set_limits(session, installation.plugins, tenant_id, gateway, limits)
            a_run(session, tenant_id, gateway, PER_SECOND * (seconds + 20), block_size=25)
        with workers(settings, 4, 2):
            wait_until(lambda: bool(record.read_text()), seconds=60, what="sending")
            sleep(seconds + 2)
    return seconds_of(record)[2 : seconds + 2]


def test_four_processes_for_ten_seconds(
    installation: Installation, settings: Settings, tenant_id: int, tmp_path: Path
) -> None:
    found = sent_for(10, installation, settings, tenant_id, tmp_path / "record.jsonl")
    assert max(found) <= 1.1 * PER_SECOND, found
    # A machine that is busy with other tests may be late; a row of chaos says how much is used.
    assert sum(found) >= 0.8 * PER_SECOND * len(found), found
