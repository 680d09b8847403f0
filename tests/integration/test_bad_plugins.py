"""A plugin that breaks its contract is named, its mailing paused, and nobody else harmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import text

from envoi import hookimpl
from envoi.db import Database
from envoi.delivery import connections
from envoi.delivery.connections import Connections
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import MessageState, Run, RunStatus
from envoi.delivery.runs import get_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.errors import PluginError
from envoi.installation import Installation
from envoi.logs import masked
from envoi.mailings.content_checks import content_checks
from envoi.mailings.service import create_draft, variants_of
from envoi.operations.plugin_errors import faults_of
from envoi.plugin_tables import migrate_plugins
from envoi.plugins import Plugins, load_plugins
from envoi.sending import MacroCheck, MacroRequest
from envoi.tenants.service import create_tenant
from envoi.types import MacroSpec, Outgoing, ProviderSpec, SendResult, SendStatus, Submission
from factories.delivery import a_run, a_run_through, an_installation, email_content, states
from smtp_sink import SmtpSink

SECRET = "the-password-of-the-account"


class BadSettings(BaseModel):
    """How the provider misbehaves."""

    password: SecretStr
    fault: str


class Bad:
    """An account of a provider, and a connection of it, that keep no promise."""

    def __init__(self, settings: BadSettings) -> None:
        self._settings = settings

    def connect(self) -> Bad:
        if self._settings.fault == "connecting":
            raise RuntimeError("connecting went wrong")
        if self._settings.fault in _CONNECTIONS:
            return _CONNECTIONS[self._settings.fault](self._settings)
        return self

    def test(self) -> str:
        return "fine"

    def send(self, message: Outgoing) -> Any:
        password = self._settings.password.get_secret_value()
        logging.getLogger("acme").error("signing in with %s", password)
        return _FAULTS[self._settings.fault](password)

    def close(self) -> None:
        raise RuntimeError("closing went wrong as well")


class Uncounted(Bad):
    """Does not know how many messages it takes at once."""

    batch_size = "many"

    def send_batch(self, messages: object) -> Any:
        raise AssertionError(messages)


class Deaf(Bad):
    """Wants to hear nothing of where reports go."""

    def deliver_to(self, report: object) -> None:
        raise RuntimeError("reports go nowhere")


_CONNECTIONS = {"uncounted": Uncounted, "deaf": Deaf}


def _raise(password: str) -> Any:
    raise RuntimeError(f"refused with {password}")


def _in_part(**odd: Any) -> SendResult:
    part = Submission(**{"number": 1, "status": SendStatus.ACCEPTED, **odd})
    return SendResult(status=SendStatus.ACCEPTED, submissions=(part,))


_FAULTS: Mapping[str, Callable[[str], Any]] = {
    "raising": _raise,
    "nothing": lambda _: None,
    "words": lambda _: "accepted",
    "no status": lambda _: SendResult(status="taken"),  # type: ignore[arg-type]
    "no code": lambda _: SendResult(status=SendStatus.REFUSED, code="x", raw=None),  # type: ignore[arg-type]
    "odd parts": lambda _: SendResult(status=SendStatus.ACCEPTED, submissions=("x",)),  # type: ignore[arg-type]
    "odd part": lambda _: _in_part(status="taken"),
    "odd name": lambda _: _in_part(provider_id=None),
    "high number": lambda _: _in_part(number=2**63),
    "leaking": lambda password: SendResult(status=SendStatus.REFUSED, code=500, raw=password),
}


def brings(**hooks: Callable[..., Any]) -> list[tuple[str, object]]:
    """A plugin with these hooks."""
    return [("acme", SimpleNamespace(**{name: hookimpl(f) for name, f in hooks.items()}))]


@pytest.fixture
def installation(database: Database, tmp_path: Path) -> Installation:
    """An installation with the bad provider."""

    def register_providers() -> list[ProviderSpec]:
        spec = ProviderSpec(
            name="acme", label="Acme", channel="email", settings=BadSettings, factory=Bad
        )
        return [spec]

    plugins = load_plugins(brings(register_providers=register_providers))
    return an_installation(database, plugins, tmp_path)


def a_bad_run(installation: Installation, tenant_id: int, fault: str) -> Run:
    with installation.database.tenant_session(tenant_id) as session:
        gateway = set_gateway(
            session,
            installation.plugins,
            installation.settings,
            tenant_id,
            channel="email",
            provider="acme",
            name="acme",
            values={"password": SECRET, "fault": fault},
        )
        return a_run(session, tenant_id, gateway.id, 5)


@pytest.fixture
def send(installation: Installation) -> Iterator[Callable[[Run], None]]:
    """Send runs with one sender, which has to live through all of them."""
    folder = installation.settings.data_dir
    with SenderSession(installation.database, folder, 1) as sender:
        engine = Engine(installation, sender)

        def send_run(run: Run) -> None:
            engine.send_run(run.tenant_id, run.id, lambda: False)
            assert not sender.has_ended

        yield send_run
        engine.connections.close_idle(0)


@pytest.mark.parametrize("fault", ["connecting", *_CONNECTIONS, *_FAULTS])
def test_a_bad_provider_harms_its_own_mailing_alone(
    installation: Installation,
    database: Database,
    tenant_id: int,
    send: Callable[[Run], None],
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Check 48."""
    other = create_tenant(database, slug=f"t{uuid4().hex[:12]}", name="Greengrocer").id
    bad = a_bad_run(installation, tenant_id, fault)
    send(bad)
    with SmtpSink() as sink:
        send(a_run_through(installation, other, sink.port, 5))
        assert len(sink.recipients) == 5
    with database.tenant_session(tenant_id) as session:
        run = get_run(session, tenant_id, bad.id)
        assert SECRET not in (run.pause_reason or "")
        if fault != "leaking":
            assert run.status == RunStatus.PAUSED
            assert "acme" in run.pause_reason
        details = session.scalars(text("SELECT detail FROM message WHERE detail IS NOT NULL"))
        assert not [detail for detail in details if SECRET in detail]
    assert SECRET not in "".join(map(masked, caplog.messages))
    found = set(states(database, tenant_id, bad).values())
    sure = {MessageState.READY, MessageState.UNCONFIRMED, MessageState.FAILED}
    assert found <= sure, "nothing is lost, and nothing counts as sent"


@pytest.mark.parametrize("answer", [RuntimeError("no luck"), None, {}, {1: 2}, "codes"])
def test_a_bad_macro_pauses_before_a_byte_leaves(
    database: Database, tenant_id: int, tmp_path: Path, answer: object
) -> None:
    def issue(request: MacroRequest) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    spec = MacroSpec(
        name="acme_code", label="Code", issue=issue, recall=lambda _: {}, example=lambda _: "X"
    )
    plugins = load_plugins(brings(register_macros=lambda: [spec]))
    installation = an_installation(database, plugins, tmp_path)
    with SmtpSink() as sink:
        content = email_content('<p>{{ acme_code("x") }}</p>')
        run = a_run_through(installation, tenant_id, sink.port, 2, content=content)
        with SenderSession(database, tmp_path, 1) as sender:
            Engine(installation, sender).send_run(tenant_id, run.id, lambda: False)
        assert sink.recipients == []
    with database.tenant_session(tenant_id) as session:
        stopped = get_run(session, tenant_id, run.id)
        assert stopped.status == RunStatus.PAUSED
        assert 'The macro acme_code("x") gave nothing: Plugin acme' in stopped.pause_reason
    assert set(states(database, tenant_id, run).values()) == {MessageState.READY}


def test_bad_advice_of_a_macro_keeps_nobody_from_the_review(
    database: Database, tenant_id: int
) -> None:
    def warn(check: MacroCheck) -> str:
        check.connection.execute(text("SELECT nothing FROM nowhere"))
        return "never said"

    spec = MacroSpec(
        name="acme_code",
        label="Code",
        issue=lambda _: {},
        recall=lambda _: {},
        example=lambda _: "X",
        warn=warn,
    )
    plugins = load_plugins(brings(register_macros=lambda: [spec]))
    with database.tenant_session(tenant_id) as session:
        draft = create_draft(session, tenant_id, channel="email", name="Codes")
        (variant,) = variants_of(session, draft)
        variant.content = email_content('<p>{{ acme_code("x") }}</p>')
        session.flush()
        assert content_checks(session, plugins, draft), "the session goes on"
        (fault,) = faults_of(session, tenant_id, "acme")
    assert "nowhere" in fault.sentence


def test_a_bad_observer_is_only_logged(database: Database, tenant_id: int, tmp_path: Path) -> None:
    told = []

    def delivery_recorded(batch: Any) -> None:
        told.append(batch)
        raise RuntimeError("no room for figures")

    plugins = load_plugins(brings(delivery_recorded=delivery_recorded))
    installation = an_installation(database, plugins, tmp_path)
    with SmtpSink() as sink, SenderSession(database, tmp_path, 1) as sender:
        run = a_run_through(installation, tenant_id, sink.port, 20, block_size=5)
        engine = Engine(installation, sender)
        engine.send_run(tenant_id, run.id, lambda: False)
        engine.connections.close_idle(0)
        assert engine.observers.settle(10)
        assert len(sink.recipients) == 20
    assert sum(len(batch.messages) for batch in told) == 20
    assert set(states(database, tenant_id, run).values()) == {MessageState.ACCEPTED}


def test_a_hanging_observer_or_goodbye_keeps_nobody_waiting(
    database: Database, tenant_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, never = [], threading.Event()
    hanging = SimpleNamespace(delivery_recorded=hookimpl(lambda batch: never.wait()))
    working = SimpleNamespace(delivery_recorded=hookimpl(lambda batch: told.append(batch)))
    installation = an_installation(
        database, load_plugins([("hanging", hanging), ("working", working)]), tmp_path
    )
    with SmtpSink() as sink, SenderSession(database, tmp_path, 1) as sender:
        run = a_run_through(installation, tenant_id, sink.port, 20, block_size=5)
        engine = Engine(installation, sender)
        engine.send_run(tenant_id, run.id, lambda: False)
        assert not engine.observers.settle(0.5), "one is still at the first batch"
        assert sum(len(batch.messages) for batch in told) == 20
        engine.connections.close_idle(0)
        monkeypatch.setattr(connections, "CLOSE_SECONDS", 0.1)
        kept = Connections()
        stuck = SimpleNamespace(send=lambda _: None, close=never.wait)
        kept.put((1, 1, 1), kept.take((1, 1, 1), lambda: stuck))
        kept.close_idle(0)
        never.set()
        assert engine.observers.settle(10)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE acme_open (id bigint PRIMARY KEY)", "has no tenant_id"),
        ("CREATE TABLE acme_maybe (tenant_id integer, id bigint)", "has no tenant_id"),
        ("CREATE TABLE acme_broken (", "cannot be made by 0001.sql"),
    ],
)
def test_tables_that_cannot_be_protected_are_not_made(
    database: Database, tmp_path: Path, sql: str, said: str
) -> None:
    file = tmp_path / "0001.sql"
    file.write_text(sql)
    plugins: Plugins = load_plugins(brings(register_migrations=lambda: [file]))
    with pytest.raises(PluginError, match=said):
        migrate_plugins(database.engine, plugins, database.app_role)
    with database.system_session() as session:
        assert session.scalar(text("SELECT to_regclass('acme_open')")) is None
        assert session.scalar(text("SELECT to_regclass('acme_maybe')")) is None
