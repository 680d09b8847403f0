"""Connections by which reports come: one for each gateway that is on, and nobody harms another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import update

from envoi.db import Database, connect, table
from envoi.delivery.gateways import get_gateway, note_change
from envoi.delivery.models import Gateway
from envoi.errors import PermanentProviderError, TemporaryProviderError
from envoi.feedback import receivers
from envoi.feedback.models import ReceiverSign
from envoi.feedback.queries import receiver_signs
from envoi.feedback.receivers import Pauses, Receivers
from envoi.feedback.reporting import reporter
from envoi.installation import Installation
from envoi.plugins import load_plugins
from envoi.tenants.service import create_tenant
from envoi.tracking.tokens import signer_of
from envoi.types import DeliveryEvent, Report
from factories.delivery import an_installation
from factories.reports import TAKEN_AT, Handed, Teller, handed_over, teller_gateway
from processes import wait_until

BRIEFLY = Pauses(first=0.05, longest=0.1)


@dataclass
class Centre:
    """What the plugin's connections do, by the label of their gateway, and what they saw."""

    held: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    awake: threading.Event = field(default_factory=threading.Event)
    reports: dict[str, Report] = field(default_factory=dict)

    def receive(self, settings: Any, report: Report, should_stop: Callable[[], bool]) -> None:
        """Hold a connection, or fail in the way that the label names."""
        label = settings.label
        self.opened.append(label)
        if label.startswith("wrong"):
            raise PermanentProviderError("The centre lets nobody in.")
        if label.startswith("broken"):
            raise RuntimeError("nonsense")
        if label.startswith("hangs"):
            self.awake.wait(60)
            return
        self.reports[label] = report
        self.held.append(label)
        while not should_stop():
            self.awake.wait(0.01)
        self.held.remove(label)


@pytest.fixture
def centre() -> Iterator[Centre]:
    found = Centre()
    yield found
    found.awake.set()


@pytest.fixture
def installation(database: Database, centre: Centre, tmp_path: Path) -> Installation:
    plugins = load_plugins([("teller", Teller(receive=centre.receive))])
    return an_installation(database, plugins, tmp_path)


@contextmanager
def receiving(installation: Installation) -> Iterator[Receivers]:
    """One process that receives; the test looks after it."""
    found = Receivers(installation, BRIEFLY)
    found.look()
    try:
        yield found
    finally:
        found.close()


def gateway(installation: Installation, tenant_id: int, label: str = "") -> tuple[int, str]:
    """A gateway with a label of its own."""
    label = f"{label}{uuid4().hex}"
    return teller_gateway(installation, tenant_id, label=label), label


def change(installation: Installation, tenant_id: int, gateway_id: int, **values: Any) -> None:
    """Change a gateway as a page does."""
    g = table(Gateway).c
    with installation.database.tenant_session(tenant_id) as session:
        mine = (g.tenant_id == tenant_id, g.id == gateway_id)
        session.execute(update(table(Gateway)).where(*mine).values(**values))
        note_change(session, get_gateway(session, tenant_id, gateway_id))


def sign(installation: Installation, tenant_id: int, gateway_id: int) -> ReceiverSign | None:
    """What the gateway's card shows of the connection."""
    with installation.database.tenant_session(tenant_id) as session:
        return receiver_signs(session, tenant_id).get(gateway_id)


def test_a_connection_lives_as_long_as_its_gateway_is_on(
    installation: Installation, tenant_id: int, centre: Centre
) -> None:
    gateway_id, label = gateway(installation, tenant_id)
    with receiving(installation) as receivers:
        wait_until(lambda: label in centre.held, what="a connection")
        change(installation, tenant_id, gateway_id, settings={"label": label + "2"})

        def follows() -> bool:
            receivers.look()
            return label + "2" in centre.held and label not in centre.held

        wait_until(follows, what="the connection of the changed gateway")
        assert sign(installation, tenant_id, gateway_id) is not None
        change(installation, tenant_id, gateway_id, is_on=False)

        def ended() -> bool:
            receivers.look()
            return label + "2" not in centre.held

        wait_until(ended, what="the end of the connection")
        receivers.look()
        assert sign(installation, tenant_id, gateway_id) is None


def test_of_two_processes_one_receives_and_the_other_takes_over(
    installation: Installation, tenant_id: int, centre: Centre
) -> None:
    _, label = gateway(installation, tenant_id)
    with receiving(installation) as first, receiving(installation) as second:
        wait_until(lambda: label in centre.held, what="a connection")
        second.look()
        assert centre.opened.count(label) == 1
        first.close()
        assert label not in centre.held
        second.look()
        wait_until(lambda: label in centre.held, what="the other's connection")


def test_what_comes_is_written_and_shown(
    installation: Installation, tenant_id: int, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "SIGN_SECONDS", 0.0)
    gateway_id, label = gateway(installation, tenant_id)
    handed = handed_over(installation.database, tenant_id, gateway_id)
    handed.submitted("a")
    with receiving(installation) as found:
        wait_until(lambda: label in centre.reports, what="a connection")
        centre.reports[label](_delivered("a"), b"raw")
        assert handed.row().delivered_at == TAKEN_AT
        found.look()
        shown = sign(installation, tenant_id, gateway_id)
        assert shown is not None
        assert shown.received_at is not None


def _delivered(number: str) -> DeliveryEvent:
    return DeliveryEvent(type="delivered", reference=number, occurred_at=TAKEN_AT)


@pytest.mark.parametrize(
    ("label", "words"),
    [("wrong", "The centre lets nobody in."), ("broken", "Plugin teller: provider teller failed")],
)
def test_one_that_fails_is_opened_again_and_says_why(
    installation: Installation, tenant_id: int, centre: Centre, label: str, words: str
) -> None:
    gateway_id, label = gateway(installation, tenant_id, label)
    with receiving(installation) as receivers:
        wait_until(lambda: centre.opened.count(label) >= 3, what="three attempts")
        receivers.look()
        shown = sign(installation, tenant_id, gateway_id)
        assert shown is not None
        assert shown.trouble.startswith(words)


def test_one_that_hangs_harms_no_other(
    installation: Installation, tenant_id: int, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "STOP_SECONDS", 0.2)
    hanging_id, hanging = gateway(installation, tenant_id, "hangs")
    other = create_tenant(installation.database, slug=f"o{uuid4().hex}", name="Other").id
    _, label = gateway(installation, other)
    with receiving(installation) as found:
        wait_until(lambda: label in centre.held and hanging in centre.opened, what="both")
        change(installation, tenant_id, hanging_id, settings={"label": "well"})

        def follows() -> bool:
            found.look()
            return "well" in centre.held

        wait_until(follows, what="the connection instead of the hanging one")
        assert label in centre.held


def test_while_the_database_is_away_the_provider_is_told_to_send_again(
    installation: Installation, postgres_url: str, tenant_id: int, handed: Handed
) -> None:
    broken = connect(postgres_url)
    creator = broken.engine.pool._creator

    def refused(*_: object) -> None:
        raise psycopg.OperationalError("the database is away")

    broken.engine.pool._creator = refused  # type: ignore[assignment]
    report = reporter(broken, signer_of(installation.settings), tenant_id, handed.gateway_id)
    with pytest.raises(TemporaryProviderError, match="away"):
        report(_delivered("a"), b"raw")
    broken.engine.pool._creator = creator
    report(_delivered("a"), b"raw")
    assert handed.row().delivered_at == TAKEN_AT
    broken.engine.dispose()


@pytest.fixture
def handed(installation: Installation, tenant_id: int) -> Handed:
    """A message that the provider has taken."""
    gateway_id, _ = gateway(installation, tenant_id)
    found = handed_over(installation.database, tenant_id, gateway_id)
    found.submitted("a")
    return found
