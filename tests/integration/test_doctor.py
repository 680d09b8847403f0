"""What `envoi doctor` says of an installation, part by part, with servers that are really there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr
from sqlalchemy import func, update

from envoi.cli.checks import print_findings
from envoi.cli.findings import Checking, Finding
from envoi.cli.sending_checks import (
    check_circuits,
    check_scheduler,
    check_senders,
    check_signatures,
    check_unconfirmed,
)
from envoi.cli.server_checks import check_clock, check_database_settings, check_queue
from envoi.db import Database, table
from envoi.delivery.blocks import BlockKey
from envoi.delivery.circuit import failed
from envoi.delivery.gateways import get_gateway
from envoi.delivery.models import Message, MessageState, Sender
from envoi.delivery.run_traffic import note_outcomes
from envoi.errors import PermanentProviderError
from envoi.installation import Installation
from envoi.jobs import Work, announce, withdraw
from envoi.logs import hide
from envoi.operations.chores import GIVE_HINTS, RECONCILE, note_chore
from envoi.operations.models import Chore
from envoi.plugins import Plugins
from envoi.settings import Settings
from envoi.tenants.models import Tenant
from factories.customers import customer_ids, make_customers
from factories.delivery import smtp_gateway
from ledger_rows import NOW, add_messages, add_run
from pages import TEST_SETTINGS


@pytest.fixture
def installation(database: Database, plugins: Plugins, redis_url: str) -> Installation:
    """An installation as `envoi doctor` opens it."""
    settings = Settings(
        redis_url=SecretStr(redis_url), secret_key=TEST_SETTINGS.secret_key, worker_processes=2
    )
    return Installation(settings, database, plugins)


@pytest.fixture
def sender(database: Database) -> Iterator[Sender]:
    """A sending process that has just given a sign of life."""
    row = Sender(host="mill-7", pid=4711, recorder="nowhere.rec")
    with database.system_session() as session:
        session.execute(update(Sender).values(ended_at=func.now()))
        session.add(row)
    yield row
    with database.system_session() as session:
        session.execute(update(Sender).values(ended_at=func.now()))


def look(check: Checking, installation: Installation) -> dict[str, Finding]:
    """Make a check; every line that is wrong must say what to do."""
    found = {finding.name: finding for finding in check(installation)}
    assert [f for f in found.values() if not f.ok and not f.remedy.endswith(".")] == []
    return found


def test_the_settings_of_the_database(installation: Installation) -> None:
    found = look(check_database_settings, installation)
    # The server of the tests need not survive a power failure, and the doctor sees it.
    assert not found["database fsync"].ok
    assert "Set fsync = on" in found["database fsync"].remedy
    assert found["database connections"].ok
    many = installation.settings.model_copy(update={"worker_processes": 64, "worker_threads": 64})
    crowded = Installation(many, installation.database, installation.plugins)
    assert not look(check_database_settings, crowded)["database connections"].ok


def test_the_queue(installation: Installation, free_port: int) -> None:
    found = look(check_queue, installation)
    assert {name for name, finding in found.items() if finding.ok} >= {
        *("queue", "queue memory", "queue persistence", "clock and queue"),
    }
    url = SecretStr(f"redis://127.0.0.1:{free_port}/0")
    away = installation.settings.model_copy(update={"redis_url": url})
    [found_away] = check_queue(Installation(away, installation.database, installation.plugins))
    assert not found_away.ok


def test_the_clock(installation: Installation) -> None:
    assert look(check_clock, installation)["clock and database"].ok


def test_senders(installation: Installation, sender: Sender) -> None:
    found = look(check_senders, installation)
    assert (found["senders"].found, found["dead senders"].ok) == ("1 alive", True)
    with installation.database.system_session() as session:
        session.execute(update(Sender).values(heartbeat_at=func.now() - timedelta(minutes=2)))
    found = look(check_senders, installation)
    assert (found["senders"].ok, found["dead senders"].ok) == (False, False)


def test_the_scheduler_and_late_work(installation: Installation, tenant_id: int) -> None:
    for chore in (GIVE_HINTS, RECONCILE):
        note_chore(installation.database, chore, 0.01)
    found = look(check_scheduler, installation)
    assert found["scheduler: give_hints"].ok
    assert found["scheduler: reconcile"].ok
    with installation.database.tenant_session(tenant_id) as session:
        announce(session, tenant_id, Work.FIGURES, 1, NOW - timedelta(days=1))
    with installation.database.system_session() as session:
        session.execute(update(Chore).values(done_at=func.now() - timedelta(minutes=5)))
    found = look(check_scheduler, installation)
    assert [f.name for f in found.values() if f.ok] == []
    with installation.database.tenant_session(tenant_id) as session:
        withdraw(session, tenant_id, Work.FIGURES, 1)


def test_open_circuits(installation: Installation, tenant_id: int) -> None:
    with installation.database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, 25)
        failed(session, (tenant_id, gateway), PermanentProviderError("The password is wrong."))
    found = look(check_circuits, installation)
    assert not found["open circuits"].ok
    assert "The password is wrong." in {finding.found for finding in found.values()}


def test_what_a_provider_says_is_printed_as_it_is(
    installation: Installation, tenant_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "550 [/] [link=file:///etc]see[/link] \x1b[2J s3cret-of-a-gateway"
    with installation.database.tenant_session(tenant_id) as session:
        gateway = smtp_gateway(session, installation, tenant_id, 25)
        failed(session, (tenant_id, gateway), PermanentProviderError(said))
    hide("s3cret-of-a-gateway")
    print_findings(list(check_circuits(installation)))
    printed = capsys.readouterr().out
    assert "[link=file:///etc]" in printed
    assert "\x1b[2J" not in printed
    assert "s3cret" not in printed


def test_keys_of_gateways(installation: Installation, tenant_id: int) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signing = {"dkim_domain": "fieldmarket.test", "dkim_selector": "e1", "dkim_key": pem}
    with installation.database.tenant_session(tenant_id) as session:
        number = smtp_gateway(session, installation, tenant_id, 25, **signing)
    found = look(check_signatures, installation).values()
    assert "signs by e1._domainkey.fieldmarket.test" in {finding.found for finding in found}
    with installation.database.tenant_session(tenant_id) as session:
        get_gateway(session, tenant_id, number).secrets = b"of another installation"
    found = look(check_signatures, installation).values()
    assert any("cannot be decrypted" in finding.found for finding in found if not finding.ok)


def test_unconfirmed_messages(installation: Installation, tenant_id: int) -> None:
    database = installation.database
    with database.tenant_session(tenant_id) as session:
        make_customers(session, tenant_id, 3)
        people = customer_ids(session, tenant_id)
    run = add_run(database, tenant_id)
    add_messages(database, run, people)
    with database.tenant_session(tenant_id) as session:
        c = table(Message).c
        first = (c.tenant_id == tenant_id, c.run_id == run.run_id, c.customer_id == people[0])
        day = c.launched_on == run.launched_on
        state = {"state": MessageState.UNCONFIRMED}
        session.execute(table(Message).update().where(*first, day).values(**state))
    assert mine(database, tenant_id) not in look(check_unconfirmed, installation)
    with database.tenant_session(tenant_id) as session:
        key = BlockKey(tenant_id, run.run_id, 1, run.launched_on)
        note_outcomes(session, key, [MessageState.UNCONFIRMED])
    found = look(check_unconfirmed, installation)
    assert not found["unconfirmed"].ok
    assert found[mine(database, tenant_id)].found == "1 messages of 1 mailings"


def mine(database: Database, tenant_id: int) -> str:
    """Return the line of one company; the tests before this one left companies of their own."""
    with database.system_session() as session:
        return f"unconfirmed of {session.get_one(Tenant, tenant_id).slug}"
