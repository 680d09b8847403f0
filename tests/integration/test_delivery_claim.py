"""Claims, deferral and gateways: what the sending loop stands on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from envoi.db import Database, table
from envoi.delivery.claim import Claim, Verdict, claim_block
from envoi.delivery.gateways import get_gateway, open_gateway, set_gateway
from envoi.delivery.models import BlockState, MessageState, Run, RunBlock, Stage
from envoi.delivery.outcomes import Outcome, record
from envoi.errors import ConfigurationError, PluginError, ValidationFailedError
from envoi.installation import Installation
from envoi.plugins import Plugins
from factories.delivery import a_run, an_installation, smtp_gateway, states


@pytest.fixture
def installation(database: Database, plugins: Plugins, tmp_path: Path) -> Installation:
    return an_installation(database, plugins, tmp_path)


def nobody(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
    """Keep nobody back."""
    return ()


def make_run(database: Database, tenant_id: int, people: int, block_size: int) -> Run:
    with database.tenant_session(tenant_id) as session:
        return a_run(session, tenant_id, None, people, block_size=block_size)


def test_claimers_never_share_a_message(database: Database, tenant_id: int) -> None:
    run = make_run(database, tenant_id, 400, 10)
    taken: dict[int, list[int]] = {number: [] for number in range(4)}
    start = threading.Barrier(4)

    def take(sender_id: int) -> None:
        start.wait()
        while True:
            with database.tenant_connection(tenant_id) as connection:
                claim = claim_block(connection, tenant_id, run.id, sender_id, nobody)
            if claim is None:
                return
            taken[sender_id] += [m.customer_id for m in claim.messages]

    threads = [threading.Thread(target=take, args=(number,)) for number in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody = [customer for mine in taken.values() for customer in mine]
    assert len(everybody) == len(set(everybody)) == 400
    assert set(states(database, tenant_id, run).values()) == {MessageState.CLAIMED}


def claimed(database: Database, tenant_id: int, run: Run, recheck=nobody) -> Claim | None:  # type: ignore[no-untyped-def]
    with database.tenant_connection(tenant_id) as connection:
        return claim_block(connection, tenant_id, run.id, 1, recheck)


def test_blocked_and_deferred_ones_are_sorted_out(database: Database, tenant_id: int) -> None:
    run = make_run(database, tenant_id, 6, 10)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def recheck(connection: Connection, customer_ids: Sequence[int]) -> Sequence[Verdict]:
        one, two, *_ = sorted(customer_ids)
        return [Verdict(one, Stage.POLICY, "cap", None), Verdict(two, None, "cap", tomorrow)]

    claim = claimed(database, tenant_id, run, recheck)
    assert claim is not None
    assert len(claim.messages) == 4
    found = [state for _, state in sorted(states(database, tenant_id, run).items())]
    assert found[:2] == [MessageState.BLOCKED, MessageState.READY]
    c = table(RunBlock).c
    with database.tenant_session(tenant_id) as session:
        query = select(c.state, c.size, c.due_at).where(c.tenant_id == tenant_id)
        later = session.execute(query.order_by(c.number.desc())).first()
    assert later is not None
    assert (later.state, later.size, later.due_at) == (BlockState.READY, 1, tomorrow)
    assert claimed(database, tenant_id, run) is None, "what is deferred is not due"


def test_a_sender_that_was_taken_for_dead_records_nothing(
    database: Database, tenant_id: int
) -> None:
    run = make_run(database, tenant_id, 5, 10)
    claim = claimed(database, tenant_id, run)
    assert claim is not None
    outcomes = [Outcome(m.customer_id, m.step, MessageState.ACCEPTED) for m in claim.messages]
    with database.tenant_session(tenant_id) as session:
        record(session, 1, claim.key, [], rest_due_at=datetime.now(UTC))
    with database.tenant_connection(tenant_id) as connection:
        assert claim_block(connection, tenant_id, run.id, 2, nobody) is not None
    with database.tenant_session(tenant_id) as session:
        record(session, 1, claim.key, outcomes)
    assert set(states(database, tenant_id, run).values()) == {MessageState.CLAIMED}
    with database.tenant_session(tenant_id) as session:
        record(session, 2, claim.key, outcomes)
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}


def test_a_gateways_password_is_kept_encrypted_and_for_this_row_alone(
    installation: Installation, database: Database, tenant_id: int
) -> None:
    login = {"security": "starttls", "username": "news", "password": "the password"}
    with database.tenant_session(tenant_id) as session:
        number = smtp_gateway(session, installation, tenant_id, 2525, **login)
        gateway = get_gateway(session, tenant_id, number)
        assert "the password" not in str(gateway.settings)
        assert b"the password" not in gateway.secrets
        again = smtp_gateway(session, installation, tenant_id, 2626, **login | {"password": ""})
        assert again == number
        assert gateway.settings["port"] == 2626
        open_gateway(session, installation.plugins, installation.settings, tenant_id, number)
        other = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider="smtp",
            name="second",
            values={"host": "mail.test"},
        )
        assert (gateway.is_default, other.is_default) == (False, True)
        other.secrets = gateway.secrets
        with pytest.raises(ConfigurationError, match="ENVOI_SECRET_KEY"):
            open_gateway(session, installation.plugins, installation.settings, tenant_id, other.id)


@pytest.mark.parametrize(
    ("provider", "values", "error"),
    [
        ("smtp", {"host": ""}, ValidationFailedError),
        ("smtp", {"host": "mail.test", "prot": 25}, ValidationFailedError),
        ("pigeon", {"host": "mail.test"}, PluginError),
    ],
)
def test_a_gateway_that_cannot_work_is_refused(
    installation: Installation,
    database: Database,
    tenant_id: int,
    provider: str,
    values: dict[str, object],
    error: type[Exception],
) -> None:
    with database.tenant_session(tenant_id) as session, pytest.raises(error):
        set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider=provider,
            name="default",
            values=values,
        )
