"""Plain channels, providers of them that do as a test's script says, and cascades of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import update

from envoi import hookimpl
from envoi.audience.collection import collect
from envoi.db import table
from envoi.delivery.circuit import BackOff
from envoi.delivery.gateways import set_gateway
from envoi.delivery.models import Message, Run, RunBlock, RunKind
from envoi.delivery.runs import RunSettings, VariantContent, create_run
from envoi.delivery.sender import SenderSession
from envoi.delivery.sending import Engine
from envoi.delivery.steps import StepContent
from envoi.errors import PermanentProviderError, ValidationFailedError
from envoi.installation import Installation
from envoi.plugins import Plugins, load_plugins
from envoi.types import (
    AddressKind,
    ChannelSpec,
    ContentKit,
    Envelope,
    NextStep,
    Outgoing,
    ProviderSpec,
    Recipient,
    SendResult,
    SendStatus,
    Template,
)

CHANNELS = {"chat": AddressKind.PHONE, "text": AddressKind.PHONE, "letter": AddressKind.EMAIL}
"""The channels, with what each sends to."""


PART = 70
"""So many characters make a part."""


class Words(BaseModel):
    """Content that is a text."""

    model_config = ConfigDict(extra="forbid")

    text: str


@dataclass(frozen=True)
class _Compiled:
    template: Template
    links: tuple[str, ...] = ()

    def render(self, recipient: Recipient) -> Outgoing:
        if not recipient.address:
            raise ValidationFailedError([])
        text = self.template.render(recipient.variables)
        return Outgoing(
            key=recipient.message_key,
            address=recipient.address,
            sender="",
            payload=text.encode(),
            parts=1 + len(text) // PART,
        )


def _compile(content: BaseModel, _: Envelope, kit: ContentKit) -> _Compiled:
    assert isinstance(content, Words)
    return _Compiled(kit.template(content.text, html=False))


def _preview(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    assert isinstance(content, Words)
    return kit.template(content.text, html=False).render(variables)


@dataclass
class Chain:
    """What the providers took, by channel, and what they answer to some addresses.

    Those of the channels that are `down` do not let us in.
    """

    taken: dict[str, list[Outgoing]] = field(default_factory=lambda: {c: [] for c in CHANNELS})
    answers: dict[tuple[str, str], SendStatus] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    after: Callable[[Outgoing], None] = lambda message: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, channel: str, message: Outgoing) -> SendResult:
        """Answer a message as the script says, and keep it unless it was refused."""
        status = self.answers.get((channel, message.address), SendStatus.ACCEPTED)
        if status in (SendStatus.ACCEPTED, SendStatus.UNKNOWN):
            with self._lock:
                self.taken[channel].append(message)
            self.after(message)
        return SendResult(status=status, code=250 if status is SendStatus.ACCEPTED else 500)

    def got(self, channel: str) -> Counter[str]:
        """How many messages of a channel each address got."""
        return Counter(message.address for message in self.taken[channel])


class _Account(BaseModel):
    """Settings of an account; of the channel `chat` one may go on to `text` by itself."""

    moves_on: bool = False


def _takes_over(settings: _Account, steps: Sequence[NextStep]) -> bool:
    wanted = {(step.channel, step.success) for step in steps}
    return settings.moves_on and wanted == {("text", "delivered")}


class _Provider:
    """An account and its connection in one."""

    def __init__(self, chain: Chain, channel: str, _: _Account) -> None:
        self._chain, self._channel = chain, channel

    def connect(self) -> _Provider:
        self.test()
        return self

    def test(self) -> str:
        if self._channel in self._chain.down:
            raise PermanentProviderError(f"The account of {self._channel} is locked.")
        return "ready"

    def send(self, message: Outgoing) -> SendResult:
        return self._chain.take(self._channel, message)

    def close(self) -> None: ...


def chain_plugins(chain: Chain) -> Plugins:
    """Every installed plugin, and the scripted channels."""
    channels = [
        ChannelSpec(
            name=name,
            label=name.title(),
            address_kind=kind,
            content_schema=Words,
            compile=_compile,
            preview=_preview,
            editor_template="",
        )
        for name, kind in CHANNELS.items()
    ]
    providers = [
        ProviderSpec(
            name=f"scripted_{name}",
            label=f"Scripted {name}",
            channel=name,
            settings=_Account,
            factory=partial(_Provider, chain, name),
            takes_over=_takes_over if name == "chat" else None,
        )
        for name in CHANNELS
    ]
    plugin = SimpleNamespace(
        register_channels=hookimpl(lambda: channels),
        register_providers=hookimpl(lambda: providers),
    )
    return load_plugins(extra=[("scripted", plugin)])


def add_gateways(
    installation: Installation, tenant_id: int, names: Sequence[str], **values: Any
) -> None:
    """Give the company an account of each of these channels."""
    with installation.database.tenant_session(tenant_id) as session:
        for name in names:
            set_gateway(
                session,
                installation.plugins,
                installation.settings,
                tenant_id,
                channel=name,
                provider=f"scripted_{name}",
                name=name,
                values=values,
            )


def phone(number: int) -> str:
    """The telephone number of a customer that a factory made."""
    return f"+4915{100_000_000 + number}"


def step(channel: str, **fields: Any) -> StepContent:
    """A further step of a cascade; without another content it names its channel."""
    return StepContent(**{"channel": channel, "contents": [{"text": f"By {channel}"}], **fields})


def a_cascade(
    site: Installation,
    tenant_id: int,
    first: str,
    *then: StepContent,
    moves_on: bool = False,
    **settings: Any,
) -> Run:
    """A run by these channels to everybody, collected; the first account may move on by itself."""
    add_gateways(site, tenant_id, [one.channel for one in then])
    add_gateways(site, tenant_id, [first], moves_on=moves_on)
    frozen = RunSettings(
        variants=[VariantContent(number=1, content={"text": f"By {first}"})],
        steps=list(then),
        links_url="http://links.test",
        resends_unconfirmed=False,
        **settings,
    )
    with site.database.tenant_session(tenant_id) as session:
        run = create_run(
            session,
            tenant_id,
            mailing_id=None,
            kind=RunKind.MAILING,
            channel=first,
            gateway_id=None,
            settings=frozen,
            now=datetime.now(UTC),
        )
    collect(site.database, site.plugins, tenant_id, run.id)
    return run


@contextmanager
def an_engine(site: Installation) -> Iterator[Engine]:
    """What sends, for as long as it is wanted."""
    with SenderSession(site.database, site.settings.data_dir, 1) as sender:
        engine = Engine(site, sender, BackOff(first=0.01))
        yield engine
        engine.connections.close_idle(0)


def send(site: Installation, run: Run) -> None:
    """Send what is due, of whichever step."""
    with an_engine(site) as engine:
        engine.send_run(run.tenant_id, run.id, lambda: False)


def let_pass(site: Installation, run: Run, minutes: float) -> None:
    """Let time pass for what was sent, and for when it is looked at."""
    m, block = table(Message), table(RunBlock)
    past = timedelta(minutes=minutes)
    mine = (m.c.tenant_id == run.tenant_id, m.c.run_id == run.id)
    with site.database.tenant_session(run.tenant_id) as session:
        accepted = update(m).where(*mine, m.c.launched_on == run.launched_on)
        session.execute(accepted.values(accepted_at=m.c.accepted_at - past))
        theirs = (block.c.tenant_id == run.tenant_id, block.c.run_id == run.id)
        looked_at = update(block).where(*theirs, block.c.moves_at.is_not(None))
        moments = {name: block.c[name] - past for name in ("moves_at", "claimed_at")}
        session.execute(looked_at.values(moments))
