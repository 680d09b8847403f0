"""Two plain channels, and providers of them that do as a test's script says."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict

from envoi import hookimpl
from envoi.delivery.gateways import set_gateway
from envoi.errors import ValidationFailedError
from envoi.installation import Installation
from envoi.plugins import Plugins, load_plugins
from envoi.types import (
    AddressKind,
    ChannelSpec,
    ContentKit,
    Envelope,
    Outgoing,
    ProviderSpec,
    Recipient,
    SendResult,
    SendStatus,
    Template,
)

CHANNELS = {"chat": AddressKind.PHONE, "text": AddressKind.PHONE, "letter": AddressKind.EMAIL}
"""The channels, with what each sends to."""


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
            key=recipient.message_key, address=recipient.address, sender="", payload=text.encode()
        )


def _compile(content: BaseModel, _: Envelope, kit: ContentKit) -> _Compiled:
    assert isinstance(content, Words)
    return _Compiled(kit.template(content.text, html=False))


def _preview(content: BaseModel, kit: ContentKit, variables: Mapping[str, Any]) -> str:
    assert isinstance(content, Words)
    return kit.template(content.text, html=False).render(variables)


@dataclass
class Chain:
    """What the providers took, by channel, and what they answer to some addresses."""

    taken: dict[str, list[Outgoing]] = field(default_factory=lambda: {c: [] for c in CHANNELS})
    answers: dict[tuple[str, str], SendStatus] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, channel: str, message: Outgoing) -> SendResult:
        """Answer a message as the script says, and keep it unless it was refused."""
        status = self.answers.get((channel, message.address), SendStatus.ACCEPTED)
        if status in (SendStatus.ACCEPTED, SendStatus.UNKNOWN):
            with self._lock:
                self.taken[channel].append(message)
        return SendResult(status=status, code=250 if status is SendStatus.ACCEPTED else 500)

    def got(self, channel: str) -> Counter[str]:
        """How many messages of a channel each address got."""
        return Counter(message.address for message in self.taken[channel])


class _Account(BaseModel):
    """Settings of an account that has none."""


class _Provider:
    """An account and its connection in one."""

    def __init__(self, chain: Chain, channel: str, _: _Account) -> None:
        self._chain, self._channel = chain, channel

    def connect(self) -> _Provider:
        return self

    def test(self) -> str:
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
        )
        for name in CHANNELS
    ]
    plugin = SimpleNamespace(
        register_channels=hookimpl(lambda: channels),
        register_providers=hookimpl(lambda: providers),
    )
    return load_plugins(extra=[("scripted", plugin)])


def add_gateways(installation: Installation, tenant_id: int, names: Sequence[str]) -> None:
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
                values={},
            )
