"""What a marketer fills in, and how it becomes messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from envoi.types.base import AddressKind, Descriptor
from envoi.types.sending import Device, Outgoing

if TYPE_CHECKING:
    from envoi.blocks import Block, Style

Click = Callable[[int, str], str]
"""Makes the tracked address of a link, see `Recipient`."""


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
    click: Click
    preferences_url: str = ""
    """Given where the content speaks of it, as the next one."""
    view_url: str = ""
    devices: tuple[Device, ...] = ()


class Template(Protocol):
    """A checked template; `render` is bounded in time and output."""

    def render(self, variables: Mapping[str, Any]) -> str:
        """Fill in the variables; unknown ones become empty."""


class NumberedLinks(Protocol):
    """HTML, or a text, in which every trackable link is a slot, numbered from 0."""

    @property
    def html(self) -> str:
        """The HTML or text with its slots, still a template."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The links' targets as written, templates included."""

    def fill(self, rendered: str, click: Click, *, html: bool) -> str:
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

    def number_text_links(self, text: str, utm: Mapping[str, str]) -> NumberedLinks:
        """Cut a slot for every web address of a plain text, with query parameters added."""


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
class Length:
    """How long a message is, for the counter beside the text.

    `parts` is how many messages a provider counts it as, `left` how many characters still fit
    into the last of them, `alphabet` the name of the coding for people ("GSM-7", "Unicode").
    """

    characters: int
    parts: int
    left: int
    most_parts: int
    alphabet: str = ""


@dataclass(frozen=True, kw_only=True)
class ChannelSpec(Descriptor):
    """A channel: what a marketer fills in, and how that becomes messages.

    `length` measures the message that these variables make, by the code that sends, with `click`
    as a `Recipient` has it; None where a channel's messages are not counted in parts.
    """

    address_kind: AddressKind
    content_schema: type[BaseModel]
    compile: Callable[[BaseModel, Envelope, ContentKit], CompiledContent]
    preview: Callable[[BaseModel, ContentKit, Mapping[str, Any]], str]
    """The HTML (or text) a person sees for these variables, links untracked."""
    editor_template: str
    icon: str = "mail"
    order: int = 100
    length: Callable[[BaseModel, ContentKit, Mapping[str, Any], Click], Length] | None = None
    short_links: bool = False
    """Tracked addresses are made short, because every character is paid for."""
    resends_unconfirmed: bool = False
    """What is done with a message of unknown outcome where a company has not chosen: sent again,
    so that nobody is left out, or held, so that nobody gets it twice."""

    @property
    def window_zone(self) -> str:
        """By whose clock new mailings keep the sending window: a phone rings at night."""
        return "company" if self.address_kind is AddressKind.EMAIL else "customer"
