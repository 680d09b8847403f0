"""A provider of SMS that does what a test wrote down, in this process or in one that is killed.

`python -m factories.scripted DATABASE DATA_DIR TENANT RUN NOTES DIES` sends a run until the
provider or an armed fail-point ends the process; what left is noted in a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from envoi.db import Database, connect, table
from envoi.delivery.circuit import BackOff
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import BlockState, Run, RunBlock, RunCost
from envoi.delivery.prices import set_prices
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.failpoints import Place, arm
from envoi.installation import Installation
from envoi.plugins import Plugins, load_plugins
from envoi.types import Outgoing, ProviderSpec, SendResult, SendStatus
from factories.delivery import a_run, an_installation

Answer = Callable[[Outgoing], SendResult]


def accepted(message: Outgoing) -> SendResult:
    """Take it, and name it by the customer's address."""
    return SendResult(status=SendStatus.ACCEPTED, provider_id=f"id-{message.address}")


@dataclass
class Script:
    """What the provider does, and what it took; `batch` is None where it takes one at a time."""

    answer: Answer = accepted
    batch: int | None = None
    before: Callable[[Sequence[Outgoing]], None] = lambda messages: None
    calls: list[Sequence[Outgoing]] = field(default_factory=list)
    taken: list[Outgoing] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> OneByOne:
        """Open a connection of the kind that the script wishes."""
        return OneByOne(self) if self.batch is None else Batches(self, self.batch)

    def test(self) -> str:
        """Say that all is well."""
        return "well"

    def take(self, messages: Sequence[Outgoing]) -> list[SendResult]:
        """Answer messages and note those that were taken."""
        self.before(messages)
        with self.lock:
            self.calls.append(list(messages))
            results = [self.answer(message) for message in messages]
            pairs = zip(messages, results, strict=True)
            self.taken += [m for m, r in pairs if r.status is SendStatus.ACCEPTED]
        return results

    @property
    def addresses(self) -> list[str]:
        """Whom it took messages to, in their order."""
        return [message.address for message in self.taken]


@dataclass
class OneByOne:
    """A connection for one message at a time."""

    script: Script

    def send(self, message: Outgoing) -> SendResult:
        """Take one message."""
        return self.script.take([message])[0]

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Batches(OneByOne):
    """A connection for several messages at once."""

    batch_size: int

    def send_batch(self, messages: Sequence[Outgoing]) -> list[SendResult]:
        """Take messages."""
        return self.script.take(messages)


class NoSettings(BaseModel):
    """The provider has none."""


def with_provider(plugins: Plugins, script: Script) -> Plugins:
    """Add the provider to the plugins, as if the SMS channel's plugin had brought it."""
    spec = ProviderSpec(
        name="scripted",
        label="Scripted",
        channel="sms",
        settings=NoSettings,
        factory=lambda settings: script,
    )
    owner = plugins.owner("channel", "sms")
    return replace(
        plugins,
        providers={**plugins.providers, "scripted": spec},
        owners={**plugins.owners, ("provider", "scripted"): owner},
    )


def scripted_gateway(session: Session, installation: Installation, tenant_id: int) -> int:
    """A default gateway for SMS to the scripted provider."""
    gateway = set_gateway(
        session,
        installation.plugins,
        installation.settings,
        tenant_id,
        channel="sms",
        provider="scripted",
        name="scripted",
        values={},
    )
    return gateway.id


def sms_run(
    installation: Installation,
    tenant_id: int,
    people: int,
    *,
    text: str = "Hello {{ client.properties.first_name }}",
    price: str = "",
    **settings: Any,
) -> Run:
    """A run of SMS to so many new customers; each part may have a price."""
    with installation.database.tenant_session(tenant_id) as session:
        gateway = scripted_gateway(session, installation, tenant_id)
        if price:
            set_prices(session, tenant_id, gateway, {"prices": [{"price": price}]})
        return a_run(
            session, tenant_id, gateway, people, content={"text": text}, channel="sms", **settings
        )


def make_due(database: Database, run: Run) -> None:
    """Let time pass until every waiting block is due."""
    c = table(RunBlock).c
    mine = (c.tenant_id == run.tenant_id, c.run_id == run.id, c.state == BlockState.READY)
    with database.tenant_session(run.tenant_id) as session:
        session.execute(update(table(RunBlock)).where(*mine).values(due_at=func.now()))


def cost_of(database: Database, run: Run) -> tuple[int, int]:
    """The parts and the amount that a run has come to."""
    c = table(RunCost).c
    query = select(func.sum(c.parts), func.sum(c.amount))
    query = query.where(c.tenant_id == run.tenant_id, c.run_id == run.id)
    with database.tenant_session(run.tenant_id) as session:
        parts, amount = session.execute(query).one()
    return int(parts or 0), int(amount or 0)


def send_through(installation: Installation, run: Run, threads: int = 1) -> None:
    """Send what is due of a run with so many threads."""
    data_dir = installation.settings.data_dir
    with SenderSession(installation.database, data_dir, threads) as sender:
        engine = Engine(installation, sender, BackOff(first=0.01))
        where = (run.tenant_id, run.id, lambda: False)
        work = [threading.Thread(target=engine.send_run, args=where) for _ in range(threads)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        engine.connections.close_idle(0)


def _until_killed(
    url: str, data_dir: str, tenant_id: int, run_id: int, notes: str, dies: str
) -> None:
    def note(messages: Sequence[Outgoing]) -> None:
        with Path(notes).open("a") as file:
            for place, message in enumerate(messages):
                if dies == f"message {place}":
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                file.write(json.dumps(message.address) + "\n")

    if dies in list(Place):
        arm(Place(dies))
    database = connect(url)
    script = Script(batch=10, before=note)
    installation = an_installation(database, with_provider(load_plugins(), script), Path(data_dir))
    with SenderSession(database, Path(data_dir), 1) as sender:
        Engine(installation, sender).send_run(tenant_id, run_id, lambda: False)


if __name__ == "__main__":
    _, url, folder, tenant, run_number, notes_file, end = sys.argv
    _until_killed(url, folder, int(tenant), int(run_number), notes_file, end)
