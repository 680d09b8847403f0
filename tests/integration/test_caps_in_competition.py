"""Two mailings that race under a cap of one: nobody gets both, and nobody gets none."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text, update

from envoi.audience.collection import collect
from envoi.audience.recheck import recheck_of_run
from envoi.db import Database, table
from envoi.delivery.claim import claim_block
from envoi.delivery.models import Message, MessageState, RunKind, Stage
from envoi.delivery.runs import RunSettings, VariantContent, create_run, get_run
from envoi.plugins import Plugins
from factories.customers import make_customers

CUSTOMERS = 100
SENDER = 1
CAP: dict[str, Any] = {"kind": "frequency_cap", "settings": {"most": 1, "period": 1, "unit": "day"}}


def make_run(database: Database, tenant_id: int, *rules: dict[str, Any]) -> int:
    settings = RunSettings(
        rules=list(rules),
        variants=[VariantContent(number=1, share=100, content={})],
        block_size=7,
    )
    with database.tenant_session(tenant_id) as session:
        return create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel="email",
            gateway_id=None,
            settings=settings,
            now=datetime.now(UTC),
        ).id


def send(database: Database, plugins: Plugins, tenant_id: int, run_id: int) -> Counter[int]:
    """Claim block after block as a sender does, and note everything claimed as accepted."""
    with database.tenant_session(tenant_id) as session:
        recheck = recheck_of_run(plugins, get_run(session, tenant_id, run_id))
    sent: Counter[int] = Counter()
    while True:
        with database.tenant_connection(tenant_id) as connection:
            claim = claim_block(connection, tenant_id, run_id, SENDER, recheck)
        if claim is None:
            return sent
        sent.update(message.customer_id for message in claim.messages)
        c = table(Message).c
        accepted = update(table(Message)).values(
            state=MessageState.ACCEPTED, accepted_at=datetime.now(UTC)
        )
        with database.tenant_connection(tenant_id) as connection:
            connection.execute(
                accepted.where(
                    c.tenant_id == tenant_id,
                    c.run_id == run_id,
                    c.launched_on == claim.key.launched_on,
                    c.block == claim.key.number,
                    c.state == MessageState.CLAIMED,
                )
            )


@pytest.fixture
def base(database: Database, tenant_id: int) -> int:
    """A company with a hundred customers."""
    with database.tenant_connection(tenant_id) as connection:
        make_customers(connection, tenant_id, CUSTOMERS)
    return tenant_id


def test_racing_collections_share_the_customers_out(
    database: Database, plugins: Plugins, base: int
) -> None:
    runs = [make_run(database, base, CAP) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda run: collect(database, plugins, base, run), runs))
        sent = list(pool.map(lambda run: send(database, plugins, base, run), runs))
    assert sum(sent, Counter()) == Counter(dict.fromkeys(sent_ids(database, base), 1))
    assert sum(len(s) for s in sent) == CUSTOMERS


def test_racing_senders_let_the_earlier_reservation_win(
    database: Database, plugins: Plugins, base: int
) -> None:
    """Both have reserved before the cap came, so that only the re-check holds them apart."""
    runs = [make_run(database, base) for _ in range(2)]
    for run_id in runs:
        collect(database, plugins, base, run_id)
    with database.tenant_session(base) as session:
        for run_id in runs:
            run = get_run(session, base, run_id)
            run.settings = {**run.settings, "rules": [CAP]}
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda run: send(database, plugins, base, run), runs)
    assert len(first) == CUSTOMERS
    assert not second
    assert outcomes(database, base, runs[1]) == {
        (MessageState.BLOCKED, Stage.POLICY, "frequency_cap"): CUSTOMERS
    }


def test_deferred_messages_wait_for_the_cap(
    database: Database, plugins: Plugins, base: int
) -> None:
    later = {**CAP, "settings": {**CAP["settings"], "over_limit": "defer"}}
    first, second = make_run(database, base, CAP), make_run(database, base, later)
    collect(database, plugins, base, first)
    volume = collect(database, plugins, base, second)
    assert volume is not None
    assert (volume.recipients, volume.deferred) == (CUSTOMERS, CUSTOMERS)
    assert len(send(database, plugins, base, first)) == CUSTOMERS
    assert not send(database, plugins, base, second)
    pull_forward(database, base, second)
    assert not send(database, plugins, base, second), "the check runs again when the time comes"
    assert outcomes(database, base, second) == {
        (MessageState.READY, None, "frequency_cap"): CUSTOMERS
    }


def test_a_later_message_that_has_left_counts_too(
    database: Database, plugins: Plugins, base: int
) -> None:
    early, late = make_run(database, base, CAP), make_run(database, base)
    collect(database, plugins, base, early)
    collect(database, plugins, base, late)
    assert len(send(database, plugins, base, late)) == CUSTOMERS
    assert not send(database, plugins, base, early)


def pull_forward(database: Database, tenant_id: int, run_id: int) -> None:
    with database.tenant_connection(tenant_id) as connection:
        connection.execute(
            text(
                "UPDATE run_block SET due_at = now() - interval '1 minute'"
                " WHERE tenant_id = :tenant AND run_id = :run AND state = 1"
            ),
            {"tenant": tenant_id, "run": run_id},
        )


def outcomes(database: Database, tenant_id: int, run_id: int) -> dict[tuple[Any, ...], int]:
    c = table(Message).c
    with database.tenant_session(tenant_id) as session:
        day = get_run(session, tenant_id, run_id).launched_on
        mine = (c.tenant_id == tenant_id, c.run_id == run_id, c.launched_on == day)
        rows = session.execute(select(c.state, c.stage, c.detail).where(*mine))
        return Counter(tuple(row) for row in rows)


def sent_ids(database: Database, tenant_id: int) -> list[int]:
    with database.tenant_connection(tenant_id) as connection:
        rows = connection.scalars(
            text("SELECT id FROM customer WHERE tenant_id = :tenant"), {"tenant": tenant_id}
        )
        return list(rows)
