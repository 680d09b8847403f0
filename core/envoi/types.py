"""Frozen descriptors and protocols that cross the boundary between the core and plugins.

Hooks return descriptors; behaviour is a callable or a small protocol inside them. New fields
come with defaults, so a plugin written today loads tomorrow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

if TYPE_CHECKING:
    from envoi.blocks import Block, Style
    from envoi.sql import Membership, RuleColumns, SourceColumns, SqlCondition

_NAME = re.compile(r"^[a-z][a-z0-9_]{1,39}$")


class AddressKind(StrEnum):
    """What a channel sends to; decides which contact of a customer is used."""

    EMAIL = "email"
    PHONE = "phone"
    PUSH = "push"


class Need(StrEnum):
    """What a rule kind may ask of the core; each is computed once for all rules that need it."""

    CUSTOMER = "customer"
    MESSAGE_COUNT = "message_count"
    LAST_CONTACT = "last_contact"
    ZONE_CLOCK = "zone_clock"


class SendStatus(StrEnum):
    """What became of one message at the provider's door."""

    ACCEPTED = "accepted"
    REFUSED_NOW = "refused_now"
    """A temporary refusal of this message: try again later."""
    REFUSED = "refused"
    """A permanent refusal of this message."""
    UNKNOWN = "unknown"
    """The connection broke after the message may have been taken."""


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Base of everything a plugin registers: a unique, normalised name and a label for people."""

    name: str
    label: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.strip().lower())
        if not _NAME.match(self.name):
            raise ValueError(
                f"the name {self.name!r} must be 2 to 40 of a-z, 0-9 and _, beginning with a letter"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """One customer as the compiled content sees them.

    `variables` is a tree of plain values (the template's whole world); `click` turns a link's
    number (from 0, in order of appearance) into a tracked address. Its second argument is the
    link's target where that was rendered for this customer, and "" where it is the same for
    all: `CompiledContent.links` tells it then.
    """

    address: str
    name: str
    variables: Mapping[str, Any]
    message_key: str
    unsubscribe_url: str
    one_click_url: str
    open_url: str
    click: Callable[[int, str], str]
    preferences_url: str = ""
    """Given where the content speaks of it, as the next one."""
    view_url: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message ready for a provider.

    `payload` is what the channel and its providers agreed on: for email the complete RFC 5322
    bytes with CRLF line ends, not yet dot-stuffed. `key` is stable over every attempt.
    """

    key: str
    address: str
    sender: str
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class SendResult:
    """The provider's answer to one message, raw kept for people."""

    status: SendStatus
    code: int = 0
    provider_id: str = ""
    raw: str = ""


class Connection(Protocol):
    """An open way to a provider, used by one thread, for one message at a time."""

    def send(self, message: Outgoing) -> SendResult:
        """Hand one message over; raise `ProviderError` when the provider as a whole fails.

        A message that may have been taken must come back as `SendStatus.UNKNOWN`, never as
        an exception: an exception promises that this message has not left.
        """

    def close(self) -> None:
        """Say goodbye; must not raise."""


class Provider(Protocol):
    """A configured account of a provider (a gateway)."""

    def connect(self) -> Connection:
        """Open a connection; raise `ProviderError` when that fails."""

    def test(self) -> str:
        """Try the account without sending and return the provider's own words."""


class Template(Protocol):
    """A checked template; `render` is bounded in time and output."""

    def render(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables; unknown ones become empty."""


class NumberedLinks(Protocol):
    """HTML in which every trackable link is a slot, numbered from 0."""

    @property
    def html(self) -> str:
        """The HTML with its slots, still a template."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The links' targets as written, templates included."""

    def fill(self, rendered: str, click: Callable[[int, str], str], *, html: bool) -> str:
        """Put `click(number, target)` into every slot of a rendered text, see `Recipient`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file that goes with every message of a variant."""

    name: str
    media_type: str
    data: bytes


class ContentKit(Protocol):
    """What the core lends a channel for compiling content: parsing, blocks, MJML, links, files."""

    def template(self, source: str, *, html: bool) -> Template:
        """Parse and check a template; raise `TemplateError` with the line."""

    def mjml(self, source: str) -> str:
        """Turn MJML into HTML, bounded in depth, size and time; raise `TemplateError`."""

    def blocks_mjml(self, blocks: Sequence[Block], style: Style) -> str:
        """Put blocks together as MJML; raise `ValidationFailedError` naming block and field."""

    def plain_text(self, html: str) -> str:
        """Make a readable text part from HTML that may still hold template syntax."""

    def attachment(self, file_id: int) -> Attachment:
        """Fetch a file of the company's library; raise `NotFoundError`."""

    def with_utm(self, html: str, utm: Mapping[str, str]) -> str:
        """Add query parameters to every web link that does not have them already."""

    def number_links(self, html: str) -> NumberedLinks:
        """Cut a slot for every trackable link; raise `TemplateError` for active content."""


class CompiledContent(Protocol):
    """A variant's content, compiled once per process and filled in per recipient."""

    @property
    def links(self) -> tuple[str, ...]:
        """The targets of the tracked links by number, as written."""

    def render(self, recipient: Recipient) -> Outgoing:
        """Make the message for one recipient.

        Raise `ValidationFailedError` when it cannot be made: this message fails with that
        reason, the others go on.
        """


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What the content needs to know of the run besides the marketer's text."""

    message_domain: str
    return_path_domain: str
    list_unsubscribe_mailto: str = ""
    base_url: str = ""
    feedback_id: str = ""
    """What mailbox providers group complaints by, such as `run:tenant:mailing:sender`."""


@dataclass(frozen=True, kw_only=True)
class ChannelSpec(Descriptor):
    """A channel: what a marketer fills in, and how that becomes messages."""

    address_kind: AddressKind
    content_schema: type[BaseModel]
    compile: Callable[[BaseModel, Envelope, ContentKit], CompiledContent]
    preview: Callable[[BaseModel, ContentKit, Mapping[str, Any]], str]
    """The HTML (or text) a person sees for these variables, links untracked."""
    editor_template: str
    icon: str = "mail"
    order: int = 100
    resends_unconfirmed: bool = False
    """What is done with a message of unknown outcome where a company has not chosen: sent again,
    so that nobody is left out, or held, so that nobody gets it twice."""

    @property
    def window_zone(self) -> str:
        """By whose clock new mailings keep the sending window: a phone rings at night."""
        return "company" if self.address_kind is AddressKind.EMAIL else "customer"


@dataclass(frozen=True, kw_only=True)
class DnsRecord:
    """A record that the owner of a domain has to publish for an account to be trusted."""

    name: str
    type: str
    value: str
    purpose: str


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


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule's answer for every candidate at once, as row expressions.

    `blocked` true leaves the customer out; else `deferred_until` not null makes the message
    due then. Block beats defer beats allow. `reason` is a stable code, listed in the plugin's
    documentation, stored with the message.
    """

    reason: str
    blocked: SqlCondition | None = None
    deferred_until: SqlCondition | None = None


@dataclass(frozen=True, kw_only=True)
class NeedRequest:
    """One need with its parameters: `window_hours`, `channels` and `categories` narrow counts."""

    need: Need
    window_hours: int | None = None
    channels: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RuleKindSpec(Descriptor):
    """A kind of rule for communication policies: settings, needs, and the rule itself."""

    settings: type[BaseModel]
    needs: Callable[[Any], Sequence[NeedRequest]]
    rule: Callable[[Any, RuleColumns], Rule]
    reasons: Mapping[str, str]
    """Each reason code with the sentence shown for it."""
    describe: Callable[[Any], str] = field(default=lambda settings: str(settings))
    order: int = 100


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


class InputKind(StrEnum):
    """What a person may enter in one field of a condition."""

    TEXT = "text"
    TEXTS = "texts"
    """Several texts, one of which may fit."""
    NUMBER = "number"
    WHOLE = "whole"
    """A whole number from 0."""
    DATE = "date"
    CHOICE = "choice"
    CHOICES = "choices"
    """Several of the offered values, one of which may fit."""


class Suggestions(StrEnum):
    """What pages suggest while a person types a text; what is stored is the code of each."""

    PRODUCTS = "products"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the values that a field offers; `value` is stored, `label` is shown."""

    value: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Input:
    """A field of a condition; `name` is the key in the condition's settings.

    `before` and `after` are the words around the field ("in the last", "days").
    """

    name: str
    label: str
    kind: InputKind
    choices: tuple[Choice, ...] = ()
    required: bool = True
    before: str = ""
    after: str = ""
    suggestions: Suggestions | None = None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One way to compare a criterion's value, e.g. `in_last`, with the fields it needs.

    `phrase` says it in words, with the names of the inputs in braces:
    "in the last {days} days".
    """

    name: str
    label: str
    phrase: str
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What a condition is about, e.g. the city: the builder's list is made of these.

    A condition's settings name it as `criterion`, the comparison as `operator`, and hold the
    values of the operator's inputs and of the criterion's own (all optional: a period).
    """

    name: str
    label: str
    operators: tuple[Operator, ...]
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CustomFieldInfo:
    """A custom attribute of the tenant's customers.

    `type` is text, number, date, yes_no (stored as the number 0 or 1) or choice (stored as a
    text out of `choices`).
    """

    id: int
    code: str
    label: str
    type: str
    choices: tuple[str, ...] = ()
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What of a tenant decides which conditions there are; names by number, channels by name.

    `mailings` are those that were launched, the newest first; `categories` are of mailings,
    `product_categories` of products.
    """

    fields: Mapping[str, CustomFieldInfo] = field(default_factory=dict)
    segments: Mapping[int, str] = field(default_factory=dict)
    audiences: Mapping[int, str] = field(default_factory=dict)
    mailings: Mapping[int, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    product_categories: tuple[str, ...] = ()
    currency: str = ""


@dataclass(frozen=True, kw_only=True)
class SegmentSourceSpec(Descriptor):
    """A source of segment membership: a piece of SQL, or external ids that are materialised.

    Exactly one of `select` and `iter_external_ids` is given. Both get the condition's
    settings; `select` also gets `SourceColumns` and returns a `Membership` (see `envoi.sql`);
    `iter_external_ids` yields external ids of the tenant's customers, in any order, repeated
    or unknown ones are ignored.

    With `criteria` the core checks the operator and the inputs before it calls the source,
    the builder shows them, and the condition in words is made of their phrases. A source
    without criteria is usable as JSON, checked by `settings` alone.
    """

    settings: type[BaseModel]
    select: Callable[[Any, SourceColumns], Membership] | None = None
    iter_external_ids: Callable[[Any], Iterator[str]] | None = None
    criteria: Callable[[Catalogue], Sequence[Criterion]] | None = None
    order: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.select is None) == (self.iter_external_ids is None):
            raise ValueError(f"{self.name} must give either select or iter_external_ids")


class EventType(StrEnum):
    """What can become of a message after it was handed over."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    DEFERRED = "deferred"
    """Still being tried: changes nothing."""


@dataclass(frozen=True, kw_only=True)
class DeliveryEvent:
    """Something a provider reports later about a message, in one vocabulary.

    `status` is the enhanced status (RFC 3463), `code` the three-digit one, `reason` the
    server's own words; `recipient` is the address it is about, where the report tells it.
    """

    message_key: str
    type: str
    occurred_at: datetime
    reason: str = ""
    raw: str = ""
    status: str = ""
    code: int = 0
    recipient: str = ""
