"""Hosts with data folders of their own: what is known of a host that is gone, and when."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from chaos.processes import start
from envoi.customers.models import Customer, Quality
from envoi.db import Database, table
from envoi.delivery.models import MessageState
from envoi.delivery.reconcile import reconcile
from envoi.failpoints import Place
from envoi.feedback.models import Bounce
from envoi.installation import Installation
from envoi.settings import Settings
from envoi.tenants.service import tenant_settings
from factories.delivery import a_run_through, states
from smtp_sink import Script, SmtpSink

pytestmark = pytest.mark.usefixtures("only_ours")

BLOCK = 20


@pytest.mark.parametrize("comes_back", [True, False])
def test_only_the_host_itself_or_time_tells_what_was_on_the_wire(
    database: Database,
    installation: Installation,
    settings: Settings,
    tenant_id: int,
    tmp_path: Path,
    comes_back: bool,
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    with SmtpSink() as sink:
        with database.tenant_session(tenant_id) as session:
            tenant_settings(session, tenant_id).unconfirmed_resend = {"email": False}
        run = a_run_through(installation, tenant_id, sink.port, 50, block_size=BLOCK)
        there = settings.model_copy(update={"data_dir": mine})
        victim = start(there, ("send",), place=Place.AFTER_250)
        victim.join(60)
    assert victim.exitcode == -9
    assert reconcile(database, other) == 0, "its session has not expired"
    assert Counter(states(database, tenant_id, run).values())[MessageState.CLAIMED] == BLOCK
    if comes_back:
        assert reconcile(database, mine) == 1
    else:
        assert reconcile(database, other, gone_after=timedelta(0)) == 1
    ended = Counter(states(database, tenant_id, run).values())
    assert ended[MessageState.UNCONFIRMED] == (1 if comes_back else BLOCK)
    assert ended[MessageState.READY] == 50 - ended[MessageState.UNCONFIRMED]


def test_a_refusal_that_only_the_recorder_knows_is_held_against_the_address(
    database: Database,
    installation: Installation,
    settings: Settings,
    tenant_id: int,
) -> None:
    replies = (("c-1@", "550 5.1.1 no such user"), ("c-2@", "554 5.7.1 policy"))
    with SmtpSink(Script(rules=replies)) as sink:
        run = a_run_through(installation, tenant_id, sink.port, 3, block_size=BLOCK)
        victim = start(settings, ("send",), place=Place.BEFORE_RECORD)
        victim.join(60)
    assert victim.exitcode == -9
    assert reconcile(database, settings.data_dir) == 1
    ended = Counter(states(database, tenant_id, run).values())
    assert ended == {MessageState.FAILED: 2, MessageState.ACCEPTED: 1}
    c, b = table(Customer).c, table(Bounce).c
    with database.tenant_session(tenant_id) as session:
        qualities = select(c.email_quality).where(c.tenant_id == tenant_id).order_by(c.id)
        assert session.scalars(qualities).all() == [Quality.NOT_EXISTING, 0, 0]
        answers = select(b.answer).where(b.tenant_id == tenant_id)
        assert {"no such user" in a for a in session.scalars(answers)} == {True, False}
