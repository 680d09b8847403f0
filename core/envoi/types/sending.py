"""How messages are handed over, the accounts of providers, and what became of a message."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from envoi.errors import ForgedWebhookError
from envoi.types.base import Descriptor


class SendStatus(StrEnum):
    """What became of one message at the provider's door."""

    ACCEPTED = "accepted"
    REFUSED_NOW = "refused_now"
    """A temporary refusal of this message: try again later."""
    REFUSED = "refused"
    """A permanent refusal of this message."""
    THROTTLED = "throttled"
    """We were too fast, and nothing is wrong with the message: it has not been taken, goes again
    shortly, and this was no attempt."""
    UNKNOWN = "unknown"
    """The connection broke after the message may have been taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One of a customer's devices: what a push message is sent to.

    `service` is the push service that knows the token, such as `fcm` or `apns`.
    """

    id: int
    service: str
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A further step of a cascade, as the provider of the step before is asked about it.

    It is wanted where the message before has failed, or has not come to its `success`
    (`delivered` or `read`) after `wait_seconds`.
    """

    channel: str
    wait_seconds: int
    success: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NextMessage(NextStep):
    """The message of a further step, for the same address; its payload is that of its channel."""

    sender: str
    payload: bytes
    parts: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message ready for a provider.

    `payload` is what the channel and its providers agreed on: for email the complete RFC 5322
    bytes with CRLF line ends, not yet dot-stuffed; for SMS the text as UTF-8; for channels whose
    messages have several fields a JSON object of them, see docs/plugins. `key` is stable over
    every attempt. `parts` is how many messages a provider counts it as. A message with `devices`
    is handed over once for each, as the only one, with its token as the address. Nobody wants it
    any more `lifetime_seconds` after it was handed over (0: as long as the provider likes).
    `then` are the messages that the account goes on to by itself (`ProviderSpec.takes_over`).
    """

    key: str
    address: str
    sender: str
    payload: bytes
    parts: int = 1
    devices: tuple[Device, ...] = ()
    lifetime_seconds: int = 0
    then: tuple[NextMessage, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What became of one part of a message, or of one device that it went to.

    `number` is the part's from 1, or the device's own; `provider_id` names it in later reports.
    `address_gone` means that the service knows the address no more: it is not tried again, unless
    it was registered anew after `gone_since`, where the service tells that moment.
    """

    number: int
    status: SendStatus
    code: int = 0
    provider_id: str = ""
    raw: str = ""
    address_gone: bool = False
    gone_since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SendResult:
    """The provider's answer to one message, raw kept for people.

    `provider_id` is what later reports name the message by, where they do not return our key.
    `submissions` is given where the message left in several parts or to several devices.
    """

    status: SendStatus
    code: int = 0
    provider_id: str = ""
    raw: str = ""
    submissions: tuple[Submission, ...] = ()
    address_gone: bool = False
    gone_since: datetime | None = None


class Connection(Protocol):
    """An open way to a provider, used by one thread, for one message at a time."""

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over; raise `ProviderError` when the provider as a whole fails.

        A message that may have been taken must come back as `SendStatus.UNKNOWN`, never as
        an exception: an exception promises that this message has not left.
        """

    def close(self) -> None:
        """Say goodbye; must not raise."""


@runtime_checkable
class BatchConnection(Connection, Protocol):
    """A connection that is faster with several messages at once: a window, or one call for all.

    The core uses `send_batch` where it exists; `send` is for single ones.
    """

    @property
    def batch_size(self) -> int:
        """How many messages are taken at once at most, from 1 to 500."""

    def send_batch(self, messages: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Hand messages over and return a result for each, in their order.

        As for `send`: what may have been taken is `SendStatus.UNKNOWN`; `ProviderError`
        promises that none of them has left.
        """


Report = Callable[["DeliveryEvent", bytes], None]
"""Takes in what a provider tells of a message, with the bytes as they came; it is written when
the call returns. Raises `TemporaryProviderError` when it cannot be written now: the provider has
to be told to send it again."""


@runtime_checkable
class ReportingConnection(Connection, Protocol):
    """A connection by which reports come back as well, such as an SMPP transceiver."""

    def deliver_to(self, report: Report) -> None:
        """Be told, before the first message, where reports go; from any thread."""


class Provider(Protocol):
    """A configured account of a provider (a gateway)."""

    def connect(self) -> Connection:
        """Open a connection; raise `ProviderError` when that fails."""

    def test(self) -> str:
        """Try the account without sending and return the provider's own words."""


@dataclass(frozen=True, kw_only=True)
class DnsRecord:
    """A record that the owner of a domain has to publish for an account to be trusted."""

    name: str
    type: str
    value: str
    purpose: str


CAPABILITIES = {
    "return_path": "Bounces come back by the return path",
    "delivery_reports": "Reports delivery",
    "read_reports": "Reports that a message was read",
    "receives": "Reports come over a connection of its own",
    "webhook": "Reports come to a webhook",
    "replies": "Passes on what customers answer",
    "idempotent": "The same message sent twice arrives once",
    "batch": "Takes several messages at once",
    "cascade": "Chains channels by itself",
    "images": "Pictures",
    "buttons": "Buttons",
}
"""What a provider may say of itself in `ProviderSpec.capabilities`, in words for people."""


@dataclass(frozen=True, kw_only=True)
class WebhookRequest:
    """A request to the address of a gateway's webhook; names of headers are in lower case."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def require_secret(self, shown: str, secret: str) -> None:
        """Compare what the request shows with what it has to show; none is never enough.

        Raises:
            ForgedWebhookError: They differ.
        """
        if not secret or not hmac.compare_digest(shown.encode(), secret.encode()):
            raise ForgedWebhookError("The report does not show the secret of the gateway.")


@dataclass(frozen=True, kw_only=True)
class ProviderSpec(Descriptor):
    """A provider: its settings model and how an account of it is opened.

    The form of a gateway is made of the settings model: titles are labels, descriptions hints,
    a `SecretStr` is never shown again. `dns_records` is given checked settings.
    """

    channel: str
    settings: type[BaseModel]
    factory: Callable[[Any], Provider]
    capabilities: frozenset[str] = frozenset()
    dns_records: Callable[[Any], Sequence[DnsRecord]] = field(default=lambda settings: ())  # noqa: ARG005
    webhook: Callable[[Any, WebhookRequest], Sequence[DeliveryEvent]] | None = None
    """Reads a request to the gateway's own address; the first argument is its settings. Raises
    `ForgedWebhookError` for what is not the provider's; what cannot be read raises `ValueError`
    and is kept for a person."""
    receive: Callable[[Any, Report, Callable[[], bool]], None] | None = None
    """Holds a connection by which reports come, until the second callable says to stop; it is
    run once for all processes, and again when it ends. The first argument is the settings."""
    service: str = ""
    """The push service whose devices' messages go through accounts of this provider."""
    takes_over: Callable[[Any, Sequence[NextStep]], bool] | None = None
    """Whether an account goes on by itself through these further steps; the first argument is
    its settings. Then it is handed one request with all their messages, and its reports name the
    channel that they are about. Asked anew for every plan, so it must answer at once."""
    patience_seconds: float = 300
    """How long one call of an account or connection may last at most; after that it is given up,
    and its mailing paused. Time-outs of the provider's own are shorter and tell more."""
    note: str = ""
    """A sentence for administrators, such as that nobody has tried the live service yet."""

    @property
    def abilities(self) -> frozenset[str]:
        """The capabilities, with the one that follows from what there is."""
        return self.capabilities | ({"cascade"} if self.takes_over else set())


class EventType(StrEnum):
    """What can become of a message after it was handed over."""

    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    FAILED = "failed"
    """It will not arrive: undeliverable, rejected, expired or deleted on the way. For email
    that is `bounced`."""
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    DEFERRED = "deferred"
    """Still being tried: changes nothing."""
    REPLIED = "replied"
    """Somebody has answered: `recipient` is their number, `text` their words. It names no
    message."""
    UNKNOWN = "unknown"
    """The provider does not know either, or says a word that we do not know: kept raw, changes
    nothing."""


@dataclass(frozen=True, kw_only=True)
class DeliveryEvent:
    """Something a provider reports later about a message, in one vocabulary.

    The message is named by `message_key`, our own, or by `reference`, the provider's
    (`SendResult.provider_id`). `status` is the provider's word for it (for email the enhanced
    status of RFC 3463), `code` its number, `reason` its own words; `recipient` is the address
    that it is about, where the report tells it. A failure is `permanent` where the provider says
    that the address does not exist: it is then held against the customer's contact. `channel` is
    the channel that it is about, where an account has gone on to another one by itself.
    """

    type: str
    occurred_at: datetime
    message_key: str = ""
    reference: str = ""
    reason: str = ""
    raw: str = ""
    status: str = ""
    code: int = 0
    recipient: str = ""
    permanent: bool = False
    text: str = ""
    channel: str = ""


@dataclass(frozen=True, kw_only=True)
class GatewayState:
    """What a limit may know of a gateway: a day of the company's calendar, and its past.

    `days_used` counts the earlier days, since the limit was first asked, on which messages left.
    """

    day: date
    days_used: int


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What may leave through a gateway on a day; None and domains not named: any number."""

    per_day: int | None = None
    per_second: float | None = None
    domains_per_day: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LimitSpec(Descriptor):
    """A limit on what leaves through a gateway; its settings are kept with the gateway.

    `allowance` is asked when a run is prepared and once a day, never for a message; None where
    it does not limit that day.
    """

    settings: type[BaseModel]
    allowance: Callable[[Any, GatewayState], Allowance | None]
    describe: Callable[[Any], str] = field(default=lambda settings: str(settings))
    order: int = 100
