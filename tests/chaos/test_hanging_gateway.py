"""A company whose server is silent after each message keeps no other company waiting."""

from __future__ import annotations

from uuid import uuid4

import pytest

from envoi.db import Database
from envoi.delivery.models import MessageState
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.tenants.service import create_tenant
from factories.delivery import a_run_through, states
from factories.workers import workers
from processes import wait_until
from smtp_sink import Script, SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

THREADS = 2


def test_others_are_sent_meanwhile(
    database: Database, installation: Installation, settings: Settings
) -> None:
    companies = [
        create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Grocer").id for _ in "ab"
    ]
    silent = SmtpSink(Script(rules=((".*", "hang_after"),)))
    with silent, SmtpSink() as prompt, workers(settings, 1, THREADS):
        runs = []
        for tenant_id, sink, people in zip(companies, (silent, prompt), (50, 100), strict=True):
            runs.append(a_run_through(installation, tenant_id, sink.port, people, block_size=5))
            if sink is silent:
                wait_until(
                    lambda: len(silent.recipients) == THREADS, seconds=20, what="all to hang"
                )
        wait_until(lambda: len(prompt.recipients) == 100, seconds=30, what="the other company")
        assert len(silent.recipients) == THREADS, "it has no more threads than there are"
        assert len(set(prompt.recipients)) == 100
    found = list(states(database, companies[0], runs[0]).values())
    assert MessageState.ACCEPTED not in found
